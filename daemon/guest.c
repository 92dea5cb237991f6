/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/guest_nics.h"
#include "daemon/guest_pvdisk.h"
#include "daemon/trace.h"
#include "daemon/worker_process.h"

#define OWNER(mail, member) ((struct guest *)((char *)(mail)-offsetof(struct guest, member)))

static void guest_start(struct guest *guest);

static void tell_done(struct guest *guest, int err, const char *why)
{
    void (*done)(void *ctx, struct guest *guest, int err, const char *why) = guest->done;

    guest->done = NULL;
    if (done)
        done(guest->done_ctx, guest, err, why);
}

static void guest_free(struct guest *guest)
{
    struct daemon *daemon = guest->daemon;
    void (*gone)(void *ctx) = guest->gone;
    void *gone_ctx = guest->gone_ctx;

    for (struct guest **at = &daemon->guests; *at; at = &(*at)->next) {
        if (*at != guest)
            continue;
        *at = guest->next;
        break;
    }
    if (guest->lease)
        rpc_conn_on_close(guest->lease, NULL, NULL);
    guest_qmp_remove(guest);
    trace_guest_gone(guest);
    guest_pvdisks_release(guest);
    guest_config_finish(&guest->config);
    free(guest->line);
    free(guest->described);
    free(guest);
    if (gone)
        gone(gone_ctx);
    if (daemon->stopping && !daemon->guests)
        ev_break(daemon->ev, EVBREAK_ALL);
}

void guest_unpark(struct daemon *daemon)
{
    for (struct guest *guest = daemon->guests; guest; guest = guest->next)
        guest->retry = guest->state == GUEST_PARKED;
    for (;;) {
        struct guest *oldest = NULL;

        /* From the top each time: a start that fails takes its guest off the list. */
        for (struct guest *guest = daemon->guests; guest; guest = guest->next)
            if (guest->retry)
                oldest = guest;
        if (!oldest)
            break;
        oldest->retry = false;
        oldest->state = GUEST_STARTING;
        guest_start(oldest);
    }
}

static enum machine_role machine_role_of(enum guest_role role)
{
    static const enum machine_role roles[] = {[GUEST_PRIMARY] = MACHINE_PRIMARY,
                                              [GUEST_SECONDARY] = MACHINE_SECONDARY,
                                              [GUEST_PV] = MACHINE_NONE};

    return roles[role];
}

/* All but what guest_open() and plug_vcpus() fill in: before them. */
static void fill_spec(struct guest *guest)
{
    struct machine_spec *spec = &guest->params.spec;
    const struct guest_config *config = &guest->config;

    *spec = (struct machine_spec){
        .role = machine_role_of(config->role),
        .slot = guest_secondary_slot(config),
        .platform = config->platform,
        .unplug = guest_unplug(guest),
    };
    memcpy(spec->boot_order, config->boot_order, sizeof(spec->boot_order));
    guest->params.disk_places = config->n_disks;
}

/* Messages between the main thread and the guest's worker. */

static void on_gone(void *ctx) /* worker */
{
    struct guest *guest = ctx;

    mailbox_post(&guest->daemon->mailbox, &guest->lost);
}

static void on_drained(void *arg) /* worker */
{
    struct guest *guest = arg;

    mailbox_post(&guest->daemon->mailbox, &guest->drained);
}

static void run_start(struct mail *mail) /* worker */
{
    struct guest *guest = OWNER(mail, start);

    guest->start_err = vm_start(guest->worker, &guest->params, &guest->vm, guest->start_why);
    mailbox_post(&guest->daemon->mailbox, &guest->started);
}

static void run_stop(struct mail *mail) /* worker */
{
    struct guest *guest = OWNER(mail, stop);

    /* `stopped` is posted first, so that it runs before `drained` frees the guest. The hypervisor's
     * half is destroyed only in there, after the pages are out of use here. */
    vm_end(guest->vm);
    guest->log_limit = guest->vm->log_limit;
    mailbox_post(&guest->daemon->mailbox, &guest->stopped);
    vm_drain(guest->vm, on_drained, guest);
}

/* The worker does not serve it any more. */
static void leave_worker(struct guest *guest)
{
    struct worker *worker = guest->worker;

    worker->guests--;
    worker->disks -= guest->config.n_disks;
    if (!worker->is_process)
        return;
    guest->worker = NULL;
    worker_process_leave(guest);
}

