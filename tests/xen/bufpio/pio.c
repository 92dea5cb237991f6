/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tester of the hypervisor's side of buffered PIO, without ioemud: an ioreq server that does
 * with its page what its guest (guest.c) asks for, and worse.
 *
 *   pio serve DOMID MODE     until the domain is gone or SIGTERM; prints "serves" when it does
 *   pio map DOMID            what a hypervisor makes of requests for the page
 */
#include "pio.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server.h"

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = 1;
}

/* Requests at ports. */

static uint32_t answer_of(unsigned size, uint8_t byte)
{
    uint32_t all = byte * 0x01010101u;

    return size == 4 ? all : all & ((1u << size * 8) - 1);
}

static bool is_data_port(uint64_t port)
{
    return port / PIO_PORTS != PIO_CONTROL / PIO_PORTS;
}

static void data_read(struct tester *t, volatile ioreq_t *slot)
{
    struct stream *stream = &t->stream;

    t->reads++;
    if (stream->kind == PIO_STREAM_READ && slot->addr == stream->port)
        slot->data = stream_read(t, slot->size);
    else
        slot->data = answer_of(slot->size, PIO_REQUEST);
}

static void data_write(struct tester *t, volatile ioreq_t *slot)
{
    struct stream *stream = &t->stream;
    uint32_t value = (uint32_t)slot->data;

    t->writes++;
    t->last = slot->size == 4 ? value : value & ((1u << slot->size * 8) - 1);
    if (stream->kind == PIO_STREAM_WRITE && slot->addr == stream->port)
        stream_write(t, slot->size, value);
}

/* `rep ins`, upwards, within a page of RAM: the tests need no more. */
static void data_string(struct tester *t, volatile ioreq_t *slot)
{
    xen_pfn_t gfn = slot->data >> 12;
    int err = 0;
    uint8_t *page =
        xenforeignmemory_map(t->memory, t->domid, PROT_READ | PROT_WRITE, 1, &gfn, &err);

    t->strings++;
    t->last = slot->count;
    if (!page)
        return;
    if (slot->dir == IOREQ_READ)
        memset(page + (slot->data & 4095), PIO_REQUEST, (size_t)slot->count * slot->size);
    xenforeignmemory_unmap(t->memory, page, 1);
}

static void serve_slot(struct tester *t, volatile ioreq_t *slot)
{
    if (slot->type != IOREQ_TYPE_PIO) {
        slot->data = UINT64_MAX;
    } else if (!is_data_port(slot->addr)) {
        if (slot->dir == IOREQ_READ)
            slot->data = t->mode;
        else if (!t->command)
            map_command(t, (uint32_t)slot->data);
        else
            command(t);
    } else if (slot->data_is_ptr) {
        data_string(t, slot);
    } else if (slot->dir == IOREQ_READ) {
        data_read(t, slot);
    } else {
        data_write(t, slot);
    }
}

static void serve_second(struct tester *t, volatile ioreq_t *slot)
{
    t->second_requests++;
    if (slot->dir == IOREQ_READ)
        slot->data = answer_of(slot->size, PIO_REQUEST_SECOND);
}

static void serve_all(struct tester *t, struct server *server,
                      void (*serve)(struct tester *t, volatile ioreq_t *slot))
{
    for (unsigned v = 0; server->slots && v < t->vcpus; v++) {
        volatile ioreq_t *slot = &server->slots->vcpu_ioreq[v];

        if (slot->state != STATE_IOREQ_READY)
            continue;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        serve(t, slot);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        slot->state = STATE_IORESP_READY;
        xenevtchn_notify(t->events, server->port[v]);
    }
}

/* What a command asked for once it is answered. */
static void do_afterwards(struct tester *t)
{
    if (t->blink_ms) {
        server_enable(t, &t->first, false);
        usleep(t->blink_ms * 1000);
        server_enable(t, &t->first, true);
        t->blink_ms = 0;
    }
    if (t->leave) {
        t->leave = false;
        server_destroy(t, &t->first);
        /* Mapped, the page is still there, and is no more than that. */
        memset(t->page, 0x5a, BUFPIO_PAGE);
        printf("pio: left, byte %#x\n", t->page[BUFPIO_PAGE - 1]);
    }
}

static void loop(struct tester *t)
{
    struct pollfd fd = {.fd = xenevtchn_fd(t->events), .events = POLLIN};

    while (!stop) {
        /* Busy while there is a stream, for there is to be much to collide with. */
        if (poll(&fd, 1, t->stream.kind ? 0 : 100) > 0) {
            xenevtchn_port_or_error_t port = xenevtchn_pending(t->events);

            if (port >= 0)
                xenevtchn_unmask(t->events, (evtchn_port_t)port);
        }
        serve_all(t, &t->first, serve_slot);
        serve_all(t, &t->second, serve_second);
        do_afterwards(t);
        stream_turn(t);
    }
}

