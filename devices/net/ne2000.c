/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NE2000 PCI as an RTL8029AS: a DP8390 core behind 32 ports. It never touches guest memory: frames
 * go through its own 16 KiB by port I/O. There is no EEPROM to be programmed and no link register.
 */
#include <string.h>

#include "devices/net/ne2000_internal.h"

void ne2000_irq_update(struct ne2000 *nic)
{
    nic_drive(&nic->base, nic->isr & nic->imr & (uint8_t)~NE2000_ISR_RST);
}

/* Where `addr` is in packet memory, and how much of `n` lies there; else how much does not. */
static const uint8_t *in_memory(const struct ne2000 *nic, uint32_t addr, uint32_t *n)
{
    uint32_t end = NE2000_MEM + NE2000_MEM_BYTES, limit = UINT16_MAX + 1;
    const uint8_t *mem = NULL;

    if (addr < NE2000_MEM) {
        limit = NE2000_MEM;
    } else if (addr < end) {
        mem = nic->mem + (addr - NE2000_MEM);
        limit = end;
    }
    if (*n > limit - addr)
        *n = limit - addr;
    return mem;
}

void ne2000_peek(const struct ne2000 *nic, uint16_t addr, uint8_t *buf, uint32_t n)
{
    while (n) {
        uint32_t now = n;
        const uint8_t *mem = in_memory(nic, addr, &now);
        if (mem)
            memcpy(buf, mem, now);
        else
            memset(buf, 0xff, now);
        for (uint32_t i = 0; i < now && addr + i < NE2000_PROM_BYTES; i++)
            buf[i] = nic->prom[addr + i];
        addr = (uint16_t)(addr + now);
        buf += now;
        n -= now;
    }
}

void ne2000_poke(struct ne2000 *nic, uint16_t addr, const uint8_t *buf, uint32_t n)
{
    while (n) {
        uint32_t now = n;
        if (in_memory(nic, addr, &now))
            memcpy(nic->mem + (addr - NE2000_MEM), buf, now);
        addr = (uint16_t)(addr + now);
        buf += now;
        n -= now;
    }
}

/* From a STA until a STP: a CR without either changes nothing, and there are drivers that leave it
 * so while they wait (iPXE's). ISR.RST says which came last (DP8390, 10.3). */
static bool is_started(const struct ne2000 *nic)
{
    return !(nic->isr & NE2000_ISR_RST);
}

void ne2000_update(struct ne2000 *nic)
{
    nic_receive_enable(&nic->base, is_started(nic) && !(nic->tcr & NE2000_TCR_LB));
    ne2000_transmit(nic);
}

/* What the reset port does: CR as DP8390, 10.3 has it, and what drivers program first (11.0);
 * addresses and memory stay. */
static void soft_reset(struct ne2000 *nic)
{
    nic->cr = NE2000_CR_STP | NE2000_CR_RD_ABORT;
    nic->isr = NE2000_ISR_RST;
    nic->imr = 0;
    nic->dcr = 0;
    nic->tcr = 0;
    nic->send_packet = 0;
    nic->remote = NE2000_IDLE;
    ne2000_irq_update(nic);
    ne2000_update(nic);
}

static void write_cr(struct ne2000 *nic, uint8_t value)
{
    uint8_t sent = nic->cr & NE2000_CR_TXP; /* the NIC clears it, not the guest (DP8390, 10.3) */

    nic->cr = value | sent;
    if (value & NE2000_CR_STP) {
        nic->cr &= (uint8_t)~NE2000_CR_TXP;
        nic->isr |= NE2000_ISR_RST;
    } else if (value & NE2000_CR_STA) {
        nic->isr &= (uint8_t)~NE2000_ISR_RST;
    } else if (!is_started(nic)) {
        nic->cr &= (uint8_t)~NE2000_CR_TXP;
    }
    ne2000_remote_start(nic, value & NE2000_CR_RD);
    ne2000_update(nic);
}

static uint8_t read_tally(struct ne2000 *nic, unsigned i)
{
    uint8_t value = nic->tally[i];

    nic->tally[i] = 0; /* DP8390, 10.3: reading clears it */
    return value;
}

