/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers. They are bytes that may be accessed in any width; a table says which bits can be
 * written and what follows. */
#include "devices/net/rtl8139_internal.h"

#define TICKS_PER_US 33ull /* TCTR counts the PCI clock, 33 MHz */
#define TICKS        (1ull << 32)

struct reg {
    uint8_t at, bytes;
    bool locked; /* written only while 9346CR says so */
    uint32_t writable;
    /* After the write; `written` is what was written, and 0 in bytes that were not. NULL: nothing
     * follows. */
    void (*after)(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written);
};

static uint32_t get(const struct rtl8139 *nic, uint32_t at, unsigned bytes)
{
    return rtl8139_get(nic->reg + at, bytes);
}

static void put(struct rtl8139 *nic, uint32_t at, unsigned bytes, uint32_t value)
{
    rtl8139_put(nic->reg + at, bytes, value);
}

static bool cp_mode(const struct rtl8139 *nic)
{
    return nic->reg[RTL8139_CPCR] & (RTL8139_CPCR_TX | RTL8139_CPCR_RX);
}

void rtl8139_irq_update(struct rtl8139 *nic)
{
    nic_drive(&nic->base, get(nic, RTL8139_ISR, 2) & get(nic, RTL8139_IMR, 2));
}

void rtl8139_irq_set(struct rtl8139 *nic, uint32_t causes)
{
    put(nic, RTL8139_ISR, 2, get(nic, RTL8139_ISR, 2) | causes);
    rtl8139_irq_update(nic);
}

static uint64_t ticks(const struct rtl8139 *nic)
{
    uint64_t ns = host_now_ns(nic->base.host) - nic->tctr_ns;

    return ns / 1000 * TICKS_PER_US + ns % 1000 * TICKS_PER_US / 1000;
}

/* The next time that TCTR is TimerInt; 0 there: never. */
void rtl8139_timer_update(struct rtl8139 *nic)
{
    uint64_t now = ticks(nic), at = get(nic, RTL8139_TIMERINT, 4);

    if (!at) {
        nic_disarm(&nic->base, &nic->timer);
        return;
    }
    at += now / TICKS * TICKS;
    if (at <= now)
        at += TICKS;
    host_timer_arm(nic->base.host, &nic->timer, nic->tctr_ns + at * 1000 / TICKS_PER_US + 1);
}

void rtl8139_timeout(void *arg)
{
    struct rtl8139 *nic = arg;

    rtl8139_irq_set(nic, RTL8139_INT_TIMEOUT);
    rtl8139_timer_update(nic);
}

bool rtl8139_looped(const struct rtl8139 *nic)
{
    return (get(nic, RTL8139_TCR, 4) & RTL8139_TCR_LBK) == RTL8139_TCR_LBK;
}

void rtl8139_phy_reset(struct rtl8139 *nic)
{
    put(nic, RTL8139_BMCR, 2, RTL8139_BMCR_100 | RTL8139_BMCR_ANE | RTL8139_BMCR_FULL);
    put(nic, RTL8139_ANAR, 2, RTL8139_ANAR_DEFAULT);
}

void rtl8139_autoload(struct rtl8139 *nic)
{
    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        nic->reg[RTL8139_IDR0 + i] = (uint8_t)(nic->eeprom.data[7 + i / 2] >> (8 * (i % 2)));
    nic->reg[RTL8139_9346CR] = 0;
    nic->reg[RTL8139_CONFIG0] = 0;
    nic->reg[RTL8139_CONFIG1] = 0x0c; /* registers are mapped both ways */
    nic->reg[RTL8139_CONFIG3] = 0;
    nic->reg[RTL8139_CONFIG4] = 0;
    nic->reg[RTL8139_CONFIG5] = 0;
}

