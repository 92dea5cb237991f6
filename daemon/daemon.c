/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/guest.h"
#include "daemon/guest_pvdisk.h"
#include "daemon/http.h"
#include "daemon/opener.h"
#include "daemon/record.h"
#include "daemon/reload.h"
#include "daemon/resources.h"
#include "daemon/served.h"
#include "daemon/stats.h"
#include "daemon/worker_process.h"
#include "ioreq/hv_shm_reaper.h"

/* What the hypervisors tell. */

static void on_guest_gone(void *ctx, struct hv_guest *hv_guest)
{
    struct guest *guest = guest_by_hv(ctx, hv_guest);

    if (!guest)
        return;
    guest_log(guest, LOG_INFO, "event=domain-gone domid=%u", guest->domid);
    guest_detach(guest, NULL, NULL);
}

__attribute__((format(printf, 3, 4))) static void peer_refused(struct daemon *daemon,
                                                               const char *name, const char *format,
                                                               ...)
{
    const struct loop *loop = &daemon->evloop.loop;
    va_list args;

    va_start(args, format);
    peer_log_vwrite(&daemon->peer_logs, &daemon->log, loop->ops->now_ns(loop->ctx), LOG_ERR, name,
                    format, args);
    va_end(args);
}

/* A description in the guests' folder is enough for an hv_shm peer: it need not be attached first.
 */
static int on_peer(void *ctx, const char *peer_name, void *peer)
{
    struct daemon *daemon = ctx;
    struct guest_attach attach = {.peer = peer, .origin = GUEST_OF_FILE};
    struct config_error error;
    char path[PATH_MAX], name[HV_NAME_MAX + 1];
    int err;

    /* The peer's own goes away with its taking over. */
    snprintf(name, sizeof(name), "%s", peer_name);
    err = guest_peer(daemon, name, peer);
    if (err != -ENOENT || strchr(name, '/') || name[0] == '.' || !*name)
        return err;
    snprintf(path, sizeof(path), "%s/%s.json", daemon->config.guests_dir, name);
    err = guest_config_load(path, &attach.config, &error);
    if (err) {
        if (err != -ENOENT)
            peer_refused(daemon, name, "event=peer-refused why=\"%s\"", error.text);
        return err;
    }
    if (attach.config.hypervisor != GUEST_SHM) {
        guest_config_finish(&attach.config);
        return -ENOENT;
    }
    err = guest_config_check(&attach.config, path, &error);
    if (err) {
        peer_refused(daemon, name, "event=peer-refused why=\"%s\"", error.text);
        guest_config_finish(&attach.config);
        return err;
    }
    guest_attach(daemon, &attach);
    return guest_peer_outcome(daemon, name);
}

static void on_hv_log(void *ctx, int priority, const char *line)
{
    struct daemon *daemon = ctx;

    log_write(&daemon->log, priority, NULL, "%s", line);
}

static void on_store(void *ctx, const char *path, const char *token)
{
    guest_pvdisks_event(ctx, token);
}

static void on_domains(void *ctx)
{
    guests_dir_domains(ctx);
}

static const struct hv_host_events host_events = {
    .guest_gone = on_guest_gone,
    .domains = on_domains,
    .peer = on_peer,
    .store = on_store,
    .log = on_hv_log,
};

static void on_host(struct ev_loop *ev, ev_io *io, int revents)
{
    struct daemon *daemon = io->data;
    unsigned hv = (unsigned)(io - daemon->host_io);
    int err = daemon->hv[hv]->host_dispatch(daemon->host[hv]);

    if (!err)
        return;
    log_write(&daemon->log, LOG_CRIT, NULL, "event=hypervisor-lost hypervisor=%s error=\"%s\"",
              daemon->hv[hv]->name, strerror(-err));
    ev_io_stop(ev, io);
}

