// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/backend/offload.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/backend/thread.h"

struct queue {
    struct offload_op *first, **last;
};

struct offload {
    const struct loop *loop;
    struct loop_watch *watch;
    int event_fd; /* counts what is in `finished` */
    pthread_t thread;
    unsigned under_way; /* the loop's: submitted and not yet done */

    pthread_mutex_t lock; /* of all below; never held during a call */
    pthread_cond_t wake;
    struct queue waiting, finished;
    bool stop;
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void push(struct queue *queue, struct offload_op *op)
{
    op->next = NULL;
    *queue->last = op;
    queue->last = &op->next;
}

static struct offload_op *pop(struct queue *queue)
{
    struct offload_op *op = queue->first;

    if (!op)
        return NULL;
    queue->first = op->next;
    if (!queue->first)
        queue->last = &queue->first;
    return op;
}

static void *helper(void *arg)
{
    struct offload *offload = arg;
    const uint64_t one = 1;
    struct offload_op *op;

    pthread_mutex_lock(&offload->lock);
    for (;;) {
        while (!(op = pop(&offload->waiting)) && !offload->stop)
            pthread_cond_wait(&offload->wake, &offload->lock);
        if (!op)
            break;
        pthread_mutex_unlock(&offload->lock);
        op->result = op->run(op);
        pthread_mutex_lock(&offload->lock);
        push(&offload->finished, op);
        ssize_t n = write(offload->event_fd, &one, sizeof(one));
        (void)n; /* fails only when the count is at its end, and then the loop is awake anyway */
    }
    pthread_mutex_unlock(&offload->lock);
    return NULL;
}

/* What is finished meanwhile counts anew and has its turn later. */
static void on_event(void *arg, unsigned events)
{
    struct offload *offload = arg;
    struct queue finished;
    uint64_t count;

    if (read(offload->event_fd, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&offload->lock);
    finished = offload->finished;
    queue_init(&offload->finished);
    pthread_mutex_unlock(&offload->lock);
    for (struct offload_op *op = finished.first, *next; op; op = next) {
        next = op->next;
        assert(offload->under_way);
        offload->under_way--;
        op->done(op, op->result);
    }
}

void offload_submit(struct offload *offload, struct offload_op *op)
{
    offload->under_way++;
    pthread_mutex_lock(&offload->lock);
    push(&offload->waiting, op);
    pthread_cond_signal(&offload->wake);
    pthread_mutex_unlock(&offload->lock);
}

int offload_create(const struct loop *loop, struct offload **ret_offload)
{
    struct offload *offload = calloc(1, sizeof(*offload));
    int error;

    if (!offload)
        return -ENOMEM;
    offload->loop = loop;
    queue_init(&offload->waiting);
    queue_init(&offload->finished);
    pthread_mutex_init(&offload->lock, NULL);
    pthread_cond_init(&offload->wake, NULL);
    offload->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (offload->event_fd < 0) {
        error = -errno;
        goto free_offload;
    }
    error = loop->ops->watch(loop->ctx, offload->event_fd, LOOP_READ, on_event, offload,
                             &offload->watch);
    if (error)
        goto close_event;
    error = thread_start(&offload->thread, NULL, "discard", helper, offload);
    if (error)
        goto unwatch;
    *ret_offload = offload;
    return 0;

unwatch:
    loop->ops->unwatch(loop->ctx, offload->watch);
close_event:
    close(offload->event_fd);
free_offload:
    pthread_cond_destroy(&offload->wake);
    pthread_mutex_destroy(&offload->lock);
    free(offload);
    return error;
}

void offload_destroy(struct offload *offload)
{
    if (!offload)
        return;
    assert(!offload->under_way);
    pthread_mutex_lock(&offload->lock);
    offload->stop = true;
    pthread_cond_signal(&offload->wake);
    pthread_mutex_unlock(&offload->lock);
    pthread_join(offload->thread, NULL);
    offload->loop->ops->unwatch(offload->loop->ctx, offload->watch);
    close(offload->event_fd);
    pthread_cond_destroy(&offload->wake);
    pthread_mutex_destroy(&offload->lock);
    free(offload);
}
