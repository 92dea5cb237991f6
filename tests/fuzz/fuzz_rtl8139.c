/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A script of register accesses, descriptors, frames, waiting, cables and migrations, read from the
 * input, against an RTL8139C+. Invariants, each an assert:
 *  - memory is written only where a descriptor that was read says so (its first half, a receive
 *    buffer within its size), in the legacy ring or behind its end by less than a frame, or by a
 *    dump of the tally counters
 *  - one access, one frame, one turn make a bounded number of transfers
 *  - no frame is stored within an access, whatever is looped back
 *  - what leaves is no shorter than a frame and no longer than a packet
 *  - INTA is what ISR and IMR make it
 *  - quiesced, the state loads into a new NIC and saves as it was
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/nic_script.h"
#include "tests/unit/rtl8139_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS     300
#define DESCRIBED     512
#define TRANSFERS_MAX (4 * RTL8139_TX_TURN + NET_BUDGET * 3 * RTL8139_DESCS)

static struct target {
    struct nic_rig rig;
    struct host_ops ops, fake;
    struct {
        uint64_t at, addr, bytes;
    } desc[DESCRIBED];
    unsigned n_desc, transfers, sent;
    bool in_access;
} target;

static struct rtl8139 *nic(void)
{
    return (struct rtl8139 *)target.rig.dev;
}

static int hook_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    const uint8_t *bytes = buf;

    assert(len && len <= NET_PACKET_MAX && ++target.transfers <= TRANSFERS_MAX);
    int err = target.fake.dma_read(ctx, gpa, buf, len);
    if (err || len != RTL8139_DESC_BYTES)
        return err;
    unsigned i = target.n_desc++ % DESCRIBED;
    target.desc[i].at = gpa;
    target.desc[i].addr = rtl8139_get(bytes + 8, 4) | (uint64_t)rtl8139_get(bytes + 12, 4) << 32;
    target.desc[i].bytes = rtl8139_get(bytes, 4) & RTL8139_RXD_SIZE;
    return 0;
}

static bool allowed(uint64_t gpa, size_t len)
{
    const uint8_t *reg = nic()->reg;
    uint64_t ring = 8192u << (rtl8139_get(reg + RTL8139_RCR, 4) >> RTL8139_RCR_RBLEN_SHIFT & 3);
    uint64_t at = gpa - rtl8139_get(reg + RTL8139_RBSTART, 4);
    bool cp = reg[RTL8139_CPCR] & RTL8139_CPCR_RX;

    if (reg[RTL8139_RCR] & RTL8139_RCR_WRAP && ring < 65536)
        ring += RTL8139_RX_MAX + 8;
    if (!cp && !target.in_access && at < ring && len <= ring - at)
        return true;
    if (len == 64 && gpa == ((uint64_t)nic()->dtccr[1] << 32 | (nic()->dtccr[0] & ~63u)))
        return true;
    for (unsigned i = 0; i < DESCRIBED && i < target.n_desc; i++) {
        uint64_t in = gpa - target.desc[i].addr;
        if (gpa == target.desc[i].at && (len == 4 || (len == 8 && !target.in_access)))
            return true;
        if (!target.in_access && cp && in < target.desc[i].bytes &&
            len <= target.desc[i].bytes - in)
            return true;
    }
    return false;
}

static int hook_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    assert(len && ++target.transfers <= TRANSFERS_MAX && allowed(gpa, len));
    return target.fake.dma_write(ctx, gpa, buf, len);
}

/* The clock stands still, so the rest of a ring follows at once; it is another turn even so. */
static void hook_timer_arm(void *ctx, struct host_timer *timer, uint64_t deadline_ns)
{
    if (timer == &nic()->tx_more)
        target.transfers = 0;
    target.fake.timer_arm(ctx, timer, deadline_ns);
}

static void begin(bool access)
{
    target.transfers = 0;
    target.in_access = access;
}

