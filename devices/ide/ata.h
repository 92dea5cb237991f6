/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One drive, an ATA disk or a packet device (devices/ide/atapi.h): taskfile, commands, PIO and DMA
 * transfers over a struct blk. It knows neither ports
 * nor PCI: a channel (devices/ide/channel.h) routes register accesses to it and answers through
 * struct ata_link_ops for the cable: interrupt line and bus master.
 *
 * Standards: ATA/ATAPI-6 (T13/1410D) for registers and protocols, ATA8-ACS (T13/1699D) for IDENTIFY
 * words, SMART and logs, ACS-2 (T13/2015-D) for TRIM.
 *
 * Nothing here blocks. A command that needs the disk leaves the drive in a phase with BSY set; the
 * phase and the numbers beside it say what is to be done next, so that the request can be issued
 * again at any time (ata_step()): when pages or the disk become free, after quiesce and resume,
 * after load.
 *
 *                            command written
 *     +------------------------- IDLE <---------------------------------------------+
 *     |            |          |           |                |                        |
 *     | PIO in     | PIO out  | DMA       | VERIFY         | FLUSH CACHE            |
 *     v            v          v           v                v     write cache off,   |
 *   FETCH<--+    ROOM<--+   DMA<--+     VERIFY<-+        FLUSH   last sector on disk|
 *     |     |      |    |     |   |       |     |          |  ^---------------------+
 *     v     |      v    |     +---+       +-----+          |                        |
 *   PIO_IN--+    PIO_OUT|   per chunk                      +------------------------+
 *     |            |    |                                                           |
 *     |            v    |                                                           |
 *     |          STORE--+                                                           |
 *     +------------+----------------------------------------------------------------+
 *   SRST from anywhere: RESET while the bit is set, then IDLE with the signature.
 *
 * Data that is the drive's own (IDENTIFY, SMART, logs) and lists that it is given (TRIM) pass
 * through PIO_IN, PIO_OUT or DMA without a request; TRIM then goes from DMA to TRIM, a range at a
 * time, and from there to IDLE.
 */
#ifndef IOEMUD_DEVICES_IDE_ATA_H
#define IOEMUD_DEVICES_IDE_ATA_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/blk.h"
#include "devices/host.h"
#include "devices/ide/ata_smart.h"
#include "devices/ide/atapi.h"
#include "devices/machine.h"
#include "devices/state.h"

#define ATA_SECTOR       512u
#define ATA_MULTIPLE_MAX 16u                          /* sectors a DRQ block, IDENTIFY word 47 */
#define ATA_CHUNK_MAX    (BLK_MAX_BYTES / ATA_SECTOR) /* sectors a request */
/* PIO's chunks are shorter: a guest can stop in the middle of one for ever, and the pages that it
 * holds meanwhile are missed by the others. A multiple of ATA_MULTIPLE_MAX. */
#define ATA_PIO_CHUNK_MAX (BLK_HELD_BYTES / ATA_SECTOR)
#define ATA_DATA_SECTORS  8u /* of the drive's own data; a TRIM's list, IDENTIFY word 105 */

/* Command block registers by offset (ATA-6 7). */
enum ata_reg {
    ATA_REG_DATA,
    ATA_REG_ERROR, /* write: Features */
    ATA_REG_COUNT,
    ATA_REG_LBA_LOW,
    ATA_REG_LBA_MID,
    ATA_REG_LBA_HIGH,
    ATA_REG_DEVICE,
    ATA_REG_STATUS, /* write: Command */
    ATA_REGS
};
#define ATA_REG_FEATURES ATA_REG_ERROR
#define ATA_REG_COMMAND  ATA_REG_STATUS

/* Status register (ATA-6 7.15). */
#define ATA_SR_BSY  0x80
#define ATA_SR_DRDY 0x40
#define ATA_SR_DSC  0x10 /* obsolete since ATA-4; firmware still looks */
#define ATA_SR_DRQ  0x08
#define ATA_SR_ERR  0x01

/* Error register (ATA-6 7.9). */
#define ATA_ER_UNC  0x40
#define ATA_ER_IDNF 0x10
#define ATA_ER_ABRT 0x04

/* Device register (ATA-6 7.7). Bits 7 and 5 read as ones, as they did before ATA-4. */
#define ATA_DEVICE_OBSOLETE 0xa0
#define ATA_DEVICE_LBA      0x40
#define ATA_DEVICE_DEV      0x10
#define ATA_DEVICE_HEAD     0x0f

/* Device Control register (ATA-6 7.8). */
#define ATA_DC_HOB  0x80
#define ATA_DC_SRST 0x04
#define ATA_DC_NIEN 0x02

