/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A script of register accesses, descriptors, frames from outside, waiting, cables, resets and
 * migrations, read from the input, against an 82540EM. Invariants, each an assert:
 *  - memory is written only where a descriptor that was read says so: a transmit descriptor's
 *    status, a receive descriptor's second half, a receive buffer within its size
 *  - one access, one frame, one turn of the loop make a bounded number of transfers
 *  - nothing is received within an access, whatever is looped back
 *  - what leaves is no shorter than a frame, no longer than a packet, and as one says
 *  - a head that is in its ring stays there
 *  - INTA is what causes and mask make it, unless it is throttled
 *  - quiesced, the state loads into a new NIC and saves as it was
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/net/e1000_internal.h"
#include "tests/fuzz/nic_script.h"
#include "tests/unit/e1000_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 300
#define DESCRIBED 1024 /* descriptors that are remembered, of each kind */
#define FETCH_MAX 1024 /* bytes of descriptors that are read at a time */
/* Of one access or turn: a turn's descriptors with their data, reports, and the fetches. */
#define TRANSFERS_MAX (4 * E1000_TX_TURN)

struct described {
    uint64_t at;          /* the descriptor */
    uint64_t addr, bytes; /* receive: its buffer */
};

struct target {
    struct nic_rig rig;
    struct host_ops ops, fake;
    struct described tx[DESCRIBED], rx[DESCRIBED];
    unsigned n_tx, n_rx;
    unsigned transfers;
    bool in_access;
    bool heads_inside[2]; /* transmit, receive: at the beginning of what writes no register */
    unsigned sent;
};

/* The host's hooks take only the fake host. */
static struct target *current;

static struct e1000 *nic_of(struct target *target)
{
    return (struct e1000 *)target->rig.dev;
}

static uint64_t le64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static uint32_t buffer_size(const struct e1000 *nic)
{
    static const uint32_t sizes[2][4] = {{2048, 1024, 512, 256}, {2048, 16384, 8192, 4096}};
    uint32_t rctl = nic->reg[E1000_R_RCTL];

    return sizes[!!(rctl & E1000_RCTL_BSEX)][rctl >> E1000_RCTL_BSIZE_SHIFT & 3];
}

static bool in_ring(uint64_t gpa, size_t len, uint32_t low, uint32_t high, uint32_t ring_bytes)
{
    uint64_t at = gpa - ((uint64_t)high << 32 | low);

    return len % 16 == 0 && len <= FETCH_MAX && at % 16 == 0 && at < ring_bytes &&
           len <= ring_bytes - at;
}

/* Data that is read from where a ring is looks like descriptors and is remembered, too, which only
 * makes the check weaker. */
static int hook_dma_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
    struct target *target = current;
    const struct e1000 *nic = nic_of(target);
    const uint32_t *reg = nic->reg;

    target->transfers++;
    assert(len && len <= NET_PACKET_MAX && target->transfers <= TRANSFERS_MAX);
    int err = target->fake.dma_read(ctx, gpa, buf, len);
    if (err)
        return err;
    if (in_ring(gpa, len, reg[E1000_R_TDBAL], reg[E1000_R_TDBAH], reg[E1000_R_TDLEN])) {
        for (size_t i = 0; i < len; i += 16)
            target->tx[target->n_tx++ % DESCRIBED] = (struct described){.at = gpa + i};
    }
    if (in_ring(gpa, len, reg[E1000_R_RDBAL], reg[E1000_R_RDBAH], reg[E1000_R_RDLEN])) {
        for (size_t i = 0; i < len; i += 16)
            target->rx[target->n_rx++ % DESCRIBED] = (struct described){
                .at = gpa + i,
                .addr = le64((uint8_t *)buf + i),
                .bytes = buffer_size(nic),
            };
    }
    return 0;
}

static bool is_tx_status(const struct target *target, uint64_t gpa, size_t len)
{
    for (unsigned i = 0; i < DESCRIBED && i < target->n_tx; i++) {
        if (len == 1 && gpa == target->tx[i].at + 12)
            return true;
    }
    return false;
}

static bool is_rx(const struct target *target, uint64_t gpa, size_t len)
{
    for (unsigned i = 0; i < DESCRIBED && i < target->n_rx; i++) {
        const struct described *rx = &target->rx[i];
        if (len == 8 && gpa == rx->at + 8)
            return true;
        if (rx->addr && gpa - rx->addr < rx->bytes && len <= rx->bytes - (gpa - rx->addr))
            return true;
    }
    return false;
}