static bool remove_orphan(void *ctx, const char *guest, const struct hv_record *record)
{
    struct daemon *daemon = ctx;
    int err;

    if (!record) {
        log_write(&daemon->log, LOG_WARNING, guest,
                  "event=record-unreadable path=%s/guests/%s.json hint=\"%s\"",
                  daemon->config.run_dir, guest,
                  "its domain may have an ioreq server too many until it is destroyed");
        return false;
    }
    err = daemon->hv[DAEMON_XEN]->orphan_remove(daemon->host[DAEMON_XEN], record);
    if (err && err != -ESRCH) {
        log_write(&daemon->log, LOG_WARNING, guest,
                  "event=orphan-kept domid=%u server=%u error=\"%s\"", record->domid,
                  record->server_id, strerror(-err));
        return false;
    }
    guests_dir_orphan(daemon, guest, record->domid);
    log_write(&daemon->log, LOG_NOTICE, guest, "event=orphan-%s domid=%u server=%u",
              err ? "already-gone" : "removed", record->domid, record->server_id);
    return true;
}

/* Starting, in this order; daemon_finish() undoes as much as was done. */

static int prepare_run_dir(struct daemon *daemon, char *why)
{
    char path[PATH_MAX];
    int err = opener_directory(daemon->config.run_dir, why);

    if (err)
        return err;
    snprintf(path, sizeof(path), "%s/guests", daemon->config.run_dir);
    err = opener_directory(path, why);
    if (err)
        return err;
    snprintf(path, sizeof(path), "%s/ioemud.lock", daemon->config.run_dir);
    return opener_lock(path, &daemon->lock_fd, why);
}

static int open_host(struct daemon *daemon, enum daemon_hv hv, int listen_fd, char *why)
{
    struct hv_host_params params = {
        .events = &host_events,
        .ctx = daemon,
        .listen_fd = listen_fd,
        .packs = daemon->config.isolation == ISOLATION_PROCESS,
        .swap_pages = daemon->config.pv_disks ? daemon->config.swap_pages : 0,
        .swap_from = daemon->config.swap_from,
    };
    int err = daemon->hv[hv]->host_open(&params, &daemon->host[hv]);

    if (err) {
        snprintf(why, OPENER_WHY_SIZE, "%s: %s", daemon->hv[hv]->name, strerror(-err));
        if (listen_fd >= 0)
            close(listen_fd);
        return err;
    }
    ev_io_init(&daemon->host_io[hv], on_host, daemon->hv[hv]->host_fd(daemon->host[hv]), EV_READ);
    daemon->host_io[hv].data = daemon;
    ev_io_start(daemon->ev, &daemon->host_io[hv]);
    return 0;
}

static int open_hosts(struct daemon *daemon, char *why)
{
    bool xen = daemon->config.xen_set ? daemon->config.xen : !access("/dev/xen/privcmd", F_OK);
    int fd, err = 0;

    if (xen) {
        err = open_host(daemon, DAEMON_XEN, -1, why);
        if (!err)
            record_each(daemon->config.run_dir, remove_orphan, daemon);
    }
    if (!err && *daemon->config.shm_socket) {
        err = opener_listen(daemon->config.shm_socket, SOCK_SEQPACKET, 0600, "", &fd, why);
        if (!err)
            err = open_host(daemon, DAEMON_SHM, fd, why);
    }
    if (!err && !daemon->host[DAEMON_XEN] && !daemon->host[DAEMON_SHM]) {
        snprintf(why, OPENER_WHY_SIZE,
                 "nothing to serve: this is not a Xen dom0 (no /dev/xen/privcmd) and "
                 "\"shm_socket\" is not configured");
        err = -ENODEV;
    }
    return err;
}

unsigned daemon_worker_count(const struct daemon *daemon)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = daemon->config.workers ? daemon->config.workers
                     : cpus > 0             ? (unsigned)cpus
                                            : 1;

    return count < DAEMON_WORKERS_MAX ? count : DAEMON_WORKERS_MAX;
}

static void tell_who_shares(const struct daemon *daemon)
{
    unsigned most = daemon->config.worker_guests;
    char count[16] = "any number";

    if (most)
        snprintf(count, sizeof(count), "%u", most);
    log_write(&daemon->log, LOG_NOTICE, NULL,
              "event=worker-processes guests_in_each=\"%s\" hint=\"%s\"", count,
              most == 1 ? "none shares its process with another"
                        : "those that share one are kept apart by the device models alone: "
                          "worker_guests of 1 gives each its own");
}