static uint8_t read_page0(struct ne2000 *nic, unsigned reg)
{
    switch (reg) {
    case NE2000_CLDA1:
        return nic->curr; /* nothing is under way between two accesses */
    case NE2000_BNRY:
        return nic->bnry;
    case NE2000_TSR:
        return nic->tsr | NE2000_TSR_ONE;
    case NE2000_FIFO:
        nic->fifo_at = (nic->fifo_at + 1) % sizeof(nic->fifo);
        return nic->fifo[(nic->fifo_at + sizeof(nic->fifo) - 1) % sizeof(nic->fifo)];
    case NE2000_ISR:
        return nic->isr;
    case NE2000_CRDA0:
        return (uint8_t)nic->rsar;
    case NE2000_CRDA1:
        return (uint8_t)(nic->rsar >> 8);
    case NE2000_ID0:
        return 'P';
    case NE2000_ID1:
        return 'C';
    case NE2000_RSR:
        return nic->rsr;
    case NE2000_CNTR0:
    case NE2000_CNTR0 + 1:
    case NE2000_CNTR0 + 2:
        return read_tally(nic, reg - NE2000_CNTR0);
    default: /* CLDA0; NCR: nothing collides */
        return 0;
    }
}

static uint8_t read_page2(const struct ne2000 *nic, unsigned reg)
{
    switch (reg) {
    case NE2000_PSTART:
        return nic->pstart;
    case NE2000_PSTOP:
        return nic->pstop;
    case NE2000_TPSR:
        return nic->tpsr;
    case NE2000_RCR:
        return nic->rcr | 0xc0; /* bits that are not there read as ones (DP8390, 10.3) */
    case NE2000_TCR:
        return nic->tcr | 0xe0;
    case NE2000_DCR:
        return nic->dcr | 0x80;
    case NE2000_IMR:
        return nic->imr | 0x80;
    default:
        return 0;
    }
}

static uint8_t read_page3(const struct ne2000 *nic, unsigned reg)
{
    switch (reg) {
    case NE2000_9346CR:
        return nic->ee;
    case NE2000_CONFIG2:
        return nic->config2;
    case NE2000_CONFIG3:
        return nic->config3;
    case NE2000_ASID0:
        return 0x29;
    case NE2000_ASID1:
        return 0x80;
    default: /* CONFIG0: 10BaseT */
        return 0;
    }
}

static uint8_t read_reg(struct ne2000 *nic, unsigned reg)
{
    if (reg == NE2000_CR)
        return nic->cr;
    switch (nic->cr >> NE2000_CR_PAGE_SHIFT) {
    case 0:
        return read_page0(nic, reg);
    case 1:
        if (reg == NE2000_CURR)
            return nic->curr;
        return reg < NE2000_CURR ? nic->par[reg - NE2000_PAR0] : nic->mar[reg - NE2000_MAR0];
    case 2:
        return read_page2(nic, reg);
    default:
        return read_page3(nic, reg);
    }
}

static uint16_t with_byte(uint16_t word, unsigned i, uint8_t value)
{
    return (uint16_t)((word & ~(0xffu << (8 * i))) | (unsigned)value << (8 * i));
}

static void write_page0(struct ne2000 *nic, unsigned reg, uint8_t value)
{
    switch (reg) {
    case NE2000_PSTART:
        nic->pstart = value;
        break;
    case NE2000_PSTOP:
        nic->pstop = value;
        break;
    case NE2000_BNRY:
        nic->bnry = value;
        break;
    case NE2000_TPSR:
        nic->tpsr = value;
        return;
    case NE2000_TBCR0:
    case NE2000_TBCR1:
        nic->tbcr = with_byte(nic->tbcr, reg - NE2000_TBCR0, value);
        return;
    case NE2000_ISR:
        nic->isr &= (uint8_t)~value | NE2000_ISR_RST;
        ne2000_irq_update(nic);
        break; /* a frame that waits for room raises PRX once more */
    case NE2000_RSAR0:
    case NE2000_RSAR1:
        nic->rsar = with_byte(nic->rsar, reg - NE2000_RSAR0, value);
        return;
    case NE2000_RBCR0:
    case NE2000_RBCR1:
        nic->rbcr = with_byte(nic->rbcr, reg - NE2000_RBCR0, value);
        return;
    case NE2000_RCR:
        nic->rcr = value & 0x3f;
        break;
    case NE2000_TCR:
        nic->tcr = value & 0x1f;
        ne2000_update(nic);
        return;
    case NE2000_DCR:
        nic->dcr = value & NE2000_DCR_RW;
        return;
    default: /* IMR */
        nic->imr = value & 0x7f;
        ne2000_irq_update(nic);
        return;
    }
    nic_receive_ready(&nic->base); /* there may be room, or a frame may not be wanted any more */
}