/* RTL8139C(L), 6.4, RST: FIFOs, the ring's pointers, masks; IDR, MAR and PHY stay. */
void rtl8139_mac_reset(struct rtl8139 *nic)
{
    nic->reg[RTL8139_CR] = 0;
    for (unsigned i = 0; i < 4; i++)
        put(nic, RTL8139_TSD0 + 4 * i, 4, RTL8139_TSD_OWN);
    for (unsigned i = 0; i < 5; i++)
        put(nic, RTL8139_TSAD0 + 4 * i, 4, 0); /* and RBSTART */
    put(nic, RTL8139_CAPR, 2, 0xfff0);
    put(nic, RTL8139_CBR, 2, 0);
    put(nic, RTL8139_IMR, 2, 0);
    put(nic, RTL8139_ISR, 2, 0);
    put(nic, RTL8139_TCR, 4, RTL8139_TCR_HWVERID | 0x03000000);
    put(nic, RTL8139_RCR, 4, 0);
    put(nic, RTL8139_MPC, 4, 0);
    put(nic, RTL8139_TIMERINT, 4, 0);
    put(nic, RTL8139_MULINT, 2, 0);
    nic->reg[RTL8139_RERID] = 0x20;
    nic->reg[RTL8139_TPPOLL] = 0;
    put(nic, RTL8139_CPCR, 2, 0);
    put(nic, RTL8139_RDSAR, 4, 0);
    put(nic, RTL8139_RDSAR + 4, 4, 0);
    nic->dtccr[0] = nic->dtccr[1] = 0;
    nic->rx_at = 0;
    nic->tctr_ns = host_now_ns(nic->base.host);
    rtl8139_tx_reset(nic);
    rtl8139_timer_update(nic);
    rtl8139_irq_update(nic);
    rtl8139_update(nic);
}

static void dump_tally(struct rtl8139 *nic)
{
    const struct rtl8139_tally *tally = &nic->tally;
    const uint64_t words[8] = {
        tally->tx_ok,
        tally->rx_ok,
        tally->tx_error,
        tally->rx_error | (uint64_t)tally->missed << 32,
        0, /* collisions */
        tally->rx_own,
        tally->rx_broadcast,
        tally->rx_multicast,
    };
    uint8_t bytes[64];

    if (!nic_may_dma(&nic->base))
        return;
    for (unsigned i = 0; i < 8; i++) {
        rtl8139_put(bytes + 8 * i, 4, (uint32_t)words[i]);
        rtl8139_put(bytes + 8 * i + 4, 4, (uint32_t)(words[i] >> 32));
    }
    nic_store(&nic->base, (uint64_t)nic->dtccr[1] << 32 | (nic->dtccr[0] & ~63u), bytes,
              sizeof(bytes));
    nic->dtccr[0] &= ~RTL8139_DTCCR_CMD;
}

/* In C+ mode the first two are DTCCR. Writing OWN as 0 gives a slot to the device, and the write
 * clears what was said of the packet before. */
static void after_tsd(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    unsigned half = (reg->at - RTL8139_TSD0) / 4;

    if (cp_mode(nic)) {
        if (half < 2)
            nic->dtccr[half] = get(nic, reg->at, 4);
        put(nic, reg->at, 4, old);
        if (half == 0 && nic->dtccr[0] & RTL8139_DTCCR_CMD)
            dump_tally(nic);
        return;
    }
    put(nic, reg->at, 4, get(nic, reg->at, 4) & (RTL8139_TSD_SIZE | RTL8139_TSD_OWN | 0x3f0000));
    rtl8139_tx_run(nic);
}

/* The ring begins anew. */
static void after_ring(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    if (reg->at == RTL8139_RDSAR)
        nic->rx_at = 0;
    else if (reg->at == RTL8139_TNPDS)
        nic->tx.at[0] = 0;
    else if (reg->at == RTL8139_THPDS)
        nic->tx.at[1] = 0;
}

static void after_cr(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    uint32_t now = nic->reg[RTL8139_CR], on = now & ~old;

    if (written & RTL8139_CR_RST) {
        rtl8139_mac_reset(nic);
        return;
    }
    if (on & RTL8139_CR_TE || (old & ~now) & RTL8139_CR_TE)
        rtl8139_tx_reset(nic);
    if (on & RTL8139_CR_RE) {
        nic->rx_at = 0;
        put(nic, RTL8139_CBR, 2, 0);
        put(nic, RTL8139_CAPR, 2, 0xfff0);
    }
    rtl8139_update(nic);
}

static void after_update(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    rtl8139_update(nic);
}

/* The other transmitter begins anew. */
static void after_cpcr(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    if ((old ^ nic->reg[RTL8139_CPCR]) & RTL8139_CPCR_TX)
        rtl8139_tx_reset(nic);
    rtl8139_update(nic);
}

static void after_imr(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    rtl8139_irq_update(nic);
}

/* Acknowledging is also how a driver of C+ mode says that it has refilled its ring. */
static void after_isr(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    put(nic, RTL8139_ISR, 2, old & ~written);
    rtl8139_irq_update(nic);
    nic_receive_ready(&nic->base);
}

static void after_tctr(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    if (reg->at == RTL8139_TCTR)
        nic->tctr_ns = host_now_ns(nic->base.host);
    rtl8139_timer_update(nic);
}

static void after_mpc(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    put(nic, RTL8139_MPC, 4, 0);
}

