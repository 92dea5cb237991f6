/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One channel's bus master (SFF-8038i, "Programming Interface for Bus Master IDE Controller" 1.0;
 * PIIX3 2.7): three registers and the walk along a table of physical region descriptors in guest
 * memory.
 *
 * The guest may have written anything there, and may write while we read. So descriptors are read
 * once, into a plan of at most BMDMA_PLAN of them; data moves to and from the plan only; and what
 * was moved advances the position, which alone is state. A descriptor stands for 2 to 65536 bytes
 * and a plan has room for 256, so one always covers a sector unless the table ends before. Each can
 * name memory that is expensive to reach: beyond BMDMA_PIECES a plan ends with its first sector, so
 * that a table of crumbs costs as many short turns as it has sectors, not one long one.
 *
 * Status when a transfer is over (SFF-8038i, "status bit interpretation"):
 *
 *   Interrupt Active
 *       1       0     the table was as long as the transfer
 *       1       1     the table was longer
 *       0       0     the table was shorter: the drive waits for more
 *       0       1     under way
 *
 * Where guest memory cannot be reached the Error bit is set and the bus master stops, as PIIX3's
 * does after a master or target abort (SFF-8038i, bit 1 of the status register); the drive ends its
 * command with an error.
 */
#ifndef IOEMUD_DEVICES_IDE_BMDMA_H
#define IOEMUD_DEVICES_IDE_BMDMA_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/blk.h" /* struct iovec */
#include "devices/host.h"
#include "devices/state.h"

/* Offsets in a channel's eight ports. 1 and 3 are the controller's own. */
#define BMDMA_BMICOM 0 /* command */
#define BMDMA_BMISTA 2 /* status */
#define BMDMA_BMIDTP 4 /* descriptor table pointer, 4 bytes */
#define BMDMA_PORTS  8

#define BMICOM_START 0x01 /* SSBM */
#define BMICOM_READ  0x08 /* RWCON: to memory. Kept for the guest; the drive's command decides */

#define BMISTA_ACTIVE 0x01
#define BMISTA_ERROR  0x02
#define BMISTA_INTR   0x04
#define BMISTA_DMA0   0x20 /* software's notes that the drives can do DMA */
#define BMISTA_DMA1   0x40

#define BMDMA_PLAN   256
#define BMDMA_PIECES 64 /* drivers make 33 of 128 KiB */

struct bmdma_state {
    uint8_t command, status;
    uint32_t table;
    /* Position: what is left of the descriptor in hand, and where the next is. */
    uint32_t next;
    uint32_t addr, left; /* left 0: none in hand */
    bool end;            /* the one in hand was the last (EOT) */
};

struct bmdma {
    struct bmdma_state state;
    const struct host *host;
    bool master; /* PCI Command bit 2; without it nothing moves */
    struct {
        uint32_t addr, len;
    } plan[BMDMA_PLAN];
    unsigned n_plan;
    bool plan_in_hand; /* plan[0] is the rest of the descriptor in hand */
    bool plan_end;     /* the last one planned has EOT */
};

void bmdma_init(struct bmdma *bm, const struct host *host);
void bmdma_reset(struct bmdma *bm);

uint8_t bmdma_read(const struct bmdma *bm, unsigned offset);

enum bmdma_event {
    BMDMA_NOTHING,
    BMDMA_STARTED,
    BMDMA_STOPPED,
};
/* What the write made of SSBM is returned. */
enum bmdma_event bmdma_write(struct bmdma *bm, unsigned offset, uint8_t value);

/* INTRQ rose. */
void bmdma_interrupt(struct bmdma *bm);

/* See struct ata_link_ops: dma_plan and so on. */
int bmdma_plan(struct bmdma *bm, uint32_t want, uint32_t *ret_have, bool *ret_end);
int bmdma_gather(struct bmdma *bm, const struct iovec *iov, unsigned n_iov, uint32_t bytes);
int bmdma_scatter(struct bmdma *bm, const struct iovec *iov, unsigned n_iov, uint32_t bytes);
void bmdma_advance(struct bmdma *bm, uint32_t bytes);

void bmdma_save(const struct bmdma *bm, struct state_writer *writer);
void bmdma_load(struct bmdma *bm, struct state_reader *reader);

#endif
