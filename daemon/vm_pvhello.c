/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images that programs serve, in a worker process: their connections until a PV disk has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/hello.h"
#include "daemon/vm_pv.h"

struct vm_hello {
    struct vm_hello *next; /* of the vm's */
    struct vm *vm;
    unsigned unit;
    uint32_t serial;
    int fd;              /* the socket; -1: it has been heard */
    struct hello *hello; /* NULL likewise */
    struct nbd_handle *handle;
};

static void hello_free(struct vm_hello *of)
{
    struct vm_hello **link = &of->vm->hellos;

    while (*link != of)
        link = &(*link)->next;
    *link = of->next;
    hello_end(of->hello);
    if (of->fd >= 0)
        close(of->fd);
    nbd_image_discard(of->handle);
    free(of);
}

static struct vm_hello *find(const struct vm *vm, unsigned unit)
{
    struct vm_hello *of = vm->hellos;

    while (of && of->unit != unit)
        of = of->next;
    return of;
}

static void on_over(void *ctx)
{
    struct vm_hello *of = ctx;
    const struct vm_params *params = &of->vm->params;
    struct vm_pv_news news = {.event = VM_PV_HEARD, .serial = of->serial};

    _Static_assert(sizeof(news.why) >= NBD_WHY_SIZE, "all of it is told");
    news.error = hello_take(of->hello, &of->handle, &news.export, news.why);
    hello_end(of->hello);
    of->hello = NULL;
    close(of->fd);
    of->fd = -1;
    params->pv_news(params->ctx, of->unit, &news);
}

int vm_pv_hear(struct vm *vm, unsigned unit, uint32_t serial, int fd)
{
    struct vm_hello *of;
    int err;

    vm_pv_unhear(vm, unit);
    of = calloc(1, sizeof(*of));
    if (!of) {
        close(fd);
        return -ENOMEM;
    }
    *of = (struct vm_hello){.next = vm->hellos, .vm = vm, .unit = unit, .serial = serial, .fd = fd};
    vm->hellos = of;
    err = hello_begin(&vm->worker->evloop.loop, fd, on_over, of, &of->hello);
    if (err)
        hello_free(of);
    return err;
}

void vm_pv_unhear(struct vm *vm, unsigned unit)
{
    struct vm_hello *of = find(vm, unit);

    if (of)
        hello_free(of);
}

void vm_pv_unhear_all(struct vm *vm)
{
    while (vm->hellos)
        hello_free(vm->hellos);
}

struct nbd_handle *vm_pv_heard(struct vm *vm, unsigned unit)
{
    struct vm_hello *of = find(vm, unit);
    struct nbd_handle *handle = of ? of->handle : NULL;

    if (!of)
        return NULL;
    of->handle = NULL;
    hello_free(of);
    return handle;
}