static int start_workers(struct daemon *daemon, char *why)
{
    unsigned count = daemon_worker_count(daemon);
    struct worker_params params = {
        .pool_pages = daemon->config.pool_pages,
        .aio_depth = daemon->config.aio_depth,
        .poll_us = daemon->config.poll_us,
        .log = &daemon->log,
        .control = &daemon->mailbox,
    };

    if (daemon->config.isolation == ISOLATION_PROCESS) { /* they come with their guests */
        tell_who_shares(daemon);
        return worker_process_prepare(daemon, why);
    }
    for (unsigned i = 0; i < WORKER_HVS; i++) {
        params.host[i] = daemon->host[i];
        params.hv[i] = daemon->hv[i];
    }
    for (params.id = 0; params.id < count; params.id++) {
        const char *what;
        int err = worker_create(&params, &daemon->worker[params.id], &what);

        if (err) {
            snprintf(why, OPENER_WHY_SIZE, "worker %u: %s: %s", params.id, what, strerror(-err));
            return err;
        }
        daemon->n_workers++;
    }
    if (!pool_stats(daemon->worker[0]->pool)->locked)
        log_write(
            &daemon->log, LOG_NOTICE, NULL,
            "event=pool-unlocked hint=\"raise LimitMEMLOCK (ulimit -l) to lock disk buffers\"");
    return 0;
}

static void feed_watchdog(void *ctx)
{
    if (worker_process_progress(ctx))
        sd_notify(0, "WATCHDOG=1");
}

static void worker_is_late(void *ctx, unsigned worker, bool hangs)
{
    struct daemon *daemon = ctx;

    if (hangs)
        log_write(&daemon->log, LOG_CRIT, NULL, "event=worker-hangs worker=%u hint=\"%s\"", worker,
                  "its guests stand still; unless it goes on, the watchdog ends the daemon");
    else
        log_write(&daemon->log, LOG_NOTICE, NULL, "event=worker-goes-on worker=%u", worker);
}

/* Half of WatchdogSec=, as sd_watchdog_enabled(3) advises; none where there is none. */
static void start_watchdog(struct daemon *daemon)
{
    struct watchdog *watchdog = &daemon->watchdog;
    uint64_t usec;

    if (sd_watchdog_enabled(0, &usec) <= 0)
        return;
    watchdog->ev = daemon->ev;
    watchdog->control = &daemon->mailbox;
    watchdog->feed = feed_watchdog;
    watchdog->late = worker_is_late;
    watchdog->ctx = daemon;
    for (unsigned i = 0; i < daemon->n_workers; i++)
        watchdog_add(watchdog, &daemon->worker[i]->mailbox);
    watchdog_start(watchdog, (double)usec / 2e6);
}

/* Every guest that xl made holds a connection to the control socket. */
#define CONTROL_CLIENTS 4096u
#define STATS_CLIENTS   32u

static int open_server(struct daemon *daemon, const char *path, mode_t mode, const char *group,
                       const struct rpc_method *methods, unsigned clients,
                       struct rpc_server **ret_server, char *why)
{
    int fd, err = opener_listen(path, SOCK_STREAM, mode, group, &fd, why);

    if (err)
        return err;
    err = rpc_server_create(fd, &daemon->evloop.loop, methods, daemon, clients, ret_server);
    if (err) {
        snprintf(why, OPENER_WHY_SIZE, "%s: %s", path, strerror(-err));
        close(fd);
    }
    return err;
}

static char *metrics_of(void *ctx, enum metrics_format format)
{
    json_t *stats = daemon_stats_of(ctx, NULL, true);
    char *text = stats ? metrics_text(stats, format) : NULL;

    json_decref(stats);
    return text;
}