static void after_9346(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    uint8_t now = nic->reg[RTL8139_9346CR];

    if ((now & RTL8139_EEM) == RTL8139_EEM_AUTOLOAD)
        rtl8139_autoload(nic);
    else if ((now & RTL8139_EEM) == RTL8139_EEM_PROGRAM)
        eeprom93_pins(&nic->eeprom, now & RTL8139_EECS, now & RTL8139_EESK, now & RTL8139_EEDI);
    else
        eeprom93_pins(&nic->eeprom, false, false, false);
}

static void after_bmcr(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    if (written & RTL8139_BMCR_RESET)
        rtl8139_phy_reset(nic);
}

static void after_poll(struct rtl8139 *nic, const struct reg *reg, uint32_t old, uint32_t written)
{
    if (written & RTL8139_TPPOLL_FSWI)
        rtl8139_irq_set(nic, RTL8139_INT_SW);
    if (!(nic->reg[RTL8139_CPCR] & RTL8139_CPCR_TX))
        return;
    if (written & RTL8139_TPPOLL_NPQ)
        nic->tx.left[0] = RTL8139_DESCS;
    if (written & RTL8139_TPPOLL_HPQ)
        nic->tx.left[1] = RTL8139_DESCS;
    rtl8139_tx_run(nic);
}

/* What is not here cannot be written. */
static const struct reg regs[] = {
    {0x00, 4, true, 0xffffffff, NULL},
    {0x04, 2, true, 0xffff, NULL},
    {0x08, 4, false, 0xffffffff, NULL},
    {0x0c, 4, false, 0xffffffff, NULL},
    {0x10, 4, false, 0xffffffff, after_tsd},
    {0x14, 4, false, 0xffffffff, after_tsd},
    {0x18, 4, false, 0xffffffff, after_tsd},
    {0x1c, 4, false, 0xffffffff, after_tsd},
    {0x20, 4, false, 0xffffffff, after_ring},
    {0x24, 4, false, 0xffffffff, NULL},
    {0x28, 4, false, 0xffffffff, after_ring},
    {0x2c, 4, false, 0xffffffff, NULL},
    {RTL8139_RBSTART, 4, false, 0xffffffff, NULL},
    {RTL8139_CR, 1, false, RTL8139_CR_RE | RTL8139_CR_TE, after_cr},
    {RTL8139_CAPR, 2, false, 0xffff, after_update},
    {RTL8139_IMR, 2, false, 0xe1ff, after_imr},
    {RTL8139_ISR, 2, false, 0, after_isr},
    {RTL8139_TCR, 4, false, 0x030707f0, after_update},
    {RTL8139_RCR, 4, false, 0x0f03ffbf, after_update},
    {RTL8139_TCTR, 4, false, 0, after_tctr},
    {RTL8139_MPC, 4, false, 0, after_mpc},
    {RTL8139_9346CR, 1, false, 0xce, after_9346},
    {RTL8139_CONFIG1, 1, true, 0xf3, NULL},
    {RTL8139_TIMERINT, 4, false, 0xffffffff, after_tctr},
    {RTL8139_MSR, 1, false, 0xc0, NULL},
    {RTL8139_CONFIG3, 1, true, 0x70, NULL},
    {RTL8139_CONFIG4, 1, true, 0xf5, NULL},
    {RTL8139_MULINT, 2, false, 0x0fff, NULL},
    {RTL8139_BMCR, 2, false, 0x3100, after_bmcr},
    {RTL8139_ANAR, 2, false, 0x25e0, NULL},
    {RTL8139_NWAYTR, 2, false, 0x0080, NULL},
    {RTL8139_CSCR, 2, false, 0xffff & ~RTL8139_CSCR_LINK_CHANGED, NULL},
    {RTL8139_PHY1, 4, false, 0xffffffff, NULL},
    {0x7c, 4, false, 0xffffffff, NULL},
    {0x80, 1, false, 0xff, NULL},
    {RTL8139_CONFIG5, 1, false, 0x7f, NULL},
    {RTL8139_TPPOLL, 1, false, 0, after_poll},
    {RTL8139_CPCR, 2, false, RTL8139_CPCR_WRITABLE, after_cpcr},
    {RTL8139_RDSAR, 4, false, 0xffffffff, after_ring},
    {RTL8139_RDSAR + 4, 4, false, 0xffffffff, NULL},
    {RTL8139_ETTHR, 1, false, 0x3f, NULL},
};

static bool cabled_fast(const struct rtl8139 *nic)
{
    uint32_t bmcr = get(nic, RTL8139_BMCR, 2);

    if (bmcr & RTL8139_BMCR_ANE)
        return get(nic, RTL8139_ANAR, 2) & RTL8139_ANAR_100;
    return bmcr & RTL8139_BMCR_100;
}

