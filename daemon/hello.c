/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/hello.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/backend/thread.h"

struct hello {
    const struct loop *loop;
    void (*over)(void *ctx);
    void *ctx;
    int fd;
    int over_fd; /* an eventfd */
    struct loop_watch *watch;
    bool runs;
    pthread_t thread;
    /* The thread's while it runs. */
    int fd_of_thread, err;
    struct nbd_handle *handle;
    struct nbd_export export;
    char why[NBD_WHY_SIZE];
};

static void *hear(void *arg)
{
    struct hello *hello = arg;

    hello->err = nbd_image_hello(hello->fd_of_thread, &hello->handle, &hello->export, hello->why);
    eventfd_write(hello->over_fd, 1);
    return NULL;
}

static void stop_watching(struct hello *hello)
{
    hello->loop->ops->unwatch(hello->loop->ctx, hello->watch);
    hello->watch = NULL;
    if (hello->over_fd >= 0)
        close(hello->over_fd); /* the image may be served for months */
    hello->over_fd = -1;
}

static void on_over(void *arg, unsigned events)
{
    struct hello *hello = arg;

    pthread_join(hello->thread, NULL);
    hello->runs = false;
    stop_watching(hello);
    hello->over(hello->ctx);
}

int hello_begin(const struct loop *loop, int fd, void (*over)(void *ctx), void *ctx,
                struct hello **ret_hello)
{
    struct hello *hello = calloc(1, sizeof(*hello));
    int err = 0;

    if (!hello)
        return -ENOMEM;
    *hello = (struct hello){.loop = loop, .over = over, .ctx = ctx, .fd = fd};
    hello->over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    hello->fd_of_thread = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (hello->over_fd < 0 || hello->fd_of_thread < 0)
        err = -errno;
    if (!err)
        err = loop->ops->watch(loop->ctx, hello->over_fd, LOOP_READ, on_over, hello, &hello->watch);
    if (!err)
        err = thread_start(&hello->thread, NULL, NULL, hear, hello);
    hello->runs = !err;
    if (err) {
        if (hello->fd_of_thread >= 0)
            close(hello->fd_of_thread);
        hello_end(hello);
        return err;
    }
    *ret_hello = hello;
    return 0;
}

int hello_take(struct hello *hello, struct nbd_handle **ret_handle, struct nbd_export *ret_export,
               char ret_why[NBD_WHY_SIZE])
{
    if (hello->err) {
        snprintf(ret_why, NBD_WHY_SIZE, "%s", hello->why);
        return hello->err;
    }
    *ret_handle = hello->handle;
    *ret_export = hello->export;
    hello->handle = NULL;
    return 0;
}

/* Of a program that talks it is the end, too: what is on its way is soon read. */
void hello_end(struct hello *hello)
{
    if (!hello)
        return;
    if (hello->runs) {
        shutdown(hello->fd, SHUT_RDWR);
        pthread_join(hello->thread, NULL);
    }
    nbd_image_discard(hello->handle);
    stop_watching(hello);
    free(hello);
}