static int open_http(struct daemon *daemon, char *why)
{
    int fd, err;

    if (!daemon->config.metrics.http.port)
        return 0;
    err = opener_http(&daemon->config.metrics.http, &fd, why);
    if (err == -EAFNOSUPPORT) { /* the unit's doing: guests are worth more than metrics */
        log_write(&daemon->log, LOG_ERR, NULL, "event=no-metrics-over-http why=\"%s\"", why);
        return 0;
    }
    if (err)
        return err;
    err = http_create(fd, &daemon->evloop.loop, metrics_of, daemon, &daemon->http);
    if (err) {
        snprintf(why, OPENER_WHY_SIZE, "HTTP: %s", strerror(-err));
        close(fd);
    }
    return err;
}

static void on_signal(struct ev_loop *ev, ev_signal *signal, int revents)
{
    struct daemon *daemon = signal->data;

    log_write(&daemon->log, LOG_NOTICE, NULL, "event=signal signal=%d", signal->signum);
    /* Who asks again wants to know what it is that takes so long. */
    for (const struct guest *guest = daemon->guests; daemon->stopping && guest; guest = guest->next)
        log_write(&daemon->log, LOG_WARNING, guest->config.name,
                  "event=not-ended state=%s hint=\"%s\"", guest_state_name(guest),
                  "its disk requests are not back yet; SIGKILL abandons them");
    daemon_stop(daemon);
}

static void on_sighup(struct ev_loop *ev, ev_signal *signal, int revents)
{
    reload_begin(signal->data, NULL);
}

static void watch_signal(struct daemon *daemon, ev_signal *watcher, int signum,
                         void (*on)(struct ev_loop *ev, ev_signal *signal, int revents))
{
    ev_signal_init(watcher, on, signum);
    watcher->data = daemon;
    ev_signal_start(daemon->ev, watcher);
}

/* What the host lets the daemon have: daemon/resources.h. */
static int check_limits(struct daemon *daemon, char *why)
{
    uint64_t descriptors = resources_raise_descriptors();
    char hint[RESOURCES_WHY_SIZE];
    int err = resources_check_aio("/proc/sys/fs", daemon_worker_count(daemon),
                                  daemon->config.aio_depth, why, OPENER_WHY_SIZE);

    if (err)
        return err;
    err = resources_check_descriptors(descriptors, daemon_worker_count(daemon), hint);
    if (err == -EMFILE)
        snprintf(why, OPENER_WHY_SIZE, "%s", hint);
    else if (err)
        log_write(&daemon->log, LOG_WARNING, NULL, "event=few-descriptors hint=\"%s\"", hint);
    return err == -EMFILE ? err : 0;
}