/* Registers that follow something else. */
static void refresh(struct rtl8139 *nic)
{
    bool up = net_link(nic->base.net), ane = get(nic, RTL8139_BMCR, 2) & RTL8139_BMCR_ANE;
    uint32_t summary = 0;

    nic->reg[RTL8139_CR] &= (uint8_t)~RTL8139_CR_BUFE;
    if (rtl8139_rx_empty(nic))
        nic->reg[RTL8139_CR] |= RTL8139_CR_BUFE;
    put(nic, RTL8139_TCTR, 4, (uint32_t)ticks(nic));
    nic->reg[RTL8139_9346CR] &= (uint8_t)~RTL8139_EEDO;
    if (eeprom93_out(&nic->eeprom))
        nic->reg[RTL8139_9346CR] |= RTL8139_EEDO;
    nic->reg[RTL8139_MSR] &= 0xc0;
    if (!up)
        nic->reg[RTL8139_MSR] |= RTL8139_MSR_LINKB;
    if (!cabled_fast(nic))
        nic->reg[RTL8139_MSR] |= RTL8139_MSR_SPEED_10;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t tsd = get(nic, RTL8139_TSD0 + 4 * i, 4);
        summary |= (tsd & RTL8139_TSD_OWN ? 1u : 0) << i;
        summary |= (tsd & RTL8139_TSD_TABT ? 0x10u : 0) << i;
        summary |= (tsd & RTL8139_TSD_TUN ? 0x100u : 0) << i;
        summary |= (tsd & RTL8139_TSD_TOK ? 0x1000u : 0) << i;
    }
    put(nic, RTL8139_TSAD, 2, summary);
    put(nic, RTL8139_BMSR, 2,
        RTL8139_BMSR_ABLE | (up && !nic->link_fell ? RTL8139_BMSR_LINK : 0) |
            (up && ane ? RTL8139_BMSR_DONE : 0));
    put(nic, RTL8139_ANLPAR, 2, up && ane ? RTL8139_PARTNER : 0);
    put(nic, RTL8139_ANER, 2, up && ane ? 1 : 0);
}

uint32_t rtl8139_read(struct rtl8139 *nic, uint32_t offset, unsigned size)
{
    uint32_t value = 0;

    refresh(nic);
    for (unsigned i = 0; i < size; i++) {
        uint32_t at = offset + i;
        uint8_t byte = nic->reg[at];
        if (cp_mode(nic) && at >= RTL8139_DTCCR && at < RTL8139_DTCCR + 8)
            byte = (uint8_t)(nic->dtccr[(at - RTL8139_DTCCR) / 4] >> (8 * (at % 4)));
        value |= (uint32_t)byte << (8 * i);
    }
    if (offset <= RTL8139_BMSR && offset + size > RTL8139_BMSR)
        nic->link_fell = false;
    if (offset <= RTL8139_CSCR + 1 && offset + size > RTL8139_CSCR + 1)
        put(nic, RTL8139_CSCR, 2, get(nic, RTL8139_CSCR, 2) & ~RTL8139_CSCR_LINK_CHANGED);
    return value;
}

/* The part of an access that is this register's. */
static void write_reg(struct rtl8139 *nic, const struct reg *reg, uint32_t offset, unsigned size,
                      uint32_t value)
{
    uint32_t old = get(nic, reg->at, reg->bytes), touched = 0, written = 0, mask;

    if (reg->locked && (nic->reg[RTL8139_9346CR] & RTL8139_EEM) != RTL8139_EEM_CONFIG)
        return;
    for (unsigned i = 0; i < reg->bytes; i++) {
        uint32_t at = reg->at + i;
        if (at < offset || at >= offset + size)
            continue;
        touched |= 0xffu << (8 * i);
        written |= (value >> (8 * (at - offset)) & 0xff) << (8 * i);
    }
    mask = reg->writable & touched;
    put(nic, reg->at, reg->bytes, (old & ~mask) | (written & mask));
    if (reg->after)
        reg->after(nic, reg, old, written);
}

void rtl8139_write(struct rtl8139 *nic, uint32_t offset, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
        if (regs[i].at < offset + size && offset < regs[i].at + regs[i].bytes)
            write_reg(nic, &regs[i], offset, size, value);
    }
    for (uint32_t at = offset; at < offset + size; at++) {
        if (at >= RTL8139_WAKEUP && at < 0xd4)
            nic->reg[at] = (uint8_t)(value >> (8 * (at - offset)));
    }
}
