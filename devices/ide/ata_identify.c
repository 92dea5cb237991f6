/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IDENTIFY DEVICE (ATA8-ACS 7.16): what the drive is, can do, and is set to. Nothing is claimed
 * that ata_commands.c does not have. */
#include <string.h>

#include "devices/ide/ata_internal.h"

#define MAX_CYLINDERS 16383u /* word 1's limit for disks of 8 GB and more */

/* Words 82-84 (supported) and 85-87 (enabled). */
#define W82_NOP          0x4000
#define W82_SMART        0x0001
#define W82_LOOK_AHEAD   0x0040
#define W82_WRITE_CACHE  0x0020
#define W82_POWER        0x0008
#define W82_RESET        0x0200 /* DEVICE RESET */
#define W82_PACKET       0x0010
#define W83_FLUSH_EXT    0x2000
#define W83_FLUSH        0x1000
#define W83_48_BIT       0x0400
#define W84_WWN          0x0100
#define W84_FUA          0x0040 /* WRITE DMA FUA EXT, WRITE MULTIPLE FUA EXT */
#define W84_LOGS         0x0020 /* General Purpose Logging */
#define W84_SELF_TEST    0x0002
#define W84_ERROR_LOG    0x0001
#define W86_119_VALID    0x8000
#define W119_LOG_DMA     0x0008 /* READ and WRITE LOG DMA EXT */
#define W169_TRIM        0x0001
#define W217_NO_ROTATION 0x0001
#define WORD_VALID       0x4000 /* words 50, 83, 84, 87, 93, 106, 119, 209: bits 15:14 say 01b */
#define TRANSFER_MWDMA   0x20
#define TRANSFER_UDMA    0x40
#define W93_CABLE_80     0x2000
#define W93_DEVICE1      0x0100
#define W93_DEVICE0      0x0001
#define W106_LARGE       0x2000 /* several logical sectors a physical one */
#define INTEGRITY        0xa5

static void put_word(uint8_t *words, unsigned index, uint32_t value)
{
    words[2 * index] = (uint8_t)value;
    words[2 * index + 1] = (uint8_t)(value >> 8);
}

static void put_dword(uint8_t *words, unsigned index, uint32_t value)
{
    put_word(words, index, value);
    put_word(words, index + 1, value >> 16);
}

/* ATA8-ACS, "ATA string convention": padded with spaces, the first character of a word in its high
 * byte. */
static void put_string(uint8_t *words, unsigned index, unsigned count, const char *text)
{
    size_t len = strlen(text);

    for (unsigned i = 0; i < 2 * count; i++)
        words[2 * index + (i ^ 1)] = i < len ? (uint8_t)text[i] : ' ';
}

static void put_geometry(const struct ata_drive *drive, uint8_t *words)
{
    const struct ata_state *state = &drive->state;
    uint64_t total = drive->info.sectors;
    uint64_t cylinders = total / (ATA_DEFAULT_HEADS * ATA_DEFAULT_TRACK_SECTORS);
    uint32_t track = (uint32_t)state->heads * state->track_sectors;
    uint64_t now = total / track;

    put_word(words, 1, (uint32_t)(cylinders < MAX_CYLINDERS ? cylinders : MAX_CYLINDERS));
    put_word(words, 3, ATA_DEFAULT_HEADS);
    put_word(words, 6, ATA_DEFAULT_TRACK_SECTORS);

    now = now < UINT16_MAX ? now : UINT16_MAX;
    put_word(words, 54, (uint32_t)now);
    put_word(words, 55, state->heads);
    put_word(words, 56, state->track_sectors);
    put_dword(words, 57, (uint32_t)now * track);

    put_dword(words, 60, (uint32_t)(total < ATA_LBA28_SECTORS ? total : ATA_LBA28_SECTORS));
    put_dword(words, 100, (uint32_t)total);
    put_dword(words, 102, (uint32_t)(total >> 32));
}

static void put_transfer_modes(const struct ata_drive *drive, uint8_t *words)
{
    uint8_t mode = drive->state.transfer_mode;
    uint32_t mwdma = 0x07, udma = 0x3f;

    if (mode >= TRANSFER_UDMA)
        udma |= 0x100u << (mode & 7);
    else if (mode >= TRANSFER_MWDMA)
        mwdma |= 0x100u << (mode & 7);
    put_word(words, 51, 0x0200); /* PIO 2, for hosts that do not look at word 64 */
    put_word(words, 53, 0x0007); /* words 54-58, 64-70 and 88 are valid */
    put_word(words, 63, mwdma);
    put_word(words, 64, 0x0003); /* PIO 3 and 4 */
    for (unsigned i = 65; i <= 68; i++)
        put_word(words, i, 120); /* ns a cycle */
    put_word(words, 88, udma);
    /* Reset was seen, over a cable of 80 conductors; how each device found its number: by jumper.
     */
    put_word(words, 93,
             WORD_VALID | W93_CABLE_80 |
                 (drive->config.unit ? W93_DEVICE1 | 0x0200 : W93_DEVICE0 | 0x0002));
}