#define ATA_CMD_DEVICE_RESET 0x08 /* a packet device takes it in any phase */
#define ATA_CMD_PACKET       0xa0
#define ATA_CMD_DIAGNOSTIC   0x90 /* the one command that both drives of a cable take */

enum ata_phase {
    ATA_IDLE,
    ATA_RESET,   /* SRST is set */
    ATA_FETCH,   /* PIO in: a chunk is wanted from the disk */
    ATA_PIO_IN,  /* DRQ: the guest reads a block */
    ATA_ROOM,    /* PIO out: pages are wanted for a chunk */
    ATA_PIO_OUT, /* DRQ: the guest writes a block */
    ATA_STORE,   /* PIO out: a chunk is wanted on the disk */
    ATA_DMA,     /* a chunk is wanted through the bus master */
    ATA_VERIFY,
    ATA_FLUSH,  /* the last thing that a command does */
    ATA_TRIM,   /* ranges are to be discarded */
    ATA_PACKET, /* DRQ: the guest writes a packet */
    ATA_PHASES
};

enum ata_power {
    ATA_POWER_ACTIVE,
    ATA_POWER_IDLE,
    ATA_POWER_STANDBY,
    ATA_POWER_SLEEP, /* deaf until reset */
};

/* What a guest can observe of a drive, and all that is saved, besides the bytes of a PIO transfer.
 */
struct ata_state {
    /* By enum ata_reg; FEATURES to LBA_HIGH are two deep, for 48-bit commands (ATA-6, "48-bit
     * Address feature set"). */
    uint8_t reg[ATA_REGS], previous[ATA_REGS];
    uint8_t device;
    uint8_t error;
    bool failed; /* ERR */
    bool intrq;  /* interrupt pending, whether or not nIEN lets it out */
    uint8_t phase;
    uint8_t power;
    bool unplugged;

    /* Settings. */
    uint8_t multiple;      /* sectors a block, 0: READ/WRITE MULTIPLE disabled */
    uint8_t heads;         /* CHS translation: 1-16 */
    uint8_t track_sectors; /* 1-255 */
    uint8_t transfer_mode; /* as SET FEATURES 03h had it */
    bool write_cache, look_ahead;
    bool revert; /* SRST brings the defaults back (SET FEATURES CCh) */

    /* The command under way. */
    uint8_t opcode;
    bool asked;          /* PIO out: a DRQ block was open before, so the next one interrupts */
    uint64_t lba;        /* first sector that is not done */
    uint32_t sectors;    /* not done */
    uint32_t chunk;      /* sectors of the request in hand, from `lba` on */
    uint32_t pos;        /* bytes of the chunk that crossed the cable; TRIM: bytes of the list */
    uint32_t block_left; /* PIO: bytes of the DRQ block that did not */

    struct atapi_state packet; /* of a packet device */
};

struct ide_counters {
    uint64_t commands, pio_sectors, dma_bytes, errors, resets, interrupts;
};

struct ata_drive;

/* What a drive asks of its cable. */
struct ata_link_ops {
    /* state.intrq changed. */
    void (*intrq)(void *ctx);
    /* Memory for at most `want` bytes (at least a sector) of the drive's transfer, from the bus
     * master's position on. Returns bytes, 0 while it does not run or serves the other drive, and
     * when the table cannot be read, which has failed the command by then. *ret_end: there is no
     * more than that. Less than a sector only with *ret_end. Stays valid until dma_advance() or the
     * next plan. */
    uint32_t (*dma_plan)(void *ctx, struct ata_drive *drive, uint32_t want, bool *ret_end);
    /* Moves the first `bytes` of what was planned, into or from the drive's memory. -errno: memory
     * cannot be reached, see ata_dma_failed(). */
    __attribute__((warn_unused_result)) int (*dma_gather)(void *ctx, const struct iovec *iov,
                                                          unsigned n_iov, uint32_t bytes);
    __attribute__((warn_unused_result)) int (*dma_scatter)(void *ctx, const struct iovec *iov,
                                                           unsigned n_iov, uint32_t bytes);
    /* So many bytes are done: the position moves on. */
    void (*dma_advance)(void *ctx, uint32_t bytes);
    /* The drive's command is over, in whatever way. */
    void (*dma_release)(void *ctx, struct ata_drive *drive);
    /* After ata_unplug(), perhaps from within: it is at rest. */
    void (*left)(void *ctx, struct ata_drive *drive);
};

