/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/peer/ide.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* Command block, ATA-7 table 8; from `cmd` on. */
enum { DATA, ERROR, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS };

/* Bus master, PIIX3 2.6: from `bm` on. */
enum { BM_COMMAND = 0, BM_STATUS = 2, BM_PRD = 4 };
#define BM_START  0x01
#define BM_READ   0x08 /* into memory */
#define BM_ACTIVE 0x01
#define BM_ERROR  0x02
#define BM_IRQ    0x04

#define PIIX3_IDE     (1 << 3 | 1)
#define BM_DEFAULT    0xc000
#define SECTOR        512u
#define PRD_END       0x80000000u
#define POLL_LIMIT_NS 10000000000ull

static uint8_t in8(struct ide *ide, unsigned reg)
{
    return (uint8_t)peer_in(ide->peer, ide->vcpu, (uint16_t)(ide->cmd + reg), 1);
}

static void out8(struct ide *ide, unsigned reg, unsigned value)
{
    peer_out(ide->peer, ide->vcpu, (uint16_t)(ide->cmd + reg), 1, value & 0xff);
}

static uint8_t alt_status(struct ide *ide)
{
    return (uint8_t)peer_in(ide->peer, ide->vcpu, ide->ctl, 1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Until (status & mask) == value. Reads the alternate status, so the interrupt stays pending. */
static int wait_status(struct ide *ide, unsigned mask, unsigned value)
{
    uint64_t limit = now_ns() + POLL_LIMIT_NS;
    struct timespec pause = {.tv_nsec = 20000};

    for (unsigned i = 0;; i++) {
        uint8_t status = alt_status(ide);

        if (peer_error(ide->peer))
            return peer_error(ide->peer);
        if ((status & mask) == value)
            return 0;
        if (status == 0xff)
            return -ENXIO;
        if (now_ns() > limit)
            return -ETIMEDOUT;
        if (i > 4)
            nanosleep(&pause, NULL);
    }
}

/* The status proper (acknowledges the interrupt), with the error that goes with it. */
static int conclude(struct ide *ide)
{
    ide->status = in8(ide, STATUS);
    ide->error = 0;
    if (peer_error(ide->peer))
        return peer_error(ide->peer);
    if (!(ide->status & (IDE_ERR | IDE_DF)))
        return 0;
    ide->error = in8(ide, ERROR);
    return -EIO;
}

int ide_wait_idle(struct ide *ide)
{
    return wait_status(ide, IDE_BSY | IDE_DRQ, 0);
}

int ide_command(struct ide *ide, uint8_t command, uint64_t lba, unsigned count, bool ext)
{
    int rc;

    out8(ide, DEVICE, 0xa0 | ide->drive << 4);
    rc = ide_wait_idle(ide);
    if (rc < 0)
        return rc;
    out8(ide, DEVICE, 0xe0 | ide->drive << 4 | (ext ? 0 : lba >> 24 & 0xf));
    if (ext) {
        out8(ide, COUNT, count >> 8);
        out8(ide, LBA_LOW, (unsigned)(lba >> 24));
        out8(ide, LBA_MID, (unsigned)(lba >> 32));
        out8(ide, LBA_HIGH, (unsigned)(lba >> 40));
    }
    out8(ide, COUNT, count);
    out8(ide, LBA_LOW, (unsigned)lba);
    out8(ide, LBA_MID, (unsigned)(lba >> 8));
    out8(ide, LBA_HIGH, (unsigned)(lba >> 16));
    out8(ide, STATUS, command);
    return peer_error(ide->peer);
}

int ide_wait_drq(struct ide *ide)
{
    int rc = wait_status(ide, IDE_BSY, 0);

    if (rc == 0)
        rc = conclude(ide);
    if (rc == 0 && !(ide->status & IDE_DRQ))
        rc = -EIO;
    return rc;
}

/* One DRQ block through the data register. */
static void move_data(struct ide *ide, enum ide_pio how, bool write, uint64_t gpa, size_t bytes)
{
    unsigned size = how == IDE_PIO_LOOP32 || how == IDE_PIO_REP32 ? 4 : 2;
    uint8_t *ram = peer_ram(ide->peer, gpa, bytes);

    if (how == IDE_PIO_REP16 || how == IDE_PIO_REP32) {
        if (write)
            peer_rep_out(ide->peer, ide->vcpu, ide->cmd, size, gpa, bytes / size, false);
        else
            peer_rep_in(ide->peer, ide->vcpu, ide->cmd, size, gpa, bytes / size, false);
        return;
    }
    for (size_t i = 0; ram && i < bytes; i += size) {
        uint32_t value = 0;

        if (write) {
            memcpy(&value, ram + i, size);
            peer_out(ide->peer, ide->vcpu, ide->cmd, size, value);
        } else {
            value = peer_in(ide->peer, ide->vcpu, ide->cmd, size);
            memcpy(ram + i, &value, size);
        }
    }
}

static int pio(struct ide *ide, enum ide_pio how, bool write, uint64_t lba, unsigned count,
               uint64_t gpa)
{
    static const uint8_t commands[2][2][2] = {
        /* by multiple, write, ext */
        {{IDE_READ_SECTORS, IDE_READ_SECTORS_EXT}, {IDE_WRITE_SECTORS, IDE_WRITE_SECTORS_EXT}},
        {{IDE_READ_MULTIPLE, IDE_READ_MULTIPLE_EXT}, {IDE_WRITE_MULTIPLE, IDE_WRITE_MULTIPLE_EXT}},
    };
    bool ext = lba + count > 1u << 28;
    unsigned block = ide->multiple ? ide->multiple : 1;
    int rc = ide_command(ide, commands[ide->multiple != 0][write][ext], lba, count, ext);

    for (unsigned done = 0; done < count && rc == 0;) {
        unsigned sectors = count - done < block ? count - done : block;

        rc = ide_wait_drq(ide);
        if (rc < 0)
            break;
        move_data(ide, how, write, gpa + (uint64_t)done * SECTOR, sectors * SECTOR);
        done += sectors;
    }
    if (rc == 0)
        rc = ide_wait_idle(ide);
    return rc == 0 ? conclude(ide) : rc;
}

int ide_pio_read(struct ide *ide, enum ide_pio how, uint64_t lba, unsigned count, uint64_t gpa)
{
    return pio(ide, how, false, lba, count, gpa);
}

int ide_pio_write(struct ide *ide, enum ide_pio how, uint64_t lba, unsigned count, uint64_t gpa)
{
    return pio(ide, how, true, lba, count, gpa);
}

void ide_dma_start(struct ide *ide, bool write, uint64_t lba, unsigned count,
                   const struct ide_prd *prd, unsigned prd_count)
{
    uint32_t *table = peer_ram(ide->peer, ide->prd_gpa, (size_t)prd_count * 8);
    bool ext = lba + count > 1u << 28 || count > 256;
    uint8_t direction = write ? 0 : BM_READ;

    for (unsigned i = 0; table && i < prd_count; i++) {
        table[2 * i] = prd[i].gpa;
        table[2 * i + 1] = (prd[i].bytes & 0xffff) | (i + 1 == prd_count ? PRD_END : 0);
    }
    peer_out(ide->peer, ide->vcpu, (uint16_t)(ide->bm + BM_PRD), 4, (uint32_t)ide->prd_gpa);
    peer_out(ide->peer, ide->vcpu, (uint16_t)(ide->bm + BM_COMMAND), 1, direction);
    peer_out(ide->peer, ide->vcpu, (uint16_t)(ide->bm + BM_STATUS), 1, BM_ERROR | BM_IRQ);
    ide_command(ide,
                ext ? (write ? IDE_WRITE_DMA_EXT : IDE_READ_DMA_EXT)
                    : (write ? IDE_WRITE_DMA : IDE_READ_DMA),
                lba, count, ext);
    peer_out(ide->peer, ide->vcpu, (uint16_t)(ide->bm + BM_COMMAND), 1, direction | BM_START);
}

static bool intx_is_high(struct peer *peer, void *arg)
{
    const struct ide *ide = arg;

    return peer_intx_level(peer, ide->slot, 0);
}

/* INTA may be another channel's: the bus master says whose it is. */
static int wait_native(struct ide *ide)
{
    uint64_t limit = now_ns() + POLL_LIMIT_NS;
    struct timespec pause = {.tv_nsec = 20000};

    for (;;) {
        int rc = peer_wait(ide->peer, intx_is_high, ide);

        if (rc < 0)
            return rc;
        if (peer_in(ide->peer, ide->vcpu, (uint16_t)(ide->bm + BM_STATUS), 1) & BM_IRQ)
            return 0;
        if (peer_error(ide->peer) || now_ns() > limit)
            return peer_error(ide->peer) ? peer_error(ide->peer) : -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
}

int ide_dma_finish(struct ide *ide, uint32_t rises_before)
{
    int rc = ide->irq == IDE_NATIVE ? wait_native(ide)
                                    : peer_wait_isa(ide->peer, ide->irq, rises_before);
    uint8_t bm_status;

    if (rc == 0)
        rc = wait_status(ide, IDE_BSY, 0);
    bm_status = (uint8_t)peer_in(ide->peer, ide->vcpu, (uint16_t)(ide->bm + BM_STATUS), 1);
    peer_out(ide->peer, ide->vcpu, (uint16_t)(ide->bm + BM_COMMAND), 1, 0);
    peer_out(ide->peer, ide->vcpu, (uint16_t)(ide->bm + BM_STATUS), 1, BM_ERROR | BM_IRQ);
    if (rc < 0)
        return rc;
    rc = conclude(ide);
    if (rc == 0 && (bm_status & (BM_ERROR | BM_IRQ)) != BM_IRQ)
        rc = -EIO;
    return rc;
}

/* Selects the drive and has its command running; IRQs counted from *ret_rises on are its answer. */
static int begin(struct ide *ide, bool write, uint64_t lba, unsigned count,
                 const struct ide_prd *prd, unsigned prd_count, uint32_t *ret_rises)
{
    int rc;

    out8(ide, DEVICE, 0xe0 | ide->drive << 4);
    rc = ide_wait_idle(ide);
    if (rc < 0)
        return rc;
    in8(ide, STATUS); /* what was left over is not taken for ours */
    *ret_rises = ide->irq == IDE_NATIVE ? 0 : peer_isa_rises(ide->peer, ide->irq);
    ide_dma_start(ide, write, lba, count, prd, prd_count);
    return 0;
}

int ide_dma_prd(struct ide *ide, bool write, uint64_t lba, unsigned count,
                const struct ide_prd *prd, unsigned prd_count)
{
    uint32_t before;
    int rc = begin(ide, write, lba, count, prd, prd_count, &before);

    return rc < 0 ? rc : ide_dma_finish(ide, before);
}

int ide_dma_begin(struct ide *ide, bool write, uint64_t lba, unsigned count, uint64_t gpa,
                  uint32_t *ret_rises)
{
    struct ide_prd prd[32];
    uint64_t end = gpa + (uint64_t)count * SECTOR;
    unsigned n = 0;

    while (gpa < end) {
        uint64_t boundary = (gpa | 0xffff) + 1, stop = boundary < end ? boundary : end;

        if (n == sizeof(prd) / sizeof(prd[0]))
            return -E2BIG;
        prd[n++] = (struct ide_prd){.gpa = (uint32_t)gpa, .bytes = (uint32_t)(stop - gpa)};
        gpa = stop;
    }
    return begin(ide, write, lba, count, prd, n, ret_rises);
}

static int dma(struct ide *ide, bool write, uint64_t lba, unsigned count, uint64_t gpa)
{
    uint32_t before;
    int rc = ide_dma_begin(ide, write, lba, count, gpa, &before);

    return rc < 0 ? rc : ide_dma_finish(ide, before);
}

int ide_dma_read(struct ide *ide, uint64_t lba, unsigned count, uint64_t gpa)
{
    return dma(ide, false, lba, count, gpa);
}

int ide_dma_write(struct ide *ide, uint64_t lba, unsigned count, uint64_t gpa)
{
    return dma(ide, true, lba, count, gpa);
}

int ide_flush(struct ide *ide)
{
    int rc = ide_command(ide, IDE_FLUSH_CACHE, 0, 0, false);

    if (rc == 0)
        rc = ide_wait_idle(ide);
    return rc == 0 ? conclude(ide) : rc;
}

int ide_set_multiple(struct ide *ide, unsigned sectors)
{
    int rc = ide_command(ide, IDE_SET_MULTIPLE, 0, sectors, false);

    if (rc == 0)
        rc = ide_wait_idle(ide);
    if (rc == 0)
        rc = conclude(ide);
    if (rc == 0)
        ide->multiple = sectors;
    return rc;
}

int ide_identify(struct ide *ide, uint16_t words[256])
{
    int rc = ide_command(ide, IDE_IDENTIFY, 0, 0, false);

    if (rc == 0)
        rc = ide_wait_drq(ide);
    for (unsigned i = 0; i < 256 && rc == 0; i++)
        words[i] = (uint16_t)peer_in(ide->peer, ide->vcpu, ide->cmd, 2);
    return rc;
}

uint64_t ide_capacity(const uint16_t words[256])
{
    if (words[83] & 1u << 10) /* ATA-7 6.17.43: 48-bit addresses */
        return words[100] | (uint64_t)words[101] << 16 | (uint64_t)words[102] << 32;
    return words[60] | (uint64_t)words[61] << 16;
}

int ide_soft_reset(struct ide *ide)
{
    peer_out(ide->peer, ide->vcpu, ide->ctl, 1, 0x04);
    peer_out(ide->peer, ide->vcpu, ide->ctl, 1, 0x00);
    ide->multiple = 0;
    return wait_status(ide, IDE_BSY, 0);
}

int ide_init(struct ide *ide, struct peer *peer, unsigned vcpu, unsigned channel, unsigned drive,
             uint64_t prd_gpa)
{
    uint32_t bar, id = peer_pci_read(peer, vcpu, PIIX3_IDE, 0, 4);

    *ide = (struct ide){.peer = peer,
                        .vcpu = vcpu,
                        .cmd = channel ? 0x170 : 0x1f0,
                        .ctl = channel ? 0x376 : 0x3f6,
                        .irq = channel ? 15 : 14,
                        .drive = drive,
                        .prd_gpa = prd_gpa};
    if (id == 0x70108086) {
        /* As hvmloader does: decode both channels, a place for the bus master, switch it on. */
        peer_pci_write(peer, vcpu, PIIX3_IDE, 0x40 + 2 * channel, 2, 0x8000);
        bar = peer_pci_read(peer, vcpu, PIIX3_IDE, 0x20, 4) & 0xfff0;
        if (!bar) {
            bar = BM_DEFAULT;
            peer_pci_write(peer, vcpu, PIIX3_IDE, 0x20, 4, bar);
        }
        peer_pci_write(peer, vcpu, PIIX3_IDE, 4, 2, 0x5);
        ide->bm = (uint16_t)(bar + 8 * channel);
    }
    out8(ide, DEVICE, 0xa0 | drive << 4);
    return wait_status(ide, IDE_BSY, 0);
}

int ide_init_native(struct ide *ide, struct peer *peer, unsigned vcpu, unsigned slot,
                    uint16_t ports, unsigned channel, unsigned drive, uint64_t prd_gpa)
{
    /* BARs 0 to 4: command and control block of either channel, bus master. */
    static const uint8_t at[5] = {0, 8, 16, 24, 32};
    uint16_t bdf = (uint16_t)(slot << 3), base[5];

    if (peer_pci_read(peer, vcpu, bdf, 0, 4) != 0x06461095)
        return -ENXIO;
    for (unsigned i = 0; i < 5; i++) {
        base[i] = (uint16_t)(peer_pci_read(peer, vcpu, bdf, 0x10 + 4 * i, 4) & 0xfffc);
        if (base[i])
            continue;
        base[i] = (uint16_t)(ports + at[i]);
        peer_pci_write(peer, vcpu, bdf, 0x10 + 4 * i, 4, base[i]);
    }
    peer_pci_write(peer, vcpu, bdf, 4, 2, 0x5);
    *ide = (struct ide){.peer = peer,
                        .vcpu = vcpu,
                        .cmd = base[2 * channel],
                        .ctl = (uint16_t)(base[2 * channel + 1] + 2),
                        .bm = (uint16_t)(base[4] + 8 * channel),
                        .irq = IDE_NATIVE,
                        .slot = slot,
                        .drive = drive,
                        .prd_gpa = prd_gpa};
    out8(ide, DEVICE, 0xa0 | drive << 4);
    return wait_status(ide, IDE_BSY, 0);
}
