/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between qmp.c (sockets, framing, bounds) and qmp_commands.c (what the commands mean). */
#ifndef IOEMUD_DAEMON_QMP_INTERNAL_H
#define IOEMUD_DAEMON_QMP_INTERNAL_H

#include <jansson.h>

#include "daemon/qmp.h"

/* A descriptor that came with SCM_RIGHTS; set < 0 while it waits for its add-fd. */
struct qmp_fd {
    int fd;
    json_int_t set;
    char *opaque; /* add-fd's; NULL: none */
};

struct qmp_client {
    struct qmp *qmp;
    struct qmp_client *next;
    struct loop_watch *watch;
    int fd;
    bool negotiated;       /* qmp_capabilities has come */
    bool dead;             /* to be closed when the stack is unwound */
    struct qmp_call *call; /* under way: no other command is looked at until it is answered */
    bool taken;            /* the command that is being executed is, or was, `call` */
    bool scanning;
    const char *command; /* what is being executed, and its id */
    json_t *id;
    uint64_t active_ns;

    /* The command as far as it has come, and where the scan for its end stands. QMP is a stream of
     * objects: libxenstat sends no line ends. */
    char *in;
    size_t in_len, in_size, scanned;
    unsigned depth;
    bool in_string, escaped;

    char *out;
    size_t out_len, out_sent, out_size;

    struct qmp_fd fds[QMP_FDS];
    unsigned n_fds;
};

struct qmp {
    const struct loop *loop;
    const struct qmp_ops *ops;
    void *ctx;
    int fd;
    struct loop_watch *watch;
    struct qmp_client *clients;
    unsigned n_clients;
    unsigned busy; /* inside a callback of the loop: frees wait */
    bool doomed;   /* qmp_destroy() came meanwhile */
};

/* An answer that is no success. `why` becomes "desc". */
struct qmp_error {
    const char *class; /* NULL: GenericError */
    char why[QMP_WHY_SIZE];
};

/* Executes a command; `arguments` is an object, borrowed. Returns the answer's "return", or NULL
 * with *ret_error filled. */
json_t *qmp_execute(struct qmp_client *client, const char *command, const json_t *arguments,
                    struct qmp_error *ret_error);
/* The command is answered later: for qmp_execute(), which then returns NULL and no reason. NULL on
 * ENOMEM. */
struct qmp_call *qmp_call_begin(struct qmp_client *client);
/* The first line a client gets. NULL on ENOMEM. */
json_t *qmp_greeting(void);

/* The oldest descriptor that waits becomes a member of set `set`. -ENOENT: none waits. */
int qmp_client_adopt_fd(struct qmp_client *client, json_int_t set, const char *opaque, int *ret_fd);
/* The descriptor of set `set`, which stays the client's. -ENOENT. */
int qmp_client_find_fd(const struct qmp_client *client, json_int_t set, int *ret_fd);
/* What came with it (add-fd's "opaque"), or "". */
const char *qmp_client_fd_opaque(const struct qmp_client *client, json_int_t set);
/* Closes `fd` of set `set`, or the whole set if `fd` is negative. -ENOENT. */
int qmp_client_remove_fd(struct qmp_client *client, json_int_t set, json_int_t fd);

#endif
