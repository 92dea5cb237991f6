/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A script of register accesses, block transfers, frames from outside, waiting and migrations, read
 * from the input, against an NE2000 whose data port the hypervisor answers from the buffered PIO
 * page. Invariants, each an assert:
 *  - guest memory is never touched
 *  - an access receives nothing: CURR moves by receiving between accesses only, or by being written
 *  - what leaves is a frame, no longer than one
 *  - INTA is what ISR and IMR make it
 *  - the page's positions are never refused
 *  - quiesced, the state loads into a new NIC and saves as it was; a made-up one is refused or
 *    works
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/net/ne2000_internal.h"
#include "tests/fuzz/nic_script.h"
#include "tests/unit/bufpio_rig.h"
#include "tests/unit/ne2000_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 300
#define BLOCK_MAX 4096u

static struct nic_rig rig;
static struct bufpio_rig page;
static unsigned sent;

static int no_dma_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    abort();
}

static int no_dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    abort();
}

static void windows_out(void *ctx)
{
    bufpio_take_out(&page.bufpio);
}

static void check(void)
{
    const struct ne2000 *nic = (const struct ne2000 *)rig.dev;
    bool wanted = nic->isr & nic->imr & 0x7f &&
                  !(pci_func_get(&nic->base.pci, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);

    assert(nic_rig_inta(&rig) == wanted && nic->remote < NE2000_REMOTES);
    assert(!page.bufpio.counters.rejected);
    for (; sent < rig.n_sent; sent++) {
        uint32_t bytes = rig.sent[sent % NIC_RIG_SENT].bytes;
        assert(bytes >= NET_FRAME_MIN && bytes <= NE2000_FRAME_MAX);
    }
}

static void access_port(unsigned reg, unsigned size, bool write, uint32_t value)
{
    const struct ne2000 *nic = (const struct ne2000 *)rig.dev;
    uint64_t packets = net_counters(rig.net)->rx_packets;
    uint8_t curr = nic->curr;

    if (write)
        bufpio_rig_out(&page, (uint16_t)(NIC_RIG_PORT + reg), size, value);
    else
        bufpio_rig_in(&page, (uint16_t)(NIC_RIG_PORT + reg), size);
    assert(nic->curr == curr || write);
    assert(net_counters(rig.net)->rx_packets == packets);
    check();
}

static void do_block(struct script *script)
{
    static uint8_t block[BLOCK_MAX];
    unsigned size = 1u << take(script) % 3, count = take16(script) % (BLOCK_MAX / size);
    uint8_t rd = take(script) & 1 ? NE2000_CR_RD_READ : NE2000_CR_RD_WRITE;

    ne2000_rig_remote(&rig, rd, take16(script), take16(script));
    if (rd == NE2000_CR_RD_READ)
        bus_port_read_block(rig.bus, NIC_RIG_PORT + NE2000_DATA, size, block, count);
    else
        bus_port_write_block(rig.bus, NIC_RIG_PORT + NE2000_DATA, size, block, count);
}

/* A transfer by single accesses, left where the script leaves it. */
static void do_singles(struct script *script)
{
    unsigned size = take(script) & 1 ? 2 : 4, count = take16(script) % 800;
    bool write = take(script) & 1;
    uint8_t rd = write ? NE2000_CR_RD_WRITE : NE2000_CR_RD_READ;

    ne2000_rig_remote(&rig, rd, take16(script), take16(script));
    bufpio_arm(&page.bufpio);
    for (unsigned i = 0; i < count; i++)
        access_port(NE2000_DATA, size, write, i);
}

static void do_receive(struct script *script)
{
    static uint8_t frame[NET_FRAME_MAX];
    uint32_t bytes = take16(script) % 2048;

    memset(frame, take(script), sizeof(frame));
    memcpy(frame, nic_rig_mac, NET_MAC_BYTES);
    if (take(script) % 4 == 0)
        memset(frame, 0xff, NET_MAC_BYTES);
    nic_rig_receive(&rig, frame, bytes);
}

/* Frames come and go beside the page; before all else the windows are taken out, as by dispatch. */
static void step(struct script *script)
{
    uint8_t what = take(script);
    bool beside = what % 12 == 1 || what % 12 == 2 || what % 12 == 4 || what % 12 == 7;

    if (!beside)
        bufpio_take_out(&page.bufpio);
    switch (what % 12) {
    case 0:
        do_block(script);
        break;
    case 1:
    case 2:
        do_receive(script);
        break;
    case 3:
        nic_rig_move(&rig);
        nic_step_hostile_state(&rig, script, take(script) % 8);
        rig.dev->ops->resume(rig.dev);
        break;
    case 4:
        rig.port.busy = take(script) & 1;
        if (!rig.port.busy)
            net_port_writable(&rig.port.port);
        break;
    case 5:
        net_set_link(rig.net, take(script) & 3);
        break;
    case 6:
        nic_rig_program(&rig);
        ne2000_rig_start(&rig);
        break;
    case 7:
        fake_loop_turn(rig.loop, 0);
        break;
    case 8:
        bus_pci_write(rig.bus, NIC_RIG_SBDF, take(script) % 0x40, 1, take(script));
        break;
    case 9:
        access_port(take(script) % 0x20, 1u << take(script) % 3, false, 0);
        break;
    case 10:
        do_singles(script);
        break;
    default: {
        unsigned reg = take(script) % 0x20, size = 1u << take(script) % 3;
        access_port(reg, size, true, take16(script) | (uint32_t)take16(script) << 16);
    }
    }
    if (!beside)
        bufpio_arm(&page.bufpio);
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {data, size};
    struct host_ops ops;

    alarm(30);
    sent = 0;
    ne2000_rig_init(&rig, 0);
    ops = *rig.fake.host.ops;
    ops.dma_read = no_dma_read;
    ops.dma_write = no_dma_write;
    ops.windows_out = windows_out;
    rig.fake.host.ops = &ops;
    bufpio_rig_init(&page, rig.bus, rig.dev->data_ports);
    for (unsigned i = 0; i < MAX_STEPS && script.size; i++)
        step(&script);
    bufpio_rig_finish(&page);
    nic_rig_finish(&rig);
    return 0;
}