static void start_failed(struct guest *guest, int err, const char *why)
{
    struct daemon *daemon = guest->daemon;

    guest_log(guest, LOG_ERR, "event=attach-failed why=\"%s\"", why);
    leave_worker(guest);
    guest_remove_sockets(guest);
    guest_release_hv(guest);
    tell_done(guest, err, why);
    guest_free(guest);
    guest_unpark(daemon);
}

void guest_started(struct guest *guest, int err, const char *why)
{
    /* The vm has them, or closed them. */
    guest->params.n_disks = 0;
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        guest->params.serial[i].fd = -1;
    guest_nics_forget(guest);
    if (err) {
        start_failed(guest, err, why);
        return;
    }
    guest->state = GUEST_RUNNING;
    if (guest->vm)
        memcpy(guest->blk, guest->vm->blk, sizeof(guest->blk));
    guest_log_attached(guest);
    guest_pvdisks_start(guest);
    if (guest->detach_wanted) {
        tell_done(guest, -ECANCELED, "detached while it started");
        guest_detach(guest, NULL, NULL);
    } else {
        tell_done(guest, 0, "");
    }
}

static void run_started(struct mail *mail)
{
    struct guest *guest = OWNER(mail, started);

    guest_started(guest, guest->start_err, guest->start_why);
}

void guest_ended(struct guest *guest)
{
    if (guest->config.hypervisor == GUEST_SHM)
        peer_log_of(&guest->daemon->peer_logs, guest->config.name)->devices = guest->log_limit;
    guest_remove_sockets(guest);
    guest_pvdisks_finish(guest);
    guest_release_hv(guest);
}

/* The C library keeps what guests had, some of it for ever where something small that stays lies
 * above. It is looked through, which takes as long as the heap is large, for many at a time. */
#define GUESTS_A_TRIM 64u

static void return_memory(struct daemon *daemon)
{
    if (daemon->guests && ++daemon->untrimmed < GUESTS_A_TRIM)
        return;
    daemon->untrimmed = 0;
    malloc_trim(0);
}

static void run_stopped(struct mail *mail)
{
    guest_ended(OWNER(mail, stopped));
}

void guest_drained(struct guest *guest)
{
    struct daemon *daemon = guest->daemon;

    guest_log(guest, LOG_INFO, "event=detached");
    leave_worker(guest);
    guest_free(guest);
    return_memory(daemon);
    guest_unpark(daemon); /* what it held may be what they wait for */
    guest_pvdisks_retry(daemon);
}

static void run_drained(struct mail *mail)
{
    guest_drained(OWNER(mail, drained));
}

void guest_lost(struct guest *guest)
{
    if (guest->state == GUEST_RUNNING)
        guest_log(guest, LOG_INFO, "event=guest-gone");
    guest_detach(guest, NULL, NULL);
}

static void run_lost(struct mail *mail)
{
    guest_lost(OWNER(mail, lost));
}

static void on_traced(void *ctx) /* worker */
{
    struct guest *guest = ctx;

    mailbox_post(&guest->daemon->mailbox, &guest->traced);
}

static void run_traced(struct mail *mail)
{
    trace_news(OWNER(mail, traced));
}

static bool was_revived(const struct guest *guest)
{
    uint64_t now = guest->daemon->evloop.loop.ops->now_ns(&guest->daemon->evloop);

    return guest->revived_ns && now - guest->revived_ns < GUEST_REVIVE_NS;
}

/* Whether its devices start anew; then they count from zero, and no drive is being changed. */
static bool may_revive(struct guest *guest)
{
    if (guest->config.hypervisor != GUEST_XEN || guest->state != GUEST_RUNNING ||
        guest->daemon->stopping || was_revived(guest))
        return false;
    guest->revived_ns = guest->daemon->evloop.loop.ops->now_ns(&guest->daemon->evloop);
    guest->reset = guest->config.role != GUEST_PV; /* as in guest_new() */
    guest->io_stopped = guest->resuming = guest->changing = 0;
    guest->pv_settled = false;
    return true;
}