static void write_page1(struct ne2000 *nic, unsigned reg, uint8_t value)
{
    if (reg >= NE2000_MAR0)
        nic->mar[reg - NE2000_MAR0] = value;
    else if (reg < NE2000_CURR)
        nic->par[reg - NE2000_PAR0] = value;
    else
        nic->curr = value;
    nic_receive_ready(&nic->base);
}

static void write_page3(struct ne2000 *nic, unsigned reg, uint8_t value)
{
    bool unlocked = (nic->ee & NE2000_9346CR_EEM) == NE2000_9346CR_EEM;

    if (reg == NE2000_9346CR)
        nic->ee = value & (NE2000_9346CR_EEM | NE2000_9346CR_PINS);
    else if (reg == NE2000_CONFIG2 && unlocked)
        nic->config2 = value & NE2000_CONFIG2_RW;
    else if (reg == NE2000_CONFIG3 && unlocked)
        nic->config3 = value & NE2000_CONFIG3_RW;
}

static void write_reg(struct ne2000 *nic, unsigned reg, uint8_t value)
{
    if (reg == NE2000_CR) {
        write_cr(nic, value);
        return;
    }
    switch (nic->cr >> NE2000_CR_PAGE_SHIFT) {
    case 0:
        write_page0(nic, reg, value);
        break;
    case 1:
        write_page1(nic, reg, value);
        break;
    case 2: /* the chip's own counters: for its makers' tests only (DP8390, 10.2) */
        break;
    default:
        write_page3(nic, reg, value);
        break;
    }
}

/* What an access to the data port moves: a byte, or with WTS a word even when only its low byte is
 * looked at, which is how drivers read the PROM, and two for a doubleword (DP8390, 10.3). */
static unsigned moves(const struct ne2000 *nic, unsigned size)
{
    if (!(nic->dcr & NE2000_DCR_WTS))
        return 1;
    return size == 1 ? 2 : size;
}

static uint32_t read_data(struct ne2000 *nic, unsigned size)
{
    uint8_t bytes[4] = {0xff, 0xff, 0xff, 0xff};
    uint32_t value = 0;

    ne2000_remote_read(nic, bytes, moves(nic, size));
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)bytes[i] << (8 * i);
    return value;
}

static void write_data(struct ne2000 *nic, unsigned size, uint32_t value)
{
    uint8_t bytes[4];

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = i < size ? (uint8_t)(value >> (8 * i)) : 0;
    ne2000_remote_write(nic, bytes, moves(nic, size));
}

/* Registers have a byte each; a wider access is several. */
static uint64_t io_read(void *dev, uint64_t offset, unsigned size)
{
    struct ne2000 *nic = dev;
    uint64_t value = 0;

    if (offset >= NE2000_DATA && offset < NE2000_RESET)
        return read_data(nic, size);
    for (unsigned i = 0; i < size; i++, offset++) {
        if (offset < NE2000_DATA)
            value |= (uint64_t)read_reg(nic, (unsigned)offset) << (8 * i);
        else if (offset < NE2000_RESET)
            value |= (uint64_t)read_data(nic, 1) << (8 * i);
        else if (!i)
            soft_reset(nic);
    }
    return value;
}

static void io_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct ne2000 *nic = dev;

    if (offset >= NE2000_DATA && offset < NE2000_RESET) {
        write_data(nic, size, (uint32_t)value);
        return;
    }
    for (unsigned i = 0; i < size; i++, offset++) {
        if (offset < NE2000_DATA)
            write_reg(nic, (unsigned)offset, (uint8_t)(value >> (8 * i)));
        else if (offset < NE2000_RESET)
            write_data(nic, 1, (uint8_t)(value >> (8 * i)));
        else if (!i)
            soft_reset(nic);
    }
}