static void tester_open(struct tester *t, uint32_t domid)
{
    t->domid = (domid_t)domid;
    t->dm = xendevicemodel_open(NULL, 0);
    t->memory = xenforeignmemory_open(NULL, 0);
    t->events = xenevtchn_open(NULL, 0);
    t->random = 88172645463325252u + domid;
    if (!t->dm || !t->memory || !t->events)
        die("libraries");
    if (xendevicemodel_nr_vcpus(t->dm, t->domid, &t->vcpus))
        die("vCPUs");
    if (t->vcpus > TESTER_VCPUS)
        t->vcpus = TESTER_VCPUS;
}

static int serve(struct tester *t, uint32_t domid, uint32_t mode)
{
    static const uint16_t ports[] = {PIO_PRIMARY, PIO_SECONDARY, PIO_CONTROL, PIO_OTHERS};

    tester_open(t, domid);
    t->mode = mode;
    server_create(t, &t->first);
    t->page = map_page(t, t->first.id, BUFPIO_RESOURCE_FRAME, 1, &t->page_resource);
    if (!t->page)
        die("map the page");
    for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        server_claim(t, &t->first, ports[i], PIO_PORTS);
    /* Beside a device of Xen's own, the timer of power management, whose entry a test arms. */
    server_claim(t, &t->first, PIO_PM_TIMER, 4);
    server_enable(t, &t->first, true);
    printf("pio: serves\n");
    signal(SIGTERM, on_signal);
    loop(t);
    garbage_end(t);
    if (t->first.slots)
        server_destroy(t, &t->first);
    xenforeignmemory_unmap_resource(t->memory, t->page_resource);
    printf("pio: ends\n");
    return 0;
}

/* One mapping that is to succeed or to fail with `wanted`. */
static void try_map(struct tester *t, const char *name, ioservid_t id, uint32_t frame,
                    unsigned frames, int wanted)
{
    xenforeignmemory_resource_handle *resource = NULL;
    uint8_t *page;
    int got = 0;

    errno = 0;
    page = map_page(t, id, frame, frames, &resource);
    if (!page)
        got = errno;
    else
        xenforeignmemory_unmap_resource(t->memory, resource);
    if (got == wanted)
        printf("ok map_%s\n", name);
    else
        printf("not ok map_%s - %s, not %s\n", name, strerror(got), strerror(wanted));
}

/* Which requests for frames are good, and that they all give the same page, zeroed. */
static int map(struct tester *t, uint32_t domid)
{
    xenforeignmemory_resource_handle *resources[2] = {NULL, NULL};
    uint8_t *pages[2];
    bool zero = true;

    tester_open(t, domid);
    server_create(t, &t->first);
    pages[0] = map_page(t, t->first.id, BUFPIO_RESOURCE_FRAME, 1, &resources[0]);
    if (!pages[0]) {
        printf("pio: no page: %s\n", strerror(errno));
        server_destroy(t, &t->first);
        return 1;
    }
    for (unsigned i = 0; i < BUFPIO_PAGE; i++)
        zero &= pages[0][i] == 0;
    printf("%sok map_zeroed\n", zero ? "" : "not ");
    pages[0][100] = 0x77;
    pages[1] = map_page(t, t->first.id, BUFPIO_RESOURCE_FRAME, 1, &resources[1]);
    printf("%sok map_again_the_same\n", pages[1] && pages[1][100] == 0x77 ? "" : "not ");
    try_map(t, "once_more", t->first.id, BUFPIO_RESOURCE_FRAME, 1, 0);
    try_map(t, "two_frames", t->first.id, BUFPIO_RESOURCE_FRAME, 2, EINVAL);
    try_map(t, "frame_before", t->first.id, BUFPIO_RESOURCE_FRAME - 1, 1, EINVAL);
    try_map(t, "frame_behind", t->first.id, BUFPIO_RESOURCE_FRAME + 1, 1, EINVAL);
    try_map(t, "no_server", (ioservid_t)(t->first.id + 1), BUFPIO_RESOURCE_FRAME, 1, ENOENT);
    try_map(t, "ioreq_page_still", t->first.id, XENMEM_resource_ioreq_server_frame_ioreq(0), 1, 0);
    server_destroy(t, &t->first);
    try_map(t, "after_the_server", t->first.id, BUFPIO_RESOURCE_FRAME, 1, ENOENT);
    printf("%sok map_outlives_the_server\n", pages[0][100] == 0x77 ? "" : "not ");
    server_create(t, &t->first);
    xenforeignmemory_unmap_resource(t->memory, resources[1]);
    pages[1] = map_page(t, t->first.id, BUFPIO_RESOURCE_FRAME, 1, &resources[1]);
    printf("%sok map_of_the_next_server_is_another\n", pages[1] && !pages[1][100] ? "" : "not ");
    server_destroy(t, &t->first);
    xenforeignmemory_unmap_resource(t->memory, resources[0]);
    xenforeignmemory_unmap_resource(t->memory, resources[1]);
    return 0;
}

int main(int argc, char **argv)
{
    static struct tester t;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 4 && !strcmp(argv[1], "serve"))
        return serve(&t, (uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]));
    if (argc == 3 && !strcmp(argv[1], "map"))
        return map(&t, (uint32_t)atoi(argv[2]));
    fprintf(stderr, "usage: pio serve DOMID MODE | map DOMID\n");
    return 2;
}