struct ata_config {
    const struct host *host;
    const char *controller; /* for logs */
    struct blk *blk;        /* NULL: absent, or an empty tray */
    bool cdrom;             /* a packet device */
    unsigned unit;          /* 0 or 1: device 0 or 1 on its cable */
    char serial[MACHINE_SERIAL_NUMBER_MAX + 1];
    char model[MACHINE_MODEL_MAX + 1];
    char firmware[MACHINE_FIRMWARE_MAX + 1];
    uint64_t wwn; /* 0: none */
    const struct ata_link_ops *link;
    void *link_ctx;
    struct ide_counters *counters;
};

/* What takes much room; a place on the cable without a drive has none. */
struct ata_board {
    uint8_t data[ATA_DATA_SECTORS * ATA_SECTOR]; /* of commands with ATA_CF_DATA */
    struct ata_smart smart;
    uint8_t reply[ATAPI_REPLY_MAX]; /* packet device: see enum atapi_transfer, keep_frame() */
};

/* Embedded in its channel. All members but `state` are wiring or a copy of what `state` says. */
struct ata_drive {
    struct ata_state state;
    struct ata_config config;
    struct blk_info info;
    bool present;      /* is a CD-ROM drive, or has a disk that was not unplugged */
    bool held;         /* quiescing: nothing is submitted */
    bool in_flight;    /* `req` is with the backend */
    bool unplug_flush; /* what was acknowledged is being made stable */
    bool leaving;      /* unplugged, and not at rest yet */
    uint8_t failing;   /* PIO in: after this chunk there is this error (bits of ERROR); 0: none */
    uint64_t failing_lba;
    struct blk_req *req;
    uint8_t *mem;      /* PIO bytes that are not in `req`: of the board, or `restored` */
    uint8_t *restored; /* allocated by load, for the chunk it interrupted */
    uint32_t dma_bytes;
    uint64_t generation;     /* of commands: each request carries its own */
    struct ata_board *board; /* NULL: there was no drive here, ever */
    uint64_t frame_lba;      /* whose frame `reply` has, while the medium is read */
};

/* `config` is copied; binds its blk. The drive is as after power-on. -ENOMEM: nothing was done. */
int ata_drive_init(struct ata_drive *drive, const struct ata_config *config);
/* Forgets requests, unbinds. */
void ata_drive_finish(struct ata_drive *drive);

/* RST#. */
void ata_power_on(struct ata_drive *drive);
/* The SRST bit went up or down. */
void ata_soft_reset(struct ata_drive *drive, bool asserted);
/* EXECUTE DEVICE DIAGNOSTIC, written to this cable. */
void ata_diagnostic(struct ata_drive *drive, bool interrupt);

uint8_t ata_status(const struct ata_drive *drive);
/* ERROR to DEVICE; STATUS without its side effect. */
uint8_t ata_read(const struct ata_drive *drive, enum ata_reg reg, bool hob);
/* FEATURES to DEVICE. Ignored while BSY or DRQ is set, when a host must not write (ATA-6 7). */
void ata_write(struct ata_drive *drive, enum ata_reg reg, uint8_t value);
void ata_command(struct ata_drive *drive, uint8_t opcode);
/* Reading the Status register does this. */
void ata_clear_intrq(struct ata_drive *drive);

/* Moves at most the rest of the present DRQ block; returns how many bytes, 0 without DRQ. */
uint32_t ata_data_in(struct ata_drive *drive, void *buf, uint32_t len);
uint32_t ata_data_out(struct ata_drive *drive, const void *buf, uint32_t len);

/* The rest of the present DRQ block as a PIO window: see bus_io_ops.window. */
uint32_t ata_window(const struct ata_drive *drive, bool *ret_write, void *buf, uint32_t room);

/* Does what the phase calls for, if that is possible now. Harmless at any time. */
void ata_step(struct ata_drive *drive);
/* The host cannot reach the memory of a transfer: the command under way ends with ABRT, from the
 * first sector that is not done; a packet with ABORTED COMMAND. What the bus master says of it a
 * driver takes for an error of the bus, and tries again. */
void ata_dma_failed(struct ata_drive *drive);
/* The bus master was stopped: a chunk on its way is forgotten; it would be moved again from its
 * first sector if the bus master were started anew. */
void ata_dma_stop(struct ata_drive *drive);

/* The drive vanishes. Its acknowledged writes, and those in flight, are then made stable; when that
 * is done, or has failed, nothing of it is under way any more and `left` is told. */
void ata_unplug(struct ata_drive *drive);

/* True when nothing is in flight; new requests wait for ata_resume(). */
bool ata_quiesce(struct ata_drive *drive);
void ata_resume(struct ata_drive *drive);
void ata_save(const struct ata_drive *drive, struct state_writer *writer);
/* Into a drive after init; it stays held until ata_resume(). */
void ata_load(struct ata_drive *drive, struct state_reader *reader);

#endif