static void put_features(const struct ata_drive *drive, uint8_t *words)
{
    uint32_t w82 = W82_NOP | W82_LOOK_AHEAD | W82_POWER | W82_SMART;
    uint32_t w83 = W83_FLUSH_EXT | W83_FLUSH | W83_48_BIT;
    uint32_t w84 = W84_FUA | W84_LOGS | W84_SELF_TEST | W84_ERROR_LOG;
    uint32_t w85 = W82_NOP | W82_POWER;

    if (drive->info.write_cache)
        w82 |= W82_WRITE_CACHE;
    if (drive->state.write_cache)
        w85 |= W82_WRITE_CACHE;
    if (drive->state.look_ahead)
        w85 |= W82_LOOK_AHEAD;
    if (drive->board->smart.state.enabled)
        w85 |= W82_SMART;
    if (drive->config.wwn)
        w84 |= W84_WWN;
    put_word(words, 80, 0x03f0); /* ATA/ATAPI-4 to ACS-2 */
    put_word(words, 82, w82);
    put_word(words, 83, WORD_VALID | w83);
    put_word(words, 84, WORD_VALID | w84);
    put_word(words, 85, w85);
    put_word(words, 86, w83 | W86_119_VALID);
    put_word(words, 87, WORD_VALID | w84);
    for (unsigned i = 0; i < 4; i++)
        put_word(words, 108 + i, (uint32_t)(drive->config.wwn >> (48 - 16 * i)));
    put_word(words, 119, WORD_VALID | W119_LOG_DMA);
    put_word(words, 120, WORD_VALID | W119_LOG_DMA);
}

/* ACS-2 7.16: how long a TRIM's list may be; TRIM, without a promise of what is read afterwards,
 * since that is the backing's affair; whether it turns. */
static void put_medium(const struct ata_drive *drive, uint8_t *words)
{
    if (drive->info.discard) {
        put_word(words, 105, ATA_DATA_SECTORS);
        put_word(words, 169, W169_TRIM);
    }
    if (drive->info.solid_state)
        put_word(words, 217, W217_NO_ROTATION);
}

/* Word 106: how many logical sectors a physical one has; word 209: sector 0 begins one. */
static void put_alignment(const struct ata_drive *drive, uint8_t *words)
{
    uint32_t exponent = 0;

    while (exponent < 15 && (ATA_SECTOR << exponent) < drive->info.physical_block)
        exponent++;
    if (!exponent)
        return;
    put_word(words, 106, WORD_VALID | W106_LARGE | exponent);
    put_word(words, 209, WORD_VALID);
}

/* Word 255, and the page to the host. */
static void give(struct ata_drive *drive)
{
    drive->board->data[510] = INTEGRITY;
    ata_checksum(drive->board->data);
    ata_start_data_in(drive, 1);
}

void ata_start_identify(struct ata_drive *drive)
{
    uint8_t *words = drive->board->data;

    memset(words, 0, ATA_SECTOR);
    put_word(words, 0, 0x0040); /* a disk, not removable */
    put_string(words, 10, 10, drive->config.serial);
    put_string(words, 23, 4, drive->config.firmware);
    put_string(words, 27, 20, drive->config.model);
    put_word(words, 47, 0x8000 | ATA_MULTIPLE_MAX);
    put_word(words, 49, 0x0f00); /* IORDY, may be disabled; LBA; DMA */
    put_word(words, 50, WORD_VALID);
    put_word(words, 59, drive->state.multiple ? 0x0100u | drive->state.multiple : 0);
    put_geometry(drive, words);
    put_transfer_modes(drive, words);
    put_features(drive, words);
    put_alignment(drive, words);
    put_medium(drive, words);

    give(drive);
}

/* IDENTIFY PACKET DEVICE (ATA-6 8.16). */
void ata_start_identify_packet(struct ata_drive *drive)
{
    uint8_t *words = drive->board->data;
    uint32_t w85 = W82_NOP | W82_RESET | W82_POWER | W82_PACKET;

    memset(words, 0, ATA_SECTOR);
    put_word(words, 0, 0x85c0); /* a removable CD/DVD, DRQ at once, packets of 12 bytes */
    put_string(words, 10, 10, drive->config.serial);
    put_string(words, 23, 4, drive->config.firmware);
    put_string(words, 27, 20, drive->config.model);
    put_word(words, 49, 0x0f00); /* as a disk's; neither overlap nor DMADIR */
    put_word(words, 50, WORD_VALID);
    put_transfer_modes(drive, words);
    put_word(words, 80, 0x0070); /* ATA/ATAPI-4 to -6 */
    put_word(words, 82, w85 | W82_LOOK_AHEAD);
    put_word(words, 83, WORD_VALID);
    put_word(words, 84, WORD_VALID);
    put_word(words, 85, w85 | (drive->state.look_ahead ? W82_LOOK_AHEAD : 0));
    put_word(words, 87, WORD_VALID);
    give(drive);
}
