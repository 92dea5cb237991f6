/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/grant_rig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct hv_ops *const hv = &hv_shm_ops;

/* A call of the peer's that waits for the daemon. */
struct call {
    pthread_t thread;
    int (*fn)(void *arg);
    void *arg;
    int result;
    bool over;
};

struct impl {
    struct sockaddr_un addr;
    socklen_t addr_len;
    struct call call;
    unsigned arriving; /* whose peer is on its way */
    struct peer_options options;
};

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "grant_rig: %s (errno %d)\n", what, errno);
    abort();
}

static int on_peer(void *ctx, const char *name, void *peer)
{
    struct grant_rig *rig = ctx;
    struct grant_rig_guest *at = &rig->at[((struct impl *)rig->impl)->arriving];
    struct hv_guest_params params = {.name = name, .peer = peer};

    require(hv->guest_create(rig->host, &params, &at->guest) == 0, "guest_create");
    require(hv->guest_start(at->guest, rig->worker) == 0, "guest_start");
    at->grants = hv->grants(at->guest);
    return hv->guest_enable(at->guest);
}

static void on_gone(void *ctx, struct hv_guest *guest)
{
    struct grant_rig *rig = ctx;

    for (unsigned i = 0; i < GRANT_RIG_GUESTS; i++)
        if (rig->at[i].guest == guest)
            grant_rig_end(rig, i);
}

static void on_log(void *ctx, int priority, const char *line)
{
}

static const struct hv_host_events events = {.guest_gone = on_gone, .peer = on_peer, .log = on_log};

struct grant_rig *grant_rig_start(void)
{
    struct grant_rig *rig = calloc(1, sizeof(*rig));
    struct impl *impl = calloc(1, sizeof(*impl));
    struct hv_host_params params = {.events = &events, .ctx = rig};

    require(rig && impl, "memory");
    rig->impl = impl;
    impl->addr.sun_family = AF_UNIX;
    impl->addr_len = sizeof(impl->addr);
    params.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    /* An abstract address of the kernel's choice. */
    require(bind(params.listen_fd, (struct sockaddr *)&impl->addr, sizeof(sa_family_t)) == 0 &&
                getsockname(params.listen_fd, (struct sockaddr *)&impl->addr, &impl->addr_len) ==
                    0 &&
                listen(params.listen_fd, 4) == 0,
            "listen");
    require(hv->host_open(&params, &rig->host) == 0, "host_open");
    require(hv->worker_open(rig->host, &rig->worker) == 0, "worker_open");
    return rig;
}

void grant_rig_end(struct grant_rig *rig, unsigned i)
{
    if (!rig->at[i].guest)
        return;
    hv->guest_stop(rig->at[i].guest);
    hv->guest_destroy(rig->at[i].guest);
    rig->at[i].guest = NULL;
}

void grant_rig_stop(struct grant_rig *rig)
{
    for (unsigned i = 0; i < GRANT_RIG_GUESTS; i++) {
        grant_rig_end(rig, i);
        peer_close(rig->at[i].peer);
    }
    hv->worker_close(rig->worker);
    hv->host_close(rig->host);
    free(rig->impl);
    free(rig);
}

static void *call_thread(void *arg)
{
    struct call *call = arg;

    call->result = call->fn(call->arg);
    __atomic_store_n(&call->over, true, __ATOMIC_RELEASE);
    return NULL;
}

int grant_rig_wait(struct grant_rig *rig, unsigned i, int ms)
{
    struct call *call = &((struct impl *)rig->impl)->call;

    for (int waited = 0; !__atomic_load_n(&call->over, __ATOMIC_ACQUIRE); waited++) {
        struct hv_guest *guest = rig->at[i].guest;
        struct pollfd fds[2] = {{.fd = hv->host_fd(rig->host), .events = POLLIN},
                                {.fd = guest ? hv->guest_fd(guest) : -1, .events = POLLIN}};
        struct hv_pending pending;

        if (waited > ms)
            return -EINPROGRESS;
        poll(fds, 2, 1);
        if (fds[0].revents)
            hv->host_dispatch(rig->host);
        if (fds[1].revents && rig->at[i].guest) {
            hv->guest_pending(guest, &pending);
            hv->guest_rearm(guest);
        }
    }
    pthread_join(call->thread, NULL);
    return call->result;
}

int grant_rig_call(struct grant_rig *rig, unsigned i, int (*fn)(void *arg), void *arg, int ms)
{
    struct call *call = &((struct impl *)rig->impl)->call;

    *call = (struct call){.fn = fn, .arg = arg};
    require(pthread_create(&call->thread, NULL, call_thread, call) == 0, "pthread_create");
    return grant_rig_wait(rig, i, ms);
}

static int arrive(void *arg)
{
    struct grant_rig *rig = arg;
    struct impl *impl = rig->impl;
    struct grant_rig_guest *at = &rig->at[impl->arriving];
    int rc;

    impl->options.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(impl->options.fd, (struct sockaddr *)&impl->addr, impl->addr_len) < 0)
        return -errno;
    rc = peer_connect(&impl->options, &at->peer, NULL);
    return rc == 0 ? peer_wait_enabled(at->peer) : rc;
}

void grant_rig_guest(struct grant_rig *rig, unsigned i, size_t ram_size, unsigned spares,
                     uint32_t features)
{
    struct impl *impl = rig->impl;

    impl->arriving = i;
    impl->options = (struct peer_options){.name = i ? "other" : "guest",
                                          .ram_size = ram_size,
                                          .spares = spares,
                                          .features = features};
    require(grant_rig_call(rig, i, arrive, rig, 10000) == 0, "peer_connect");
}

void grant_rig_grant(struct grant_rig *rig, unsigned i, uint64_t gpa, bool readonly, unsigned count,
                     uint32_t *ret_refs)
{
    for (unsigned n = 0; n < count; n++) {
        int ref = peer_grant(rig->at[i].peer, gpa + n * (uint64_t)GRANT_PAGE, readonly);

        require(ref >= 0, "peer_grant");
        ret_refs[n] = (uint32_t)ref;
    }
}