void guest_worker_died(struct guest *guest, const char *how)
{
    char why[VM_WHY_SIZE];
    bool revive;

    if (guest->state == GUEST_STARTING) {
        snprintf(why, sizeof(why), "its worker process ended: %s", how);
        guest_started(guest, -EIO, why);
        return;
    }
    trace_guest_gone(guest);
    revive = may_revive(guest);
    if (guest->hv_guest) { /* else it had told that before */
        guest->log_limit = guest->params.log_limit;
        guest_pvdisks_orphan(guest, revive);
        guest_ended(guest);
    }
    if (!revive) {
        guest_qmp_remove(guest);
        guest->state = GUEST_STOPPING;
        guest_drained(guest);
        return;
    }
    leave_worker(guest);
    guest->state = GUEST_STARTING;
    guest_start(guest);
}

/* Attaching. */

/* NULL: none has pages for these disks. */
static struct worker *least_loaded(struct daemon *daemon, unsigned disks)
{
    struct worker *best = NULL;

    for (unsigned i = 0; i < daemon->n_workers; i++)
        if (worker_has_room(daemon->worker[i], disks) &&
            (!best || daemon->worker[i]->guests < best->guests))
            best = daemon->worker[i];
    return best;
}

static int choose_worker(struct guest *guest, char *why)
{
    if (guest->daemon->config.isolation == ISOLATION_PROCESS) {
        int err = worker_process_refusal(guest, why, GUEST_WHY_SIZE);

        if (err)
            return err;
        /* Whoever it was that brought the former one down, the next time it is alone in there. */
        guest->worker =
            worker_process_choose(guest->daemon, guest->config.n_disks, was_revived(guest));
        if (guest->worker)
            return 0;
        snprintf(why, GUEST_WHY_SIZE, "out of memory");
        return -ENOMEM;
    }
    guest->worker = least_loaded(guest->daemon, guest->config.n_disks);
    if (guest->worker)
        return 0;
    snprintf(why, GUEST_WHY_SIZE,
             "no worker has disk buffers for %u more disks: raise "
             "\"pool_pages\", which is %u",
             guest->config.n_disks, guest->daemon->config.pool_pages);
    return -ENOSPC;
}

/* Somebody drains who may hold what this one could not get. */
static bool may_come_free(const struct guest *guest)
{
    for (const struct guest *other = guest->daemon->guests; other; other = other->next)
        if (other != guest && guest_leaves(other))
            return true;
    return false;
}

/* hv_shm: the peer that it was to have. */
static void refuse_peer(struct guest *guest, int err, const char *why)
{
    if (guest->peer && guest->hv->peer_refuse)
        guest->hv->peer_refuse(guest->daemon->host[DAEMON_SHM], guest->peer, err, why);
    guest->peer = NULL;
}

/* At the start the first `vcpus`; more come by QMP. */
static void plug_vcpus(struct guest *guest)
{
    uint32_t vcpus = guest->hv->guest_info(guest->hv_guest)->vcpus;

    if (guest->vcpus && guest->vcpus < vcpus)
        vcpus = guest->vcpus;
    guest->params.spec.vcpus = vcpus;
    for (uint32_t i = 0; i < vcpus; i++)
        guest->online[i / 64] |= UINT64_C(1) << i % 64;
}

/* What is not opened, but said. */
static void fill_params(struct guest *guest)
{
    struct vm_params *params = &guest->params;

    params->name = guest->config.name;
    params->log = &guest->log;
    if (guest->config.hypervisor == GUEST_SHM)
        params->log_limit = peer_log_of(&guest->daemon->peer_logs, guest->config.name)->devices;
    params->hv = guest->hv;
    params->guest = guest->hv_guest;
    params->hv_worker =
        guest->worker->hv[guest->config.hypervisor == GUEST_XEN ? DAEMON_XEN : DAEMON_SHM];
    plug_vcpus(guest);
    params->budget = guest->config.budget;
    params->gone = on_gone;
    params->serial_full = guest_serial_full;
    params->stopped = guest_io_stopped;
    params->traced = on_traced;
    params->pv_news = guest_pvdisk_news;
    params->ctx = guest;
}

static int to_worker(struct guest *guest, char *why)
{
    int err = choose_worker(guest, why);

    if (!err)
        err = guest_create_hv(guest, why);
    if (err)
        return err;
    guest->peer = NULL; /* it is hv_guest by now */
    fill_params(guest);
    if (guest->worker->is_process)
        err = worker_process_start(guest, why, GUEST_WHY_SIZE);
    if (err)
        return err;
    guest->worker->guests++;
    guest->worker->disks += guest->config.n_disks;
    if (!guest->worker->is_process)
        mailbox_post(&guest->worker->mailbox, &guest->start);
    return 0;
}

