/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads beside the main one: the backends' and the daemon's. */
#ifndef IOEMUD_DEVICES_BACKEND_THREAD_H
#define IOEMUD_DEVICES_BACKEND_THREAD_H

#include <pthread.h>
#include <signal.h>

/* One that gets no signals: these are the main thread's. `attr` may be NULL, and `name`, of 15
 * bytes at most, too. -errno of pthread_create(3). */
static inline int thread_start(pthread_t *ret_thread, const pthread_attr_t *attr, const char *name,
                               void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(ret_thread, attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!err && name)
        pthread_setname_np(*ret_thread, name);
    return -err;
}

#endif