int daemon_start(struct daemon *daemon, struct daemon_config *config)
{
    const char *stats_group = config->stats_group;
    char why[OPENER_WHY_SIZE] = "";
    int err;

    *daemon = (struct daemon){
        .config = *config,
        .hv = {[DAEMON_XEN] = &hv_xen_ops, [DAEMON_SHM] = &hv_shm_ops},
        .lock_fd = -1,
        .image_program = SERVED_PROGRAM,
        .image_patience_ns = SERVED_PATIENCE_NS,
        .worker_program = "/proc/self/exe",
    };
    log_init(&daemon->log, config->log_level);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until it is reload's: what it would read again is being read */
    daemon->ev = ev_default_loop(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!daemon->ev) {
        log_finish(&daemon->log);
        daemon_config_finish(&daemon->config);
        return -ENOMEM;
    }
    /* The default loop waits for all children (ev(3), "Overriding the Built-In Processing"); but
     * how a worker process ended is for daemon/worker_process.c to find out. */
    signal(SIGCHLD, SIG_DFL);
    evloop_init(&daemon->evloop, daemon->ev);
    mailbox_init(&daemon->mailbox, daemon->ev);
    subscriptions_init(&daemon->subscriptions, &daemon->evloop.loop, daemon_sample, daemon);
    daemon->started_ns = daemon->evloop.loop.ops->now_ns(daemon->evloop.loop.ctx);
    watch_signal(daemon, &daemon->sigterm, SIGTERM, on_signal);
    watch_signal(daemon, &daemon->sigint, SIGINT, on_signal);
    watch_signal(daemon, &daemon->sighup, SIGHUP, on_sighup);

    err = check_limits(daemon, why);
    if (!err)
        err = prepare_run_dir(daemon, why);
    if (!err)
        guests_dir_open(daemon);
    if (!err)
        err = open_hosts(daemon, why);
    if (!err)
        err = start_workers(daemon, why);
    if (!err)
        err = open_server(daemon, daemon->config.control_socket, 0600, "", daemon_control_methods,
                          CONTROL_CLIENTS, &daemon->control, why);
    if (!err)
        err = open_server(daemon, daemon->config.stats_socket, *stats_group ? 0660 : 0600,
                          stats_group, daemon_stats_methods, STATS_CLIENTS, &daemon->stats, why);
    if (!err)
        err = open_http(daemon, why);
    if (err) {
        log_write(&daemon->log, LOG_ERR, NULL, "event=start-failed why=\"%s\"", why);
        daemon_finish(daemon);
        return err;
    }
    log_write(&daemon->log, LOG_INFO, NULL,
              "event=started version=%s workers=%u isolation=%s xen=%s shm=%s", IOEMUD_VERSION,
              daemon_worker_count(daemon),
              daemon->config.isolation == ISOLATION_PROCESS ? "process" : "thread",
              daemon->host[DAEMON_XEN] ? "yes" : "no",
              daemon->host[DAEMON_SHM] ? daemon->config.shm_socket : "no");
    sd_notify(0, "READY=1");
    start_watchdog(daemon);
    return 0;
}

void daemon_set_source(struct daemon *daemon, const char *config_file, bool level_given)
{
    daemon->config_file = config_file;
    daemon->level_given = level_given;
}

void daemon_run(struct daemon *daemon)
{
    ev_run(daemon->ev, 0);
}

void daemon_stop(struct daemon *daemon)
{
    struct guest *next;

    if (daemon->stopping)
        return;
    daemon->stopping = true;
    sd_notify(0, "STOPPING=1");
    for (struct guest *guest = daemon->guests; guest; guest = next) {
        next = guest->next;
        guest_detach(guest, NULL, NULL);
    }
    if (!daemon->guests)
        ev_break(daemon->ev, EVBREAK_ALL);
}

static void close_server(struct rpc_server *server, const char *path)
{
    if (!server)
        return;
    rpc_server_destroy(server);
    unlink(path);
}

void daemon_finish(struct daemon *daemon)
{
    http_destroy(daemon->http);
    subscriptions_finish(&daemon->subscriptions);
    close_server(daemon->control, daemon->config.control_socket);
    close_server(daemon->stats, daemon->config.stats_socket);
    guests_dir_close(daemon);
    for (unsigned i = 0; i < daemon->n_workers; i++)
        worker_destroy(daemon->worker[i]);
    watchdog_stop(&daemon->watchdog);
    worker_process_forget(daemon);
    hv_shm_reaper_destroy(daemon->reaper);
    served_forget(daemon);
    for (unsigned i = 0; i < WORKER_HVS; i++) {
        if (!daemon->host[i])
            continue;
        ev_io_stop(daemon->ev, &daemon->host_io[i]);
        daemon->hv[i]->host_close(daemon->host[i]);
        if (i == DAEMON_SHM)
            unlink(daemon->config.shm_socket);
    }
    if (daemon->lock_fd >= 0)
        close(daemon->lock_fd);
    ev_signal_stop(daemon->ev, &daemon->sigterm);
    ev_signal_stop(daemon->ev, &daemon->sigint);
    ev_signal_stop(daemon->ev, &daemon->sighup);
    mailbox_finish(&daemon->mailbox);
    evloop_finish(&daemon->evloop);
    ev_loop_destroy(daemon->ev);
    log_write(&daemon->log, LOG_INFO, NULL, "event=stopped");
    log_finish(&daemon->log);
    daemon_config_finish(&daemon->config);
}
