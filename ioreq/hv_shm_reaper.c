/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ioreq/hv_shm_reaper.h"

/* Waiting for a close() that does not come back. Beyond BUSY there are no new peers and no new
 * messages; the rest has room for what one message brings (253, the kernel's limit) and for those
 * that hang up. Beyond all of it descriptors stay open. */
#define QUEUE      1024u
#define BUSY       256u
#define STACK_SIZE 65536u

struct hv_shm_reaper {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int fd[QUEUE];
    unsigned count;
    bool running; /* there is a thread */
    bool stop;
};

static void reaper_free(struct hv_shm_reaper *reaper)
{
    pthread_cond_destroy(&reaper->cond);
    pthread_mutex_destroy(&reaper->lock);
    free(reaper);
}

static void *reaper_thread(void *arg)
{
    struct hv_shm_reaper *reaper = arg;

    pthread_mutex_lock(&reaper->lock);
    for (;;) {
        int fd;

        while (!reaper->count && !reaper->stop)
            pthread_cond_wait(&reaper->cond, &reaper->lock);
        if (!reaper->count)
            break;
        fd = reaper->fd[0];
        memmove(reaper->fd, reaper->fd + 1, --reaper->count * sizeof(reaper->fd[0]));
        pthread_mutex_unlock(&reaper->lock);
        close(fd);
        pthread_mutex_lock(&reaper->lock);
    }
    reaper->running = false;
    pthread_cond_broadcast(&reaper->cond);
    pthread_mutex_unlock(&reaper->lock);
    return NULL;
}

int hv_shm_reaper_create(struct hv_shm_reaper **ret_reaper)
{
    struct hv_shm_reaper *reaper = calloc(1, sizeof(*reaper));

    if (!reaper)
        return -ENOMEM;
    pthread_mutex_init(&reaper->lock, NULL);
    pthread_cond_init(&reaper->cond, NULL);
    *ret_reaper = reaper;
    return 0;
}

/* With the lock held. Who has no peers has no thread. */
static bool reaper_start(struct hv_shm_reaper *reaper)
{
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_t thread;

    if (reaper->running)
        return true;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    reaper->running = pthread_create(&thread, &attr, reaper_thread, reaper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return reaper->running;
}

void hv_shm_reaper_close(struct hv_shm_reaper *reaper, int fd)
{
    if (fcntl(fd, F_GET_SEALS) >= 0) {
        close(fd);
        return;
    }
    pthread_mutex_lock(&reaper->lock);
    if (reaper->count < QUEUE)
        reaper->fd[reaper->count++] = fd;
    /* If there can be no thread now it waits for the next call. */
    if (reaper_start(reaper))
        pthread_cond_broadcast(&reaper->cond);
    pthread_mutex_unlock(&reaper->lock);
}

void hv_shm_reaper_close_all(struct hv_shm_reaper *reaper, const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        hv_shm_reaper_close(reaper, fds[i]);
}

bool hv_shm_reaper_busy(struct hv_shm_reaper *reaper)
{
    bool busy;

    pthread_mutex_lock(&reaper->lock);
    if (reaper->count)
        reaper_start(reaper);
    busy = reaper->count > BUSY;
    pthread_mutex_unlock(&reaper->lock);
    return busy;
}

void hv_shm_reaper_destroy(struct hv_shm_reaper *reaper)
{
    struct timespec until;
    bool free_now;

    if (!reaper)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_mutex_lock(&reaper->lock);
    if (reaper->count)
        reaper_start(reaper);
    reaper->stop = true;
    pthread_cond_broadcast(&reaper->cond);
    while (reaper->running)
        if (pthread_cond_timedwait(&reaper->cond, &reaper->lock, &until) == ETIMEDOUT)
            break;
    /* One that hangs in a close() keeps it: the process is about to end. */
    free_now = !reaper->running;
    pthread_mutex_unlock(&reaper->lock);
    if (free_now)
        reaper_free(reaper);
}
