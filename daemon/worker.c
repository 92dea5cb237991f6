/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/backend/thread.h"

static void *worker_main(void *arg)
{
    struct worker *worker = arg;

    ev_run(worker->ev, 0);
    return NULL;
}

static void worker_free(struct worker *worker)
{
    for (unsigned i = 0; i < WORKER_HVS; i++)
        if (worker->hv[i])
            worker->params.hv[i]->worker_close(worker->hv[i]);
    aio_destroy(worker->aio);
    pool_destroy(worker->pool);
    if (worker->ev) {
        watcher_finish(&worker->watcher);
        mailbox_finish(&worker->mailbox);
        evloop_finish(&worker->evloop);
        ev_loop_destroy(worker->ev);
    }
    free(worker);
}

static int start_thread(struct worker *worker)
{
    char name[16];

    snprintf(name, sizeof(name), "worker%u", worker->params.id);
    return thread_start(&worker->thread, NULL, name, worker_main, worker);
}

int worker_open(struct worker *worker, const char **ret_why)
{
    const struct worker_params *params = &worker->params;
    int err;

    *ret_why = "memory";
    worker->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!worker->ev)
        return -ENOMEM;
    evloop_init(&worker->evloop, worker->ev);
    mailbox_init(&worker->mailbox, worker->ev);
    watcher_init(&worker->watcher, &worker->evloop, params->poll_us);

    *ret_why = "page pool";
    err = pool_create(params->pool_pages, &worker->pool);
    if (err)
        return err;
    err = aio_create(&worker->evloop.loop, params->aio_depth, &worker->aio);
    *ret_why =
        err == -EAGAIN ? "libaio context (is fs.aio-max-nr large enough?)" : "libaio context";
    for (unsigned i = 0; i < WORKER_HVS && !err; i++) {
        if (!params->host[i])
            continue;
        *ret_why = params->hv[i]->name;
        err = params->hv[i]->worker_open(params->host[i], &worker->hv[i]);
    }
    return err;
}

int worker_create(const struct worker_params *params, struct worker **ret_worker,
                  const char **ret_why)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    int err;

    *ret_why = "memory";
    if (!worker)
        return -ENOMEM;
    worker->params = *params;
    err = worker_open(worker, ret_why);
    if (!err) {
        *ret_why = "thread";
        err = start_thread(worker);
    }
    if (err)
        worker_free(worker);
    else
        *ret_worker = worker;
    return err;
}

bool worker_has_room(const struct worker *worker, unsigned disks)
{
    uint64_t held = (uint64_t)(worker->disks + disks) * (BLK_HELD_BYTES / POOL_PAGE);

    return held + BLK_MAX_BYTES / POOL_PAGE <= worker->params.pool_pages;
}

static void on_end(struct mail *mail)
{
    struct worker *worker = (struct worker *)((char *)mail - offsetof(struct worker, end));

    ev_break(worker->ev, EVBREAK_ALL);
}

void worker_destroy(struct worker *worker)
{
    if (!worker)
        return;
    worker->end.run = on_end;
    mailbox_post(&worker->mailbox, &worker->end);
    pthread_join(worker->thread, NULL);
    worker_free(worker);
}