/* Before it got there. */
static void give_worker_back(struct guest *guest)
{
    if (guest->worker && guest->worker->is_process)
        worker_process_give_back(guest->worker);
    guest->worker = NULL;
}

/* From STARTING: to the worker, back to PARKED, or failed and freed. */
static void guest_start(struct guest *guest)
{
    struct daemon *daemon = guest->daemon;
    char why[GUEST_WHY_SIZE] = "";
    int err = 0;

    for (struct guest *other = daemon->guests; other && !err; other = other->next)
        if (other != guest && guest_leaves(other) &&
            !strcmp(other->config.name, guest->config.name))
            err = -EBUSY;
    fill_spec(guest);
    if (err)
        snprintf(why, sizeof(why), "a former guest of this name has disk requests in flight");
    else
        err = guest_open(guest, why);
    if (err == -EBUSY && may_come_free(guest)) {
        guest_log(guest, LOG_NOTICE, "event=parked why=\"%s\"", why);
        guest_close_descriptors(guest);
        guest->state = GUEST_PARKED;
        return;
    }
    if (!err)
        err = to_worker(guest, why);
    if (!err)
        return;
    guest_log(guest, LOG_ERR, "event=attach-failed why=\"%s\"", why);
    refuse_peer(guest, err, why);
    guest_close_descriptors(guest);
    guest_release_hv(guest);
    give_worker_back(guest);
    tell_done(guest, err, why);
    guest_free(guest);
}

static struct guest *guest_new(struct daemon *daemon, struct guest_attach *attach)
{
    unsigned units = daemon->config.pv_disks ? VM_UNITS : MACHINE_IDE_DRIVES;
    struct guest *guest = calloc(1, sizeof(*guest) + units * sizeof(guest->io_stop[0]));

    if (!guest)
        return NULL;
    *guest = (struct guest){
        .daemon = daemon,
        .next = daemon->guests,
        .state = GUEST_STARTING,
        .config = attach->config,
        .domid = attach->domid,
        .vcpus = attach->vcpus,
        .units = units,
        .run = attach->run,
        /* PV disks are not: their frontends go on with another backend. */
        .reset = attach->reset && attach->config.role != GUEST_PV,
        .origin = attach->origin,
        .by_itself = attach->by_itself,
        .peer = attach->peer,
        .done = attach->done,
        .done_ctx = attach->ctx,
        .hv = daemon->hv[attach->config.hypervisor == GUEST_XEN ? DAEMON_XEN : DAEMON_SHM],
        .start.run = run_start,
        .started.run = run_started,
        .stop.run = run_stop,
        .stopped.run = run_stopped,
        .drained.run = run_drained,
        .lost.run = run_lost,
        .traced.run = run_traced,
    };
    snprintf(guest->name, sizeof(guest->name), "%s", guest->config.name);
    /* Without them, for want of memory, a reload finds nothing to compare with. */
    if (attach->line)
        guest->line = json_dumps(attach->line, JSON_COMPACT);
    if (attach->origin != GUEST_OF_REQUEST)
        guest->described = guest_describe(&guest->config);
    log_init_on(&guest->log, &daemon->log);
    guest_stop_init(guest);
    guest_pvdisks_init(guest);
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        guest->params.serial[i].fd = -1;
    guest_serial_init(guest);
    daemon->guests = guest;
    guest_set_lease(guest, attach->lease);
    return guest;
}

