/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest_dial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ioreq/hv_shm_reaper.h"

#define SECOND_NS UINT64_C(1000000000)

struct guest_dial {
    struct guest_call call; /* first: it is found by that. The worker's while `asked` */
    int fd;
    struct sockaddr_un peer;
    bool asked, closed;
    uint64_t second_ns; /* when it began */
    unsigned tries;     /* in it */
};

int guest_dial_open(struct guest *guest, unsigned nic, int fd, const char *peer)
{
    struct guest_dial *dial = calloc(1, sizeof(*dial));
    int err;

    if (!dial)
        return -ENOMEM;
    dial->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (dial->fd < 0) {
        err = -errno;
        free(dial);
        return err;
    }
    dial->peer.sun_family = AF_UNIX;
    memcpy(dial->peer.sun_path, peer, strlen(peer) + 1);
    guest_dial_close(guest, nic);
    guest->dial[nic] = dial;
    return 0;
}

/* What a peer has sent goes with the socket, when its worker was killed: also descriptors. */
void guest_dial_close(struct guest *guest, unsigned nic)
{
    struct guest_dial *dial = guest->dial[nic];

    guest->dial[nic] = NULL;
    if (!dial)
        return;
    hv_shm_reaper_close(guest->daemon->reaper, dial->fd);
    dial->closed = true;
    if (!dial->asked)
        free(dial);
}

static void answered(struct guest_call *call)
{
    struct guest_dial *dial = (struct guest_dial *)call;

    dial->asked = false;
    if (dial->closed)
        free(dial);
}

static bool may_try(struct guest_dial *dial, uint64_t now_ns)
{
    if (now_ns - dial->second_ns >= SECOND_NS) {
        dial->second_ns = now_ns;
        dial->tries = 0;
    }
    return dial->tries++ < GUEST_DIALS_A_SECOND;
}

bool guest_dial(struct guest *guest, unsigned nic)
{
    const struct loop *loop = &guest->daemon->evloop.loop;
    struct guest_dial *dial = guest->dial[nic];
    bool connected;

    if (guest->state != GUEST_RUNNING)
        return true; /* it had asked before it was told of its end */
    if (!dial || dial->asked)
        return false;
    /* One of this kind never waits. */
    connected = may_try(dial, loop->ops->now_ns(loop->ctx)) &&
                !connect(dial->fd, (const struct sockaddr *)&dial->peer, sizeof(dial->peer));
    dial->asked = true;
    dial->call = (struct guest_call){
        .request = {.op = VM_NIC_DIALLED, .nic = {.number = nic, .flag = connected}},
        .done = answered,
    };
    guest_call(guest, &dial->call);
    return true;
}