static int hook_dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
    struct target *target = current;

    target->transfers++;
    assert(len && target->transfers <= TRANSFERS_MAX);
    assert(is_tx_status(target, gpa, len) || (!target->in_access && is_rx(target, gpa, len)));
    return target->fake.dma_write(ctx, gpa, buf, len);
}

/* The clock stands still, so the rest of a ring follows at once; it is another turn even so. */
static void hook_timer_arm(void *ctx, struct host_timer *timer, uint64_t deadline_ns)
{
    if (timer == &nic_of(current)->timer.tx_more)
        current->transfers = 0;
    current->fake.timer_arm(ctx, timer, deadline_ns);
}

static void check_line(struct target *target)
{
    const struct e1000 *nic = nic_of(target);
    bool wanted = nic->reg[E1000_R_ICR] & nic->reg[E1000_R_IMS] &&
                  !(pci_func_get(&nic->base.pci, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
    bool throttled = nic->timer.throttle.deadline_ns;

    assert(nic->base.intx == nic_rig_inta(&target->rig));
    assert(nic->base.intx == (wanted && !throttled));
}

static void check_sent(struct target *target)
{
    struct nic_rig *rig = &target->rig;

    assert(rig->n_sent - target->sent <= 2 * NET_BUDGET);
    for (; target->sent < rig->n_sent; target->sent++) {
        const struct nic_rig_packet *packet = &rig->sent[target->sent % NIC_RIG_SENT];
        const struct net_offload *offload = &packet->offload;
        assert(packet->bytes >= NET_FRAME_MIN);
        assert(packet->bytes <= (offload->gso ? NET_PACKET_MAX : NET_FRAME_MAX));
        assert(!offload->gso || (offload->gso_size && rig->port.port.caps));
        assert(!offload->csum_needed ||
               offload->csum_start + offload->csum_offset + 2u <= packet->bytes);
    }
}

static bool head_inside(const struct target *target, bool rx)
{
    const uint32_t *reg = ((struct e1000 *)target->rig.dev)->reg;

    return rx ? reg[E1000_R_RDH] < reg[E1000_R_RDLEN] / E1000_DESC_BYTES
              : reg[E1000_R_TDH] < reg[E1000_R_TDLEN] / E1000_DESC_BYTES;
}

static void check(struct target *target)
{
    const struct e1000_tx *tx = &nic_of(target)->tx;

    for (unsigned i = 0; i < 2; i++)
        assert(!target->heads_inside[i] || head_inside(target, i));

    assert(tx->phase < E1000_TX_PHASES && tx->bytes <= NET_PACKET_MAX);
    check_line(target);
    check_sent(target);
}

static void begin(struct target *target, bool access)
{
    target->transfers = 0;
    target->in_access = access;
    for (unsigned i = 0; i < 2; i++)
        target->heads_inside[i] = !access && head_inside(target, i);
}

static void wr(struct target *target, uint32_t offset, uint32_t value)
{
    begin(target, true);
    e1000_rig_write(&target->rig, offset, value);
    target->in_access = false;
    check(target);
}

static void turn(struct target *target)
{
    begin(target, false);
    fake_loop_turn(target->rig.loop, 0);
    check(target);
    begin(target, false);
    fake_host_advance(&target->rig.fake, 0);
    check(target);
}

static void do_write(struct target *target, struct script *script)
{
#define OFFSET(name, offset, initial, writable) offset,
    static const uint32_t offsets[] = {E1000_REGISTERS(OFFSET) E1000_MTA,
                                       E1000_RA,
                                       E1000_RA + 4,
                                       E1000_VFTA,
                                       E1000_CTRL_DUP,
                                       E1000_TDT,
                                       E1000_RDT,
                                       E1000_RCTL,
                                       E1000_IMS,
                                       E1000_CTRL};
    uint8_t pick = take(script);
    uint32_t offset = pick < 0xf0 ? offsets[pick % (sizeof(offsets) / sizeof(offsets[0]))]
                                  : take_n(script, 3) % E1000_MEM_BYTES & ~3u;
    uint32_t value = take_n(script, take(script) % 5);

    if (value & E1000_CTRL_RST && offset <= E1000_CTRL_DUP && pick & 1)
        value &= ~E1000_CTRL_RST; /* not all the time */
    wr(target, offset, value);
}

static void do_read(struct target *target, struct script *script)
{
    uint32_t offset = take_n(script, 3) % E1000_MEM_BYTES;
    unsigned size = 1u << take(script) % 4;

    begin(target, true);
    bus_read(target->rig.bus, BUS_MMIO, NIC_RIG_MEM + offset, size);
    bus_write(target->rig.bus, BUS_MMIO, NIC_RIG_MEM + offset, size, take(script));
    target->in_access = false;
    check(target);
}

static uint64_t take_addr(struct script *script)
{
    switch (take(script) % 8) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX - take(script);
    case 2:
        return E1000_RIG_TX + take_n(script, 2) % 0x3000; /* onto the rings */
    case 3:
        return E1000_RIG_RAM - take(script);
    default:
        return E1000_RIG_DATA + take_n(script, 2) * 8u;
    }
}

static void do_transmit(struct target *target, struct script *script)
{
    struct nic_rig *rig = &target->rig;
    unsigned n = take(script) % 24 + 1;

    for (unsigned i = 0; i < n && script->size; i++) {
        uint8_t kind = take(script), flags = take(script);
        uint32_t low = (uint32_t)flags << 24 | take_n(script, kind & 0x10 ? 3 : 1) % 70000;
        if (kind % 4 == 0) { /* a context that could be one */
            uint32_t l3 = take(script) % 8 ? 14 : take(script), l4 = l3 + 20;
            uint64_t words =
                l3 | (l3 + 10) << 8 | (l4 - 1) << 16 | (uint64_t)(l4 | (l4 + 16) << 8) << 32;
            low = (low & ~E1000_TXD_DTYP) | E1000_TXD_DEXT;
            e1000_rig_desc(rig, kind & 0x20 ? (uint64_t)take_n(script, 4) << 32 | words : words,
                           low, take_n(script, 2) << 16 | 54u << 8);
        } else {
            low |= kind % 4 == 1 ? 0 : E1000_TXD_DEXT | E1000_TXD_DTYP_DATA;
            if (kind % 4 == 3)
                low |= E1000_TXD_TSE;
            e1000_rig_desc(rig, take_addr(script), low, take_n(script, 2) << 8);
        }
    }
    wr(target, E1000_TDT, rig->tail);
}

static void do_buffers(struct target *target, struct script *script)
{
    struct nic_rig *rig = &target->rig;
    unsigned n = take(script) % 40 + 1;
    uint32_t count = e1000_rig_read(rig, E1000_RDLEN) == 8 * E1000_DESC_BYTES ? 8 : E1000_RIG_RING;
    uint32_t at = e1000_rig_read(rig, E1000_RDT) % count;
    bool usual = take(script) % 4;

    for (unsigned i = 0; i < n; i++, at = (at + 1) % count)
        e1000_rig_put_rxd(
            rig, at, usual ? E1000_RIG_BUF + (uint64_t)at * E1000_RIG_BUF_STEP : take_addr(script));
    wr(target, E1000_RDT, at);
}

static void do_receive(struct target *target, struct script *script)
{
    static uint8_t frame[NET_PACKET_MAX];
    static const uint8_t heads[][6] = {{0x08, 0x00, 0x45},
                                       {0x86, 0xdd, 0x60},
                                       {0x81, 0x00, 0x00, 0x07, 0x08, 0x00},
                                       {0x88, 0x08, 0x00, 0x01}};
    uint8_t how = take(script);
    uint32_t bytes = how & 1 ? take_n(script, 2) % NET_FRAME_MAX : take(script) * 8u;
    struct net_offload offload = {.csum_valid = how & 2};

    memset(frame, take(script), sizeof(frame));
    memcpy(frame, nic_rig_mac, 6);
    if (how & 4)
        memset(frame, 0xff, 6);
    if (how & 8)
        frame[0] |= take(script);
    memcpy(frame + 12, heads[how >> 6], 6);
    for (unsigned i = 0; i < 24; i++)
        frame[18 + i] = take(script);
    for (unsigned n = how & 16 ? 12 : 1; n; n--) {
        begin(target, false);
        nic_rig_receive_offload(&target->rig, frame, bytes, &offload);
        check(target);
    }
}

static void do_phy(struct target *target, struct script *script)
{
    uint32_t phy = take(script) % 8 ? 1 : take(script), reg = take(script) % 32;

    wr(target, E1000_MDIC,
       (take(script) & 1 ? E1000_MDIC_OP_WRITE : E1000_MDIC_OP_READ) | (phy & 0x1f) << 21 |
           reg << 16 | (take(script) & 1 ? E1000_MDIC_INT_ENABLE : 0) | take_n(script, 2));
}

static void do_migrate(struct target *target)
{
    struct nic_rig *rig = &target->rig;

    rig->dev->ops->quiesce(rig->dev);
    begin(target, false);
    turn(target);
    begin(target, false);
    nic_rig_move(rig);
    check(target);
}

static void do_hostile_state(struct target *target, struct script *script)
{
    nic_step_hostile_state(&target->rig, script, take(script) % 8);
    target->n_tx = target->n_rx = 0;
    begin(target, false);
    target->rig.dev->ops->resume(target->rig.dev);
    check(target);
}

static void do_config(struct target *target, struct script *script)
{
    struct nic_rig *rig = &target->rig;

    begin(target, true);
    bus_pci_write(rig->bus, NIC_RIG_SBDF, take(script) % 0x40, 1, take(script));
    target->in_access = false;
    check(target);
    begin(target, true);
    if (take(script) % 4)
        nic_rig_program(rig);
    target->in_access = false;
    check(target);
}

static void do_ports(struct target *target, struct script *script)
{
    struct nic_rig *rig = &target->rig;

    for (unsigned i = 0; i < 3; i++) {
        begin(target, true);
        bus_write(rig->bus, BUS_PORT, NIC_RIG_PORT + take(script) % 9, 1u << take(script) % 3,
                  take_n(script, 3));
        bus_read(rig->bus, BUS_PORT, NIC_RIG_PORT + take(script) % 9, 1u << take(script) % 3);
        target->in_access = false;
        check(target);
    }
}

static void do_rings(struct target *target, bool small)
{
    struct nic_rig *rig = &target->rig;

    for (unsigned i = 0; i < 2; i++)
        turn(target);
    begin(target, false);
    nic_rig_program(rig);
    e1000_rig_rings(rig);
    if (small) {
        e1000_rig_write(rig, E1000_RDLEN, 8 * E1000_DESC_BYTES);
        e1000_rig_write(rig, E1000_RDT, 7);
    }
    check(target);
}

static void step(struct target *target, struct script *script)
{
    struct nic_rig *rig = &target->rig;

    switch (take(script) % 20) {
    case 0:
    case 1:
    case 2:
        do_write(target, script);
        break;
    case 3:
        do_read(target, script);
        break;
    case 4:
    case 5:
    case 6:
        do_transmit(target, script);
        break;
    case 7:
    case 8:
        do_buffers(target, script);
        break;
    case 9:
    case 10:
        do_receive(target, script);
        break;
    case 11:
        do_phy(target, script);
        break;
    case 12:
        do_migrate(target);
        break;
    case 13:
        if (take(script) % 4)
            do_config(target, script);
        else
            do_hostile_state(target, script);
        break;
    case 14:
        do_ports(target, script);
        break;
    case 15:
        rig->port.busy = take(script) & 1;
        begin(target, false);
        if (!rig->port.busy)
            net_port_writable(&rig->port.port);
        break;
    case 16:
        begin(target, false);
        net_set_link(rig->net, take(script) & 3);
        break;
    case 17:
        begin(target, false);
        fake_host_advance(&rig->fake, (uint64_t)take(script) << 20);
        break;
    case 18:
        begin(target, true);
        if (take(script) % 8 == 0)
            rig->dev->ops->reset(rig->dev);
        do_rings(target, take(script) & 1);
        break;
    default:
        turn(target);
        turn(target);
        break;
    }
    check(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target target;
    struct script script = {data, size};
    uint8_t how = take(&script);

    alarm(30);
    memset(&target, 0, sizeof(target));
    e1000_rig_init(&target.rig, how & 1 ? NET_CAN_CSUM | NET_CAN_TCP4 | NET_CAN_UDP : 0);
    if (how & 2)
        target.rig.port.port.max_frame = 1518;
    target.fake = *target.rig.fake.host.ops;
    target.ops = target.fake;
    target.ops.dma_read = hook_dma_read;
    target.ops.dma_write = hook_dma_write;
    target.ops.timer_arm = hook_timer_arm;
    target.rig.fake.host.ops = &target.ops;
    current = &target;
    for (unsigned i = 0; i < MAX_STEPS && script.size; i++)
        step(&target, &script);
    do_migrate(&target);
    do_rings(&target, false);
    begin(&target, false);
    nic_rig_finish(&target.rig);
    alarm(0);
    return 0;
}
