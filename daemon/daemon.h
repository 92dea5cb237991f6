/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control side: what the main thread owns. Guests (daemon/guest.h) run on workers
 * (daemon/worker.h); everything here is touched by the main thread only.
 */
#ifndef IOEMUD_DAEMON_DAEMON_H
#define IOEMUD_DAEMON_DAEMON_H

#include <ev.h>

#include "config/config.h"
#include "daemon/evloop.h"
#include "daemon/guests_dir.h"
#include "daemon/log.h"
#include "daemon/mailbox.h"
#include "daemon/peer_log.h"
#include "daemon/rpc.h"
#include "daemon/subscribe.h"
#include "daemon/watchdog.h"
#include "daemon/worker.h"
#include "ioreq/hv.h"

#define DAEMON_WORKERS_MAX 64

/* Indices of worker.h's WORKER_HVS. */
enum daemon_hv {
    DAEMON_XEN,
    DAEMON_SHM,
};

struct guest;
struct http;
struct rom;
struct served;
struct worker_process;

struct daemon {
    struct daemon_config config;
    struct log log;
    struct peer_logs peer_logs;
    struct ev_loop *ev;
    struct evloop evloop;
    struct mailbox mailbox;
    const struct hv_ops *hv[WORKER_HVS];
    struct hv_host *host[WORKER_HVS]; /* NULL: not in use */
    ev_io host_io[WORKER_HVS];
    struct worker *worker[DAEMON_WORKERS_MAX];
    unsigned n_workers;               /* threads */
    struct worker_process *processes; /* daemon/worker_process.h: those that have not ended */
    unsigned next_worker;             /* the number of the next one */
    struct hv_shm_reaper *reaper;     /* of descriptors that they have sent; NULL: no processes */
    const char *worker_program;       /* what they execute; NULL: they go on as we are (tests) */
    ev_timer beat;                    /* whether they live */
    uid_t worker_uid;                 /* whom they become; 0: they stay who we are */
    gid_t worker_gid;
    struct guest *guests;
    struct rom *roms;           /* of NICs: daemon/guest_nics.c */
    struct served *served;      /* daemon/served.h: programs that have not ended */
    unsigned images_served;     /* so far, for names */
    const char *image_program;  /* SERVED_PROGRAM */
    uint64_t image_patience_ns; /* SERVED_PATIENCE_NS */
    struct guests_dir guests_dir;
    struct rpc_server *control, *stats;
    struct subscriptions subscriptions;
    struct http *http; /* NULL: not configured */
    ev_signal sigterm, sigint, sighup;
    struct watchdog watchdog;
    int lock_fd;
    uint64_t started_ns;
    const char *config_file; /* reads it again: the caller's; NULL: the default, if it is there */
    bool level_given;        /* on the command line, over the file's */
    struct reload *reload;   /* under way; NULL: none */
    bool stopping;           /* daemon_run() ends with the last guest */
    bool no_bufpio;          /* it was said that Xen has no buffered PIO page */
    unsigned untrimmed;      /* guests that have gone since memory was given back to the kernel */
};

/* Takes `config` over in any case. Logs why on failure. */
int daemon_start(struct daemon *daemon, struct daemon_config *config);
/* After that: where a reload reads it again, and whether its log level was given otherwise. */
void daemon_set_source(struct daemon *daemon, const char *config_file, bool level_given);
/* Serves until asked to stop and all guests have been detached. */
void daemon_run(struct daemon *daemon);
void daemon_finish(struct daemon *daemon);

/* Detaches all guests and ends daemon_run() when their last disk request is back. */
void daemon_stop(struct daemon *daemon);

/* How many workers there are to be, as far as guests do not need more. */
unsigned daemon_worker_count(const struct daemon *daemon);

/* daemon/methods.c: what the sockets answer. */
extern const struct rpc_method daemon_control_methods[];
extern const struct rpc_method daemon_stats_methods[];
/* What `subscribe` sends: struct subscriptions. */
json_t *daemon_sample(void *ctx, const json_t *params);

/* daemon/stats.c: everything countable as JSON; `only` NULL: all. NULL when memory is short. */
json_t *daemon_stats(struct daemon *daemon, const struct guest *only);
/* What stopped the guest at the disk of this unit (vm.h); NULL: nothing did. */
json_t *daemon_disk_stop(const struct guest *guest, unsigned unit);

#endif
