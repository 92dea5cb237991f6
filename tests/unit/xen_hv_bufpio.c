/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file that becomes a part of Xen in the place of the peer's half of the page (hv_bufpio.h):
 * tests that are linked with this show that it and the daemon's half agree.
 */
#include "xen_rig.h"

/* The daemon has one of that name. */
#define bufpio_init xen_bufpio_init
#include "bufpio_xen.h"

#include "bufpio_xen_code.h"

#include "tests/peer/hv_bufpio.h"

static struct domain domain;
static struct ioreq_server server = {.target = &domain, .emulator = &domain, .all_ports = true};
static struct vcpu vcpu = {.domain = &domain};

void hv_bufpio_init(struct hv_bufpio *hv, struct bufpio_page *page)
{
    mfn_t mfn;

    *hv = (struct hv_bufpio){.page = page};
    domain.ioreq_server.server[0] = &server;
    xen_bufpio_init(&domain);
    rig_given_page = (uint8_t *)page;
    if (bufpio_get_frame(&server, &mfn))
        abort();
    server.enabled = true;
}

void hv_bufpio_finish(struct hv_bufpio *hv)
{
    server.enabled = false;
    bufpio_free(&server);
    if (rig_pages || rig_references || rig_mappings)
        abort();
}

bool hv_bufpio_access(struct hv_bufpio *hv, uint16_t port, unsigned size, bool write,
                      uint32_t *value)
{
    ioreq_t p = {
        .type = IOREQ_TYPE_PIO,
        .addr = port,
        .size = size,
        .count = 1,
        .dir = write ? IOREQ_WRITE : IOREQ_READ,
    };
    uint64_t data = *value;
    bool answered;

    current = &vcpu;
    answered = rig_handler.ops->accept(&rig_handler, &p) &&
               (write ? rig_handler.ops->write(&rig_handler, port, size, data)
                      : rig_handler.ops->read(&rig_handler, port, size, &data)) == X86EMUL_OKAY;
    if (answered && !write)
        *value = (uint32_t)data;
    __atomic_fetch_add(answered ? &hv->answered : &hv->declined, 1, __ATOMIC_RELAXED);
    return answered;
}