static void check(void)
{
    const struct rtl8139 *dev = nic();
    bool wanted = rtl8139_get(dev->reg + RTL8139_ISR, 2) & rtl8139_get(dev->reg + RTL8139_IMR, 2) &&
                  !(pci_func_get(&dev->base.pci, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);

    assert(dev->tx.at[0] < RTL8139_DESCS && dev->tx.at[1] < RTL8139_DESCS && dev->tx.next < 4);
    assert(dev->rx_at < RTL8139_DESCS && dev->tx.bytes <= RTL8139_PACKET_MAX);
    assert(target.rig.fake.intx[NIC_RIG_SLOT][0] == wanted);
    assert(target.rig.n_sent - target.sent <= NIC_RIG_SENT);
    for (; target.sent < target.rig.n_sent; target.sent++) {
        const struct nic_rig_packet *packet = &target.rig.sent[target.sent % NIC_RIG_SENT];
        assert(packet->bytes >= NET_FRAME_MIN &&
               packet->bytes <= (packet->offload.gso ? NET_PACKET_MAX : NET_FRAME_MAX));
    }
    begin(false);
}

static void wr(uint32_t offset, unsigned size, uint32_t value)
{
    begin(true);
    rtl8139_rig_write(&target.rig, offset, size, value);
    check();
}

static void do_write(struct script *script)
{
    static const uint8_t usual[] = {0x10, 0x14, 0x18, 0x1c, 0x20, 0x28, 0x30, 0x37,
                                    0x38, 0x3c, 0x3e, 0x40, 0x44, 0x48, 0x50, 0x54,
                                    0x62, 0xd9, 0xe0, 0xe4, 0xd9, 0xd9, 0x38, 0x44};
    uint8_t pick = take(script);

    wr(pick < 0xe0 ? usual[pick % sizeof(usual)] : take(script), 1u << take(script) % 3,
       take_n(script, take(script) % 5));
}

static void do_setup(struct script *script)
{
    uint8_t how = take(script);

    nic_rig_program(&target.rig);
    wr(RTL8139_CPCR, 2, how & 1 ? 3 | (how & 0x60) : 0);
    wr(RTL8139_TNPDS, 4, how & 1 ? RTL8139_RIG_TX : RTL8139_RIG_DATA);
    wr(RTL8139_THPDS, 4, how & 1 ? RTL8139_RIG_TX + 0x400 : RTL8139_RIG_DATA);
    wr(RTL8139_TNPDS + 4, 4, how & 1 ? 0 : RTL8139_RIG_DATA);
    wr(RTL8139_RDSAR, 4, RTL8139_RIG_RX);
    wr(RTL8139_RBSTART, 4, RTL8139_RIG_RING);
    wr(RTL8139_CR, 1, RTL8139_CR_RE | RTL8139_CR_TE);
    wr(RTL8139_RCR, 4, 0x0f | (how & 0x80) | (uint32_t)(how >> 1 & 3) << 11);
    wr(RTL8139_TCR, 4, how & 8 ? RTL8139_TCR_LBK : 0);
    wr(RTL8139_IMR, 2, 0xe1ff);
}

static void do_descs(struct script *script)
{
    uint32_t ring = take(script) & 1 ? RTL8139_RIG_TX : RTL8139_RIG_RX;
    unsigned n = take(script) % 64 + 1, at = take(script) % 64;

    for (unsigned i = 0; i < n; i++) {
        uint8_t flags = take(script);
        rtl8139_rig_desc(&target.rig, ring, (at + i) % 64,
                         (uint32_t)flags << 24 | RTL8139_D_OWN | take_n(script, flags & 1 ? 3 : 1),
                         take_n(script, 3),
                         flags & 2 ? RTL8139_RIG_BUF + i * 0x800u : take_n(script, 4));
    }
    wr(RTL8139_TPPOLL, 1, take(script));
}

static void do_receive(struct script *script)
{
    static uint8_t frame[NET_FRAME_MAX];
    uint8_t how = take(script);

    memset(frame, take(script), sizeof(frame));
    memcpy(frame, nic_rig_mac, 6);
    if (how & 4)
        memset(frame, 0xff, 6);
    memcpy(frame + 12, how & 8 ? "\x08\x00\x45" : "\x81\x00\x00", 3);
    for (unsigned i = 0; i < 24; i++)
        frame[15 + i] = take(script);
    begin(false);
    nic_rig_receive(&target.rig, frame,
                    how & 1 ? take_n(script, 2) % NET_FRAME_MAX : take(script) * 8u);
    check();
}

static void do_turn(struct script *script)
{
    target.rig.port.busy = take(script) & 1;
    begin(false);
    if (!target.rig.port.busy)
        net_port_writable(&target.rig.port.port);
    fake_loop_turn(target.rig.loop, 0);
    check();
    fake_host_advance(&target.rig.fake, take(script) * 1000u);
    check();
}

/* As saved, or changed: then refused, or as good as any other. */
static void do_migrate(struct script *script)
{
    unsigned changes = take(script) % 8;

    nic_rig_move(&target.rig);
    if (changes)
        nic_step_hostile_state(&target.rig, script, changes);
    begin(false);
    target.rig.dev->ops->resume(target.rig.dev);
    check();
}

static void step(struct script *script)
{
    switch (take(script) % 10) {
    case 0:
        do_setup(script);
        break;
    case 1:
    case 2:
        do_descs(script);
        break;
    case 3:
    case 4:
        do_receive(script);
        break;
    case 5:
        do_turn(script);
        break;
    case 6:
        do_migrate(script);
        break;
    case 7:
        begin(true);
        rtl8139_rig_read(&target.rig, take(script), 1u << take(script) % 3);
        net_set_link(target.rig.net, take(script) % 4);
        check();
        break;
    default:
        do_write(script);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {data, size};

    memset(&target, 0, sizeof(target));
    nic_rig_init(&target.rig, &rtl8139_rig_model, 0);
    target.fake = *target.rig.fake.host.ops;
    target.ops = target.fake;
    target.ops.dma_read = hook_read;
    target.ops.dma_write = hook_write;
    target.ops.timer_arm = hook_timer_arm;
    target.rig.fake.host.ops = &target.ops;
    do_setup(&script);
    for (unsigned i = 0; i < MAX_STEPS && script.size; i++)
        step(&script);
    nic_rig_finish(&target.rig);
    return 0;
}
