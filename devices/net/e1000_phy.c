/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PHY, an integrated 88E1011 (SDM 11, 13.4.7), and what the MAC makes of its link.
 *
 * The other end of the cable can do everything but PAUSE, so what comes out is the best that is
 * advertised. STATUS.LU is the PHY's link as far as CTRL.SLU lets the MAC see it (SDM 8.6.2.1).
 *
 *   restart, reset, cable in, power on -> NEGOTIATING --NEGOTIATION_NS--> link up
 *   cable out, power down              -> no link
 */
#include "devices/net/e1000_internal.h"

/* A driver must see that the link was down; nobody must wait the seconds that it really takes. */
#define NEGOTIATION_NS 100000000u

/* Capabilities in the Status register: 10 and 100 Mbit/s, more in register 15, negotiation. */
#define STATUS_FIXED 0x7949

#define ANA_100_FD  0x0100u
#define ANA_100_HD  0x0080u
#define ANA_10_FD   0x0040u
#define ANA_10_HD   0x0020u
#define GCON_FD     0x0200u
#define GCON_HD     0x0100u
#define PARTNER     0x41e1 /* LPA: acknowledged, 10 and 100 Mbit/s */
#define PARTNER_GB  0x3c00 /* GSTATUS: both receivers well, 1000 Mbit/s */
#define PARTNER_ANE 0x0001 /* it negotiates */

#define PSSTAT_SPEED_SHIFT 14
#define PSSTAT_FD          0x2000u
#define PSSTAT_RESOLVED    0x0800u
#define PSSTAT_LINK        0x0400u

static const struct {
    uint16_t initial, writable;
} registers[E1000_PHY_REGS] = {
    [E1000_PHY_CTRL] = {E1000_PHY_CTRL_ANEG | E1000_PHY_CTRL_FD | E1000_PHY_CTRL_SPEED1, 0x7dc0},
    [E1000_PHY_ID1] = {0x0141, 0},
    [E1000_PHY_ID2] = {0x0c20, 0},
    [E1000_PHY_ANA] = {0x0de1, 0xbfe0},
    [E1000_PHY_NPT] = {0x2001, 0xb7ff},
    [E1000_PHY_GCON] = {0x0e00, 0xff00},
    [E1000_PHY_ESTATUS] = {0x3000, 0},
    [E1000_PHY_PSCON] = {0x0360, 0xffff},
    [E1000_PHY_PINTE] = {0, 0xffff},
    [E1000_PHY_EPSCON1] = {0x0d60, 0xffff},
    [E1000_PHY_PAGE] = {0, 0xffff},
    [E1000_PHY_PAGED] = {0, 0xffff},
};

/* What the link is when it comes up. Registers that say so have no effect on one that is up
 * (SDM 11.1.3). */
static struct e1000_mode resolve(const struct e1000 *nic)
{
    uint16_t ctrl = nic->phy[E1000_PHY_CTRL], ana = nic->phy[E1000_PHY_ANA];
    uint16_t gcon = nic->phy[E1000_PHY_GCON];

    if (!(ctrl & E1000_PHY_CTRL_ANEG)) {
        uint8_t speed = ctrl & E1000_PHY_CTRL_SPEED1 ? 2 : ctrl & E1000_PHY_CTRL_SPEED0 ? 1 : 0;
        return (struct e1000_mode){true, ctrl & E1000_PHY_CTRL_FD, speed};
    }
    if (gcon & (GCON_FD | GCON_HD))
        return (struct e1000_mode){true, gcon & GCON_FD, 2};
    if (ana & (ANA_100_FD | ANA_100_HD))
        return (struct e1000_mode){true, ana & ANA_100_FD, 1};
    return (struct e1000_mode){ana & (ANA_10_FD | ANA_10_HD), ana & ANA_10_FD, 0};
}

static bool negotiating(const struct e1000 *nic)
{
    return nic->timer.negotiation.deadline_ns;
}

static bool phy_link(const struct e1000 *nic)
{
    uint16_t ctrl = nic->phy[E1000_PHY_CTRL];

    if (ctrl & E1000_PHY_CTRL_DOWN)
        return false;
    if (ctrl & E1000_PHY_CTRL_LOOP)
        return true;
    return net_link(nic->base.net) && !negotiating(nic) && nic->mode.possible;
}

bool e1000_looped(const struct e1000 *nic)
{
    uint32_t lbm = nic->reg[E1000_R_RCTL] & E1000_RCTL_LBM;

    return lbm == E1000_RCTL_LBM_MAC || lbm == E1000_RCTL_LBM_PHY ||
           nic->phy[E1000_PHY_CTRL] & E1000_PHY_CTRL_LOOP;
}

