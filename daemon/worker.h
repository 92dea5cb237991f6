/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: a thread, or the only one of a process, with an event loop, a libaio context and a
 * page pool of its own, that runs the devices of the guests pinned to it. Workers share nothing
 * but their mailboxes.
 *
 * After it served a guest it watches that guest's pages for a while instead of sleeping at once:
 * the next request then costs no wake-up. How long adapts to whether that paid off; an idle guest
 * costs nothing.
 */
#ifndef IOEMUD_DAEMON_WORKER_H
#define IOEMUD_DAEMON_WORKER_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/evloop.h"
#include "daemon/log.h"
#include "daemon/mailbox.h"
#include "daemon/watch.h"
#include "devices/backend/aio.h"
#include "devices/backend/blk.h"
#include "devices/backend/pool.h"
#include "devices/histogram.h"
#include "ioreq/hv.h"

#define WORKER_HVS 2 /* hv_xen, hv_shm: as in daemon.h */

struct worker_params {
    unsigned id;
    unsigned pool_pages, aio_depth, poll_us;
    struct hv_host *host[WORKER_HVS]; /* NULL where not in use */
    const struct hv_ops *hv[WORKER_HVS];
    const struct log *log;
    struct mailbox *control; /* the main thread's */
};

struct dispatch_vcpu;

struct worker {
    struct worker_params params;
    pthread_t thread;
    struct ev_loop *ev;
    struct evloop evloop;
    struct mailbox mailbox;
    struct aio *aio;
    struct pool *pool;
    struct hv_worker *hv[WORKER_HVS];

    struct watcher watcher;
    struct histogram round_trip; /* of its guests' requests, as far as they are timed */
    struct histogram io;         /* of their disks' requests: all of them */

    struct mail end; /* worker_destroy() */

    bool is_process; /* daemon/worker_process.h, which has more of it: a thread has not */

    unsigned guests; /* the control side's count, for pinning */
    unsigned disks;  /* of them: worker_has_room() */
};

/* Starts the thread. On failure nothing is left; `ret_why` says which part failed. */
int worker_create(const struct worker_params *params, struct worker **ret_worker,
                  const char **ret_why);
/* All but the thread: in a worker process, with `params` set and the rest zeroed. As above, but
 * what was opened stays until the process ends. */
int worker_open(struct worker *worker, const char **ret_why);
/* Ends the thread; it must have no guests. NULL is fine. */
void worker_destroy(struct worker *worker);

/* Whether so many more disks leave enough of the pool for one largest request even if every guest
 * holds what it can (BLK_HELD_BYTES a disk): then none can stop another's. */
bool worker_has_room(const struct worker *worker, unsigned disks);

#endif
