/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest possible ioreq server: one port of one domain's vCPU 0, answered with a constant.
 * It sleeps on the event channel, and does nothing that answering does not need. What a register
 * read costs with it is the floor for any device model that sleeps, on the machine at hand.
 *
 *   minserver DOMID PORT     until it is killed; prints "serves" when it is ready
 *
 * A domain's servers are asked from the highest id down, so one that is made after the domain's
 * own device model takes the port away from that.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>

#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

static void die(const char *what)
{
    fprintf(stderr, "minserver: %s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    xendevicemodel_handle *dm = xendevicemodel_open(NULL, 0);
    xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
    xenevtchn_handle *events = xenevtchn_open(NULL, 0);
    void *page = NULL;
    volatile ioreq_t *slot;
    uint16_t port;
    domid_t domid;
    ioservid_t id;
    xenevtchn_port_or_error_t local;

    if (argc != 3) {
        fprintf(stderr, "usage: minserver DOMID PORT\n");
        return 2;
    }
    domid = (domid_t)strtoul(argv[1], NULL, 0);
    port = (uint16_t)strtoul(argv[2], NULL, 0);
    if (!dm || !memory || !events)
        die("libraries");
    if (xendevicemodel_create_ioreq_server(dm, domid, 0, &id))
        die("create");
    if (!xenforeignmemory_map_resource(memory, domid, XENMEM_resource_ioreq_server, id,
                                       XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &page,
                                       PROT_READ | PROT_WRITE, 0))
        die("map");
    if (xendevicemodel_map_io_range_to_ioreq_server(dm, domid, id, 0, port, port))
        die("claim");
    if (xendevicemodel_set_ioreq_server_state(dm, domid, id, 1))
        die("enable");
    slot = &((shared_iopage_t *)page)->vcpu_ioreq[0];
    local = xenevtchn_bind_interdomain(events, domid, slot->vp_eport);
    if (local < 0)
        die("bind");
    puts("serves");
    fflush(stdout);
    for (;;) {
        xenevtchn_port_or_error_t fired = xenevtchn_pending(events);

        if (fired < 0 || xenevtchn_unmask(events, (evtchn_port_t)fired))
            die("event channel");
        if (slot->state != STATE_IOREQ_READY)
            continue;
        slot->data = 0x5a;
        /* Pairs with the hypervisor's barrier between reading the state and the data. */
        __atomic_thread_fence(__ATOMIC_RELEASE);
        slot->state = STATE_IORESP_READY;
        xenevtchn_notify(events, (evtchn_port_t)local);
    }
}