/* A transfer that is over, or whose last element is not whole, is read()'s and write()'s. */
static uint32_t whole(const struct ne2000 *nic, uint64_t offset, unsigned size, uint32_t count)
{
    if (offset < NE2000_DATA || offset >= NE2000_RESET || moves(nic, size) != size)
        return 0;
    return nic->rbcr / size < count ? nic->rbcr / size : count;
}

static uint32_t io_read_block(void *dev, uint64_t offset, unsigned size, void *buf, uint32_t count)
{
    struct ne2000 *nic = dev;

    count = whole(nic, offset, size, count);
    return ne2000_remote_read(nic, buf, count * size) / size;
}

static uint32_t io_write_block(void *dev, uint64_t offset, unsigned size, const void *buf,
                               uint32_t count)
{
    struct ne2000 *nic = dev;

    count = whole(nic, offset, size, count);
    return ne2000_remote_write(nic, buf, count * size) / size;
}

/* Of bytes there is none: wider accesses do not move more than one. */
static uint32_t io_window(void *dev, bool *ret_write, void *buf, uint32_t room)
{
    const struct ne2000 *nic = dev;

    return nic->dcr & NE2000_DCR_WTS ? ne2000_remote_window(nic, ret_write, buf, room) : 0;
}

static const struct bus_io_ops io_ops = {
    .read = io_read,
    .write = io_write,
    .read_block = io_read_block,
    .write_block = io_write_block,
    .max_size = 4,
    .window = io_window,
    .data_port = NE2000_DATA,
};

static void command(struct nic *base)
{
    ne2000_irq_update((struct ne2000 *)base);
}

static void received(struct nic *base)
{
    ne2000_irq_update((struct ne2000 *)base);
}

static void writable(struct nic *base)
{
    host_windows_out(base->host); /* what is to be sent may be in one */
    ne2000_transmit((struct ne2000 *)base);
}

static void reset(struct nic *base)
{
    struct ne2000 *nic = (struct ne2000 *)base;
    size_t first = offsetof(struct ne2000, cr), end = offsetof(struct ne2000, counts);

    memset((uint8_t *)nic + first, 0, end - first);
    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        nic->par[i] = nic->prom[2 * i]; /* no data sheet says what they hold */
    soft_reset(nic);
}

static void resume(struct nic *base)
{
    ne2000_update((struct ne2000 *)base);
}

/* Each byte twice, as a board with a word-wide bus reads it, and the NE2000's signature behind. */
static void fill_prom(struct ne2000 *nic, const uint8_t mac[NET_MAC_BYTES])
{
    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        nic->prom[2 * i] = nic->prom[2 * i + 1] = mac[i];
    memset(nic->prom + NE2000_PROM_BYTES - 4, 'W', 4);
}

static int init(struct nic *base, const uint8_t mac[NET_MAC_BYTES])
{
    struct ne2000 *nic = (struct ne2000 *)base;

    base->dev.data_ports = 1;
    nic_add_counter(base, "rx_missed", &nic->counts.rx_missed);
    nic_add_counter(base, "rx_too_long", &nic->counts.rx_too_long);
    nic_add_counter(base, "tx_lost", &nic->counts.tx_lost);
    fill_prom(nic, mac);
    return 0;
}

/* A cable that is pulled is seen at the next transmission only: TSR.CRS. */
static const struct nic_model model = {
    .dev = NIC_DEV_OPS("ne2k_pci", 1),
    .size = sizeof(struct ne2000),
    .id = {.vendor = 0x10ec, .device = 0x8029, .subvendor = 0x10ec, .subdevice = 0x8029},
    .bar = {[0] = {.type = PCI_BAR_IO, .size = NE2000_IO_BYTES, .ops = &io_ops}},
    .init = init,
    .reset = reset,
    .resume = resume,
    .save = ne2000_save,
    .load = ne2000_load,
    .command = command,
    .receive = ne2000_receive,
    .received = received,
    .writable = writable,
};

int ne2000_create(const struct dev_env *env, const struct machine_nic *spec, struct dev **ret_dev)
{
    return nic_create(&model, env, spec, ret_dev);
}
