/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pio.h"

void die(const char *what)
{
    printf("pio: FAILED: %s: %s\n", what, strerror(errno));
    exit(1);
}

void server_create(struct tester *t, struct server *server)
{
    void *page = NULL;

    memset(server, 0, sizeof(*server));
    if (xendevicemodel_create_ioreq_server(t->dm, t->domid, 0 /* no buffered ring */, &server->id))
        die("create");
    server->resource = xenforeignmemory_map_resource(
        t->memory, t->domid, XENMEM_resource_ioreq_server, server->id,
        XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &page, PROT_READ | PROT_WRITE, 0);
    if (!server->resource)
        die("map requests");
    server->slots = page;
}

void server_claim(struct tester *t, struct server *server, uint16_t first, uint16_t count)
{
    if (xendevicemodel_map_io_range_to_ioreq_server(t->dm, t->domid, server->id, 0, first,
                                                    first + count - 1u))
        die("claim");
}

void server_enable(struct tester *t, struct server *server, bool enabled)
{
    if (xendevicemodel_set_ioreq_server_state(t->dm, t->domid, server->id, enabled))
        die("enable");
    if (!enabled || server->bound)
        return;
    for (unsigned v = 0; v < t->vcpus; v++) {
        xenevtchn_port_or_error_t port =
            xenevtchn_bind_interdomain(t->events, t->domid, server->slots->vcpu_ioreq[v].vp_eport);

        if (port < 0)
            die("bind");
        server->port[v] = (evtchn_port_t)port;
    }
    server->bound = true;
}

void server_destroy(struct tester *t, struct server *server)
{
    for (unsigned v = 0; server->bound && v < t->vcpus; v++)
        xenevtchn_unbind(t->events, server->port[v]);
    server->bound = false;
    /* The domain may be gone. */
    if (xendevicemodel_destroy_ioreq_server(t->dm, t->domid, server->id))
        printf("pio: destroy: %s\n", strerror(errno));
    xenforeignmemory_unmap_resource(t->memory, server->resource);
    server->slots = NULL;
}

uint8_t *map_page(struct tester *t, ioservid_t id, uint32_t frame, unsigned frames,
                  xenforeignmemory_resource_handle **ret_resource)
{
    void *page = NULL;

    *ret_resource =
        xenforeignmemory_map_resource(t->memory, t->domid, XENMEM_resource_ioreq_server, id, frame,
                                      frames, &page, PROT_READ | PROT_WRITE, 0);
    return *ret_resource ? page : NULL;
}

void map_command(struct tester *t, uint32_t address)
{
    xen_pfn_t gfn = address >> 12;
    int err = 0;
    uint8_t *page =
        xenforeignmemory_map(t->memory, t->domid, PROT_READ | PROT_WRITE, 1, &gfn, &err);

    if (!page)
        die("map the guest's commands");
    t->command = (struct pio_command *)(page + (address & 4095));
}
