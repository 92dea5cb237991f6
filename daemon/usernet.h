/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioemud-usernet: the user network of one NIC, in a process of its own. A worker process makes no
 * connections, so that libslirp cannot be in it; and who takes libslirp over, which parses what the
 * guest sends, has a guest's network and nothing else of the daemon's.
 *
 *   ioemud                                        ioemud-usernet
 *      |--- a user network, as JSON ---------------->| config.h's nic_config_user_text()
 *      |<------- {"ok": true} or {"error": "..."} ---| with an error it ends
 *      |                                             |
 *   worker process                                   |
 *      |<--------------------- frames, each way ---->|
 *      |--- the connection's end ------------------->| ends, too
 *
 * A SOCK_SEQPACKET connection of its own: one message is one frame, without FCS. Neither end trusts
 * the other. One that does not read is waited for by the other, in that it does not read, either.
 *
 *   usernet.c         the process
 *   usernet_wire.c    what is said before there are frames, from both ends
 *   usernet_listen.c  takes connections, by hand instead of systemd's
 */
#ifndef IOEMUD_DAEMON_USERNET_H
#define IOEMUD_DAEMON_USERNET_H

#include "config/config.h"
#include "daemon/log.h"
#include "devices/backend/nets.h"

/* Bytes of the first message, and of the answer. */
#define USERNET_FIRST_MAX  65536u
#define USERNET_ANSWER_MAX 1024u
#define USERNET_WHY_SIZE   512
/* So long it may take until the first message is there. */
#define USERNET_FIRST_MS 10000

/* So long a port that is in use is waited for; less than whoever asks waits. */
#define USERNET_PORT_MS 2000

/* sd_listen_fds(3): the connection, when somebody else has accepted it. */
#define USERNET_CONNECTION 3

/* What libslirp is told; strings stay the NIC's. */
void usernet_options(const struct nic_config *nic, struct net_user_options *ret_options);
/* The first message. -EINVAL or -ENOMEM, and why, of USERNET_WHY_SIZE bytes. */
int usernet_read_first(const char *text, size_t length, struct nic_config *ret_nic, char *ret_why);
/* The answer; `why` NULL: it is there. Bytes of it. */
size_t usernet_write_answer(const char *why, char ret_text[USERNET_ANSWER_MAX]);
/* 0: it is there; -EPROTO: this is no answer; -ECONNREFUSED, and the other end's words, printable,
 * of `size` bytes. */
int usernet_read_answer(const char *text, size_t length, char *ret_why, size_t size);

/* Serves the connection until its end; closes it. Exit status. */
int usernet_serve(int fd, const struct log *log);

/* Listens at `path` and runs the program anew for each connection, until SIGTERM or SIGINT. Exit
 * status. */
#define USERNET_CONNECTIONS_MAX 1024u
int usernet_listen(const char *path, const struct log *log);

#endif
