/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small IDE driver for guests that the peer library plays: what a BIOS and an OS do to a drive,
 * by PIO and by bus-master DMA. Polls BSY and DRQ as ATA-7 wants it; DMA waits for the interrupt.
 *
 * One driver per channel; who uses both drives of it from two vCPUs must take turns. Functions
 * return 0 or -EIO (ERR or DF set; `error` and `status` tell), -ETIMEDOUT, -ENXIO (no drive),
 * -EPIPE.
 */
#ifndef IOEMUD_TESTS_PEER_IDE_H
#define IOEMUD_TESTS_PEER_IDE_H

#include "tests/peer/peer.h"

/* status register */
#define IDE_BSY  0x80
#define IDE_DRDY 0x40
#define IDE_DF   0x20
#define IDE_DRQ  0x08
#define IDE_ERR  0x01

enum ide_command {
    IDE_READ_SECTORS = 0x20,
    IDE_READ_SECTORS_EXT = 0x24,
    IDE_READ_DMA_EXT = 0x25,
    IDE_READ_MULTIPLE_EXT = 0x29,
    IDE_WRITE_SECTORS = 0x30,
    IDE_WRITE_SECTORS_EXT = 0x34,
    IDE_WRITE_DMA_EXT = 0x35,
    IDE_WRITE_MULTIPLE_EXT = 0x39,
    IDE_READ_MULTIPLE = 0xc4,
    IDE_WRITE_MULTIPLE = 0xc5,
    IDE_SET_MULTIPLE = 0xc6,
    IDE_READ_DMA = 0xc8,
    IDE_WRITE_DMA = 0xca,
    IDE_FLUSH_CACHE = 0xe7,
    IDE_IDENTIFY = 0xec,
};

/* How the data register is moved. */
enum ide_pio {
    IDE_PIO_LOOP16, /* inw, outw one by one */
    IDE_PIO_LOOP32,
    IDE_PIO_REP16, /* rep insw, rep outsw */
    IDE_PIO_REP32,
};

#define IDE_NATIVE 0x100u

struct ide {
    struct peer *peer;
    unsigned vcpu;
    uint16_t cmd, ctl, bm; /* bm 0: no bus master */
    unsigned irq;          /* ISA line; IDE_NATIVE: INTA of `slot` */
    unsigned slot;
    unsigned drive;        /* 0 master, 1 slave */
    unsigned multiple;     /* sectors a block; 0: READ and WRITE SECTORS */
    uint64_t prd_gpa;      /* room for a PRD table of 4096 bytes that crosses no 64 KiB */
    uint8_t status, error; /* of the last command */
};

/* One entry of a PRD table, in guest memory. `bytes` even, 2 to 65536; crosses no 64 KiB. */
struct ide_prd {
    uint32_t gpa;
    uint32_t bytes;
};

/* channel 0 or 1 of the PIIX3 at 00:01.1: legacy ports; switches its bus master on and gives it its
 * ports if nobody did. prd_gpa as above. */
int ide_init(struct ide *ide, struct peer *peer, unsigned vcpu, unsigned channel, unsigned drive,
             uint64_t prd_gpa);
/* Channel of a controller in PCI native mode at 00:SLOT.0 (CMD646): gives its BARs ports from
 * `ports` on (64 of them) if it has none. -ENXIO: no such controller. */
int ide_init_native(struct ide *ide, struct peer *peer, unsigned vcpu, unsigned slot,
                    uint16_t ports, unsigned channel, unsigned drive, uint64_t prd_gpa);
int ide_soft_reset(struct ide *ide);
int ide_identify(struct ide *ide, uint16_t words[256]);
uint64_t ide_capacity(const uint16_t words[256]); /* sectors */
int ide_set_multiple(struct ide *ide, unsigned sectors);
/* `count` 1 to 256 sectors between the disk and guest memory at gpa. */
int ide_pio_read(struct ide *ide, enum ide_pio how, uint64_t lba, unsigned count, uint64_t gpa);
int ide_pio_write(struct ide *ide, enum ide_pio how, uint64_t lba, unsigned count, uint64_t gpa);
/* With a table of its own making (one entry for each 64 KiB). count up to 2048. */
int ide_dma_read(struct ide *ide, uint64_t lba, unsigned count, uint64_t gpa);
int ide_dma_write(struct ide *ide, uint64_t lba, unsigned count, uint64_t gpa);
/* With the caller's table. */
int ide_dma_prd(struct ide *ide, bool write, uint64_t lba, unsigned count,
                const struct ide_prd *prd, unsigned prd_count);
int ide_flush(struct ide *ide);

/* The steps, for tests that stop in the middle. */
int ide_wait_idle(struct ide *ide);
int ide_command(struct ide *ide, uint8_t command, uint64_t lba, unsigned count, bool ext);
int ide_wait_drq(struct ide *ide);
void ide_dma_start(struct ide *ide, bool write, uint64_t lba, unsigned count,
                   const struct ide_prd *prd, unsigned prd_count);
int ide_dma_finish(struct ide *ide, uint32_t rises_before);
/* ide_dma_read() and _write() up to where they would wait: for an IRQ after *ret_rises, which is
 * what ide_dma_finish() wants to know. For who has commands on both channels at once. */
int ide_dma_begin(struct ide *ide, bool write, uint64_t lba, unsigned count, uint64_t gpa,
                  uint32_t *ret_rises);

#endif
