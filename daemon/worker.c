/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/vm.h"

static uint64_t now_ns(const struct worker *worker)
{
    return worker->evloop.loop.ops->now_ns(worker->evloop.loop.ctx);
}

/* Looks at the pages of all watched guests once. False: one has spent its budget, so that it is
 * time for others: descriptors, disk requests to submit, the control side. */
static bool look(struct worker *worker)
{
    bool all = true;

    for (struct vm *vm = worker->hot; vm; vm = vm->next_hot) {
        if (vm_poll(vm))
            __atomic_store_n(&worker->polls_hit, worker->polls_hit + 1, __ATOMIC_RELAXED);
        all &= !vm->dispatch.more;
    }
    return all;
}

/* Lets go of those guests whose time is up. */
static void expire(struct worker *worker)
{
    uint64_t now = now_ns(worker);

    for (struct vm **at = &worker->hot; *at;) {
        struct vm *vm = *at;

        if (vm_poll_goes_on(vm, now)) {
            at = &vm->next_hot;
            continue;
        }
        *at = vm->next_hot;
        vm->hot = false;
        vm_poll_end(vm);
    }
}

/* How often the pages are looked at between two looks at the clock and at the descriptors, which
 * cost system calls. */
#define LOOKS_PER_TURN 64u

/* Only there so that the loop does not sleep. It is no place to look from: an idle watcher rests
 * as long as any descriptor is ready, and the guests that are watched have their events masked. */
static void on_poll(struct ev_loop *ev, ev_idle *idle, int revents)
{
}

void worker_watch_pages(struct worker *worker, struct vm *vm)
{
    if (vm->hot)
        return;
    vm->hot = true;
    vm->next_hot = worker->hot;
    worker->hot = vm;
    if (!ev_is_active(&worker->poll))
        ev_idle_start(worker->ev, &worker->poll);
}

void worker_unwatch_pages(struct worker *worker, struct vm *vm)
{
    for (struct vm **at = &worker->hot; *at; at = &(*at)->next_hot) {
        if (*at != vm)
            continue;
        *at = vm->next_hot;
        break;
    }
    vm->hot = false;
}

/* After the descriptors of each turn, whatever came from them. */
static void on_check(struct ev_loop *ev, ev_check *check, int revents)
{
    struct worker *worker = check->data;

    __atomic_store_n(&worker->wakeups, worker->wakeups + 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; worker->hot && i < LOOKS_PER_TURN && look(worker); i++)
        __builtin_ia32_pause();
    if (worker->hot)
        expire(worker);
    if (!worker->hot && ev_is_active(&worker->poll))
        ev_idle_stop(ev, &worker->poll);
}

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
        mailbox_finish(&worker->mailbox);
        evloop_finish(&worker->evloop);
        ev_loop_destroy(worker->ev);
    }
    free(worker);
}

static int start_thread(struct worker *worker)
{
    sigset_t all, old;
    char name[16];
    int err;

    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        return -err;
    snprintf(name, sizeof(name), "worker%u", worker->params.id);
    pthread_setname_np(worker->thread, name);
    return 0;
}

int worker_create(const struct worker_params *params, struct worker **ret_worker,
                  const char **ret_why)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    int err = -ENOMEM;

    *ret_why = "memory";
    if (!worker)
        return -ENOMEM;
    worker->params = *params;
    worker->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!worker->ev)
        goto free_worker;
    evloop_init(&worker->evloop, worker->ev);
    mailbox_init(&worker->mailbox, worker->ev);
    ev_idle_init(&worker->poll, on_poll);
    worker->poll.data = worker;
    ev_check_init(&worker->check, on_check);
    ev_set_priority(&worker->check, EV_MINPRI);
    worker->check.data = worker;
    ev_check_start(worker->ev, &worker->check);
    ev_unref(worker->ev);

    *ret_why = "page pool";
    err = pool_create(params->pool_pages, &worker->pool);
    if (err)
        goto free_worker;
    *ret_why = "libaio context (is fs.aio-max-nr large enough?)";
    err = aio_create(&worker->evloop.loop, params->aio_depth, &worker->aio);
    if (err)
        goto free_worker;
    for (unsigned i = 0; i < WORKER_HVS; i++) {
        if (!params->host[i])
            continue;
        *ret_why = params->hv[i]->name;
        err = params->hv[i]->worker_open(params->host[i], &worker->hv[i]);
        if (err)
            goto free_worker;
    }
    *ret_why = "thread";
    err = start_thread(worker);
    if (err)
        goto free_worker;
    *ret_worker = worker;
    return 0;

free_worker:
    worker_free(worker);
    return err;
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