void e1000_link_update(struct e1000 *nic)
{
    uint32_t ctrl = nic->reg[E1000_R_CTRL], old = nic->reg[E1000_R_STATUS], status;
    struct e1000_mode mode = nic->mode;
    bool link = phy_link(nic), up = link && ctrl & E1000_CTRL_SLU;

    if (!link)
        nic->phy_fell = true;
    if (ctrl & E1000_CTRL_FRCSPD)
        mode.speed = (uint8_t)(ctrl >> 8 & 3);
    if (ctrl & E1000_CTRL_FRCDPLX)
        mode.full_duplex = ctrl & E1000_CTRL_FD;
    status = (uint32_t)mode.speed << E1000_STATUS_SPEED_SHIFT | (uint32_t)mode.speed
                                                                    << E1000_STATUS_ASDV_SHIFT;
    status |= mode.full_duplex ? E1000_STATUS_FD : 0;
    status |= up ? E1000_STATUS_LU : 0;
    nic->reg[E1000_R_STATUS] = status;
    if ((old ^ status) & E1000_STATUS_LU)
        e1000_irq_set(nic, E1000_INT_LSC);
    e1000_update(nic);
}

static void renegotiate(struct e1000 *nic)
{
    uint16_t ctrl = nic->phy[E1000_PHY_CTRL];

    nic->mode = resolve(nic);
    nic_disarm(&nic->base, &nic->timer.negotiation);
    if (ctrl & E1000_PHY_CTRL_ANEG && !(ctrl & E1000_PHY_CTRL_DOWN) && net_link(nic->base.net))
        nic_arm(&nic->base, &nic->timer.negotiation, NEGOTIATION_NS);
    e1000_link_update(nic);
}

void e1000_negotiated(void *arg)
{
    struct e1000 *nic = arg;

    nic->mode = resolve(nic);
    e1000_link_update(nic);
}

void e1000_cable(struct e1000 *nic)
{
    renegotiate(nic);
}

static void set_initial(struct e1000 *nic)
{
    for (unsigned i = 0; i < E1000_PHY_REGS; i++)
        nic->phy[i] = registers[i].initial;
}

void e1000_phy_reset(struct e1000 *nic)
{
    set_initial(nic);
    nic->mode = resolve(nic);
    nic->phy_fell = false;
    nic_disarm(&nic->base, &nic->timer.negotiation);
    e1000_link_update(nic);
}

void e1000_phy_restart(struct e1000 *nic)
{
    set_initial(nic);
    renegotiate(nic);
}

/* Link Status says once that the link was down, even if it is up again (IEEE 802.3, 22.2.4.2). */
static uint16_t read_status(struct e1000 *nic)
{
    bool link = phy_link(nic);
    uint16_t value = STATUS_FIXED;

    if (link && !nic->phy_fell)
        value |= E1000_PHY_STATUS_LINK;
    if (link && nic->phy[E1000_PHY_CTRL] & E1000_PHY_CTRL_ANEG)
        value |= E1000_PHY_STATUS_DONE;
    nic->phy_fell = !link;
    return value;
}

static uint16_t read_specific_status(const struct e1000 *nic)
{
    if (!phy_link(nic))
        return 0;
    return (uint16_t)(nic->mode.speed << PSSTAT_SPEED_SHIFT |
                      (nic->mode.full_duplex ? PSSTAT_FD : 0) | PSSTAT_RESOLVED | PSSTAT_LINK);
}

static uint16_t phy_read(struct e1000 *nic, unsigned reg)
{
    bool done = phy_link(nic) && nic->phy[E1000_PHY_CTRL] & E1000_PHY_CTRL_ANEG;

    switch (reg) {
    case E1000_PHY_STATUS:
        return read_status(nic);
    case E1000_PHY_LPA:
        return done ? PARTNER : 0;
    case E1000_PHY_ANE:
        return done ? PARTNER_ANE : 0;
    case E1000_PHY_GSTATUS:
        return done ? PARTNER_GB : 0;
    case E1000_PHY_PSSTAT:
        return read_specific_status(nic);
    default:
        return nic->phy[reg];
    }
}

static void phy_write(struct e1000 *nic, unsigned reg, uint16_t value)
{
    uint16_t old = nic->phy[reg], writable = registers[reg].writable;

    nic->phy[reg] = (uint16_t)((old & ~writable) | (value & writable));
    if (reg != E1000_PHY_CTRL)
        return;
    bool woken = old & ~value & E1000_PHY_CTRL_DOWN;
    if (value & (E1000_PHY_CTRL_RESET | E1000_PHY_CTRL_RESTART) || woken)
        renegotiate(nic);
    else
        e1000_link_update(nic);
}

/* Done at once. There is one PHY. */
void e1000_mdic(struct e1000 *nic)
{
    uint32_t mdic = nic->reg[E1000_R_MDIC];
    unsigned reg = mdic >> E1000_MDIC_REG_SHIFT & (E1000_PHY_REGS - 1);
    unsigned phy = mdic >> E1000_MDIC_PHY_SHIFT & 0x1f;

    mdic = (mdic & ~E1000_MDIC_ERROR) | E1000_MDIC_READY;
    if (phy != E1000_PHY_ADDRESS)
        mdic |= E1000_MDIC_ERROR;
    else if (mdic & E1000_MDIC_OP_WRITE)
        phy_write(nic, reg, (uint16_t)mdic);
    else if (mdic & E1000_MDIC_OP_READ)
        mdic = (mdic & ~E1000_MDIC_DATA) | phy_read(nic, reg);
    nic->reg[E1000_R_MDIC] = mdic;
    if (mdic & E1000_MDIC_INT_ENABLE)
        e1000_irq_set(nic, E1000_INT_MDAC);
}