/* 0, or why this cannot be attached, whatever is to be opened for it. */
static int refusal(struct daemon *daemon, const struct guest_attach *attach, char *why)
{
    const struct guest_config *config = &attach->config;
    bool xen = config->hypervisor == GUEST_XEN;

    if (daemon->stopping) {
        snprintf(why, GUEST_WHY_SIZE, "the daemon is shutting down");
        return -ESHUTDOWN;
    }
    if (guest_is_attached(daemon, config, attach->domid)) {
        snprintf(why, GUEST_WHY_SIZE, "guest %s is attached already", config->name);
        return -EEXIST;
    }
    if (!daemon->host[xen ? DAEMON_XEN : DAEMON_SHM]) {
        snprintf(why, GUEST_WHY_SIZE,
                 xen ? "this daemon does not serve Xen domains (no /dev/xen/privcmd, or \"xen\": "
                       "false)"
                     : "this daemon takes no hv_shm peers (\"shm_socket\" is not configured)");
        return -ENODEV;
    }
    if (!xen && attach->domid) {
        snprintf(
            why, GUEST_WHY_SIZE,
            "domain %u is one of Xen's, but guest %s is described with \"hypervisor\": \"shm\"",
            attach->domid, config->name);
        return -EINVAL;
    }
    if (config->role == GUEST_PV && !daemon->config.pv_disks) {
        snprintf(why, GUEST_WHY_SIZE,
                 "guest %s has no emulated devices, and PV disks are not served: \"pv_disks\" is "
                 "false in ioemud.json",
                 config->name);
        return -EOPNOTSUPP;
    }
    guest_names_refresh(daemon); /* for what is said of others */
    return xen ? guest_conflict(daemon, attach, why) : 0;
}

void guest_attach(struct daemon *daemon, struct guest_attach *attach)
{
    char why[GUEST_WHY_SIZE] = "";
    struct guest *guest;
    int err = refusal(daemon, attach, why);

    if (!err && attach->config.hypervisor == GUEST_XEN)
        guest_make_way(daemon, attach->config.name);
    guest = err ? NULL : guest_new(daemon, attach);
    if (!guest) {
        if (attach->done)
            attach->done(attach->ctx, NULL, err ? err : -ENOMEM, err ? why : "out of memory");
        else if (attach->by_itself)
            log_write(&daemon->log, LOG_ERR, attach->config.name, "event=attach-failed why=\"%s\"",
                      err ? why : "out of memory");
        guest_config_finish(&attach->config);
        return;
    }
    if (guest->config.hypervisor == GUEST_SHM && !guest->peer) {
        guest->state = GUEST_WAITING;
        tell_done(guest, 0, "");
        return;
    }
    guest_start(guest);
}

void guest_when_attached(struct guest *guest,
                         void (*done)(void *ctx, struct guest *guest, int err, const char *why),
                         void *ctx)
{
    guest->by_itself = false;
    guest->done = done;
    guest->done_ctx = ctx;
    if (guest->state == GUEST_RUNNING)
        tell_done(guest, 0, "");
}

int guest_peer_outcome(struct daemon *daemon, const char *name)
{
    const struct guest *guest = guest_of_peer(daemon, name);

    /* A parked one is taken over when its predecessor has drained; hv_shm keeps the peer so long.
     */
    return guest && (guest->hv_guest || guest->state == GUEST_PARKED) ? 0 : -ECONNREFUSED;
}

int guest_peer(struct daemon *daemon, const char *name, void *peer)
{
    struct guest *guest = guest_of_peer(daemon, name);

    /* Who was parked with a peer at this address lost it: hung up, and its memory used again. */
    for (struct guest *other = daemon->guests; other; other = other->next)
        if (other->peer == peer)
            other->peer = NULL;
    if (!guest)
        return -ENOENT;
    if (guest->state != GUEST_WAITING)
        return -EBUSY;
    guest->peer = peer;
    guest->state = GUEST_STARTING;
    guest_start(guest);
    return guest_peer_outcome(daemon, name);
}

void guest_detach(struct guest *guest, void (*gone)(void *ctx), void *ctx)
{
    if (gone) {
        guest->gone = gone;
        guest->gone_ctx = ctx;
    }
    switch (guest->state) {
    case GUEST_WAITING:
        guest_free(guest);
        break;
    case GUEST_PARKED:
        refuse_peer(guest, -ECANCELED, "detached while it waited for a former guest to drain");
        tell_done(guest, -ECANCELED, "detached while it waited for a former guest to drain");
        guest_free(guest);
        break;
    case GUEST_STARTING:
        guest->detach_wanted = true;
        break;
    case GUEST_RUNNING:
        guest->state = GUEST_STOPPING;
        guest_qmp_remove(guest);
        guest_pvdisks_stop(guest);
        if (guest->worker->is_process)
            worker_process_end(guest);
        else
            mailbox_post(&guest->worker->mailbox, &guest->stop);
        break;
    case GUEST_STOPPING:
        break;
    }
}
