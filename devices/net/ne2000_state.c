/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saving and loading: every register, where the remote DMA is, and packet memory. The PROM is made
 * of the address that the NIC is given. */
#include "devices/net/ne2000_internal.h"

#define BYTES 19

/* The registers of one byte, in the order in which they are saved. */
static void list_bytes(struct ne2000 *nic, uint8_t *ret_at[BYTES])
{
    uint8_t *const at[BYTES] = {
        &nic->cr,     &nic->isr,     &nic->imr,     &nic->dcr,         &nic->tcr,
        &nic->rcr,    &nic->tsr,     &nic->rsr,     &nic->bnry,        &nic->curr,
        &nic->pstart, &nic->pstop,   &nic->tpsr,    &nic->remote,      &nic->fifo_at,
        &nic->ee,     &nic->config2, &nic->config3, &nic->send_packet,
    };

    for (unsigned i = 0; i < BYTES; i++)
        ret_at[i] = at[i];
}

void ne2000_save(const struct nic *base, struct state_writer *writer)
{
    const struct ne2000 *nic = (const struct ne2000 *)base;
    uint8_t *at[BYTES];

    list_bytes((struct ne2000 *)nic, at);
    for (unsigned i = 0; i < BYTES; i++)
        state_put_u8(writer, *at[i]);
    state_put_u16(writer, nic->tbcr);
    state_put_u16(writer, nic->rsar);
    state_put_u16(writer, nic->rbcr);
    state_put_bytes(writer, nic->par, sizeof(nic->par));
    state_put_bytes(writer, nic->mar, sizeof(nic->mar));
    state_put_bytes(writer, nic->tally, sizeof(nic->tally));
    state_put_bytes(writer, nic->fifo, sizeof(nic->fifo));
    state_put_bytes(writer, nic->mem, sizeof(nic->mem));
}

/* What no guest can write; everything else may hold anything. */
static bool possible(const struct ne2000 *nic)
{
    return nic->remote < NE2000_REMOTES && nic->send_packet <= 1 &&
           (!nic->send_packet || nic->remote == NE2000_READ) && nic->fifo_at < sizeof(nic->fifo) &&
           nic->tally[0] <= NE2000_TALLY_MAX && nic->tally[1] <= NE2000_TALLY_MAX &&
           nic->tally[2] <= NE2000_TALLY_MAX && !(nic->imr & 0x80) && !(nic->dcr & 0x80) &&
           !(nic->tcr & 0xe0) && !(nic->rcr & 0xc0) &&
           (!(nic->cr & NE2000_CR_STP) || !(nic->cr & NE2000_CR_TXP));
}

void ne2000_load(struct nic *base, struct state_reader *reader, uint32_t version)
{
    struct ne2000 *nic = (struct ne2000 *)base;
    uint8_t *at[BYTES];

    list_bytes(nic, at);
    for (unsigned i = 0; i < BYTES; i++)
        *at[i] = state_get_u8(reader);
    nic->tbcr = state_get_u16(reader);
    nic->rsar = state_get_u16(reader);
    nic->rbcr = state_get_u16(reader);
    state_get_bytes(reader, nic->par, sizeof(nic->par));
    state_get_bytes(reader, nic->mar, sizeof(nic->mar));
    state_get_bytes(reader, nic->tally, sizeof(nic->tally));
    state_get_bytes(reader, nic->fifo, sizeof(nic->fifo));
    state_get_bytes(reader, nic->mem, sizeof(nic->mem));
    if (!reader->error && !possible(nic))
        state_reject(reader);
    if (!reader->error)
        ne2000_irq_update(nic);
}
