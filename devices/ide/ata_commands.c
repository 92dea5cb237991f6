/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command set: one function and a few flags an opcode. What is missing is aborted. */
#include "devices/ide/ata_internal.h"

/* Subcommands (ATA-6, SET FEATURES). */
enum {
    FEATURE_WRITE_CACHE_ON = 0x02,
    FEATURE_TRANSFER_MODE = 0x03,
    FEATURE_LOOK_AHEAD_OFF = 0x55,
    FEATURE_KEEP_ON_RESET = 0x66,
    FEATURE_WRITE_CACHE_OFF = 0x82,
    FEATURE_LOOK_AHEAD_ON = 0xaa,
    FEATURE_REVERT_ON_RESET = 0xcc,
};

/* Answers (ATA-6, CHECK POWER MODE). */
#define POWER_STANDBY 0x00
#define POWER_IDLE    0x80
#define POWER_ACTIVE  0xff

static void start_verify(struct ata_drive *drive)
{
    drive->state.phase = ATA_VERIFY;
    ata_step(drive);
}

static void start_flush(struct ata_drive *drive)
{
    drive->state.phase = ATA_FLUSH;
    ata_step(drive);
}

/* SEEK's address has been checked, and there are no heads to move; RECALIBRATE has none. */
static void seek(struct ata_drive *drive)
{
    ata_complete(drive);
}

/* ATA-5, INITIALIZE DEVICE PARAMETERS: the translation that CHS addresses use. A track of no
 * sectors would be divided by. */
static void initialize_device_parameters(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;

    if (!state->reg[ATA_REG_COUNT]) {
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    state->track_sectors = state->reg[ATA_REG_COUNT];
    state->heads = (uint8_t)((state->device & ATA_DEVICE_HEAD) + 1);
    ata_complete(drive);
}

/* ATA-6, SET MULTIPLE MODE: powers of two; 0 disables READ and WRITE MULTIPLE. */
static void set_multiple_mode(struct ata_drive *drive)
{
    uint8_t count = drive->state.reg[ATA_REG_COUNT];

    if (count > ATA_MULTIPLE_MAX || (count & (count - 1))) {
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    drive->state.multiple = count;
    ata_complete(drive);
}

/* ATA-6, SET FEATURES 03h: PIO default (0, 1), PIO 0-4, multiword DMA 0-2, Ultra DMA 0-5. The mode
 * does not change how bytes move here; IDENTIFY shows it. */
static bool transfer_mode_exists(uint8_t mode)
{
    return mode <= 1 || (mode >= 0x08 && mode <= 0x0c) || (mode >= 0x20 && mode <= 0x22) ||
           (mode >= 0x40 && mode <= 0x45);
}

static void set_write_cache(struct ata_drive *drive, bool on)
{
    if (!drive->info.write_cache) { /* IDENTIFY said so */
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    drive->state.write_cache = on;
    if (on)
        ata_complete(drive);
    else
        start_flush(drive);
}

static void set_features(struct ata_drive *drive)
{
    struct ata_state *state = &drive->state;
    uint8_t mode = state->reg[ATA_REG_COUNT];

    switch (state->reg[ATA_REG_FEATURES]) {
    case FEATURE_WRITE_CACHE_ON:
        set_write_cache(drive, true);
        return;
    case FEATURE_WRITE_CACHE_OFF:
        set_write_cache(drive, false);
        return;
    case FEATURE_TRANSFER_MODE:
        if (!transfer_mode_exists(mode))
            break;
        state->transfer_mode = mode;
        ata_complete(drive);
        return;
    case FEATURE_LOOK_AHEAD_ON:
    case FEATURE_LOOK_AHEAD_OFF:
        state->look_ahead = state->reg[ATA_REG_FEATURES] == FEATURE_LOOK_AHEAD_ON;
        ata_complete(drive);
        return;
    case FEATURE_KEEP_ON_RESET:
    case FEATURE_REVERT_ON_RESET:
        state->revert = state->reg[ATA_REG_FEATURES] == FEATURE_REVERT_ON_RESET;
        ata_complete(drive);
        return;
    }
    ata_fail(drive, ATA_ER_ABRT);
}

static void idle(struct ata_drive *drive)
{
    drive->state.power = ATA_POWER_IDLE;
    ata_complete(drive);
}

/* A drive that stops turning has written its cache before. */
static void standby(struct ata_drive *drive)
{
    drive->state.power = ATA_POWER_STANDBY;
    start_flush(drive);
}

static void do_sleep(struct ata_drive *drive)
{
    drive->state.power = ATA_POWER_SLEEP;
    start_flush(drive);
}

static void check_power_mode(struct ata_drive *drive)
{
    static const uint8_t answer[] = {
        [ATA_POWER_ACTIVE] = POWER_ACTIVE,
        [ATA_POWER_IDLE] = POWER_IDLE,
        [ATA_POWER_STANDBY] = POWER_STANDBY,
    };

    drive->state.reg[ATA_REG_COUNT] = answer[drive->state.power];
    ata_complete(drive);
}

#define A  ATA_CF_ADDRESS
#define E  ATA_CF_EXT
#define I  ATA_CF_IN
#define O  (ATA_CF_OUT | ATA_CF_WRITE)
#define D  ATA_CF_DMA
#define DW (ATA_CF_DMA | ATA_CF_WRITE)
#define M  ATA_CF_MULTIPLE
#define N  ATA_CF_NO_COUNT
#define F  ATA_CF_FUA
#define DI (ATA_CF_DATA | ATA_CF_IN)
#define DO (ATA_CF_DATA | ATA_CF_OUT)

/* What is not here is aborted, and IDENTIFY says that it is not there: among others the Security
 * (F1h-F6h) and Host Protected Area (F8h, F9h, 27h, 37h) feature sets, DOWNLOAD MICROCODE (92h,
 * 93h), READ and WRITE BUFFER (E4h, E8h), WRITE UNCORRECTABLE EXT (45h), queued commands.
 * NOP (00h) is aborted by definition, so it needs no entry, nor does DEVICE RESET
 * (08h), which is for packet devices. Opcodes 94h-99h are the power commands of ATA-1 to ATA-3. */
const struct ata_command ata_commands[256] = {
    [0x06] = {ata_start_trim, E | DO | DW, ata_trim_listed}, /* DATA SET MANAGEMENT */
    [0x10 ... 0x1f] = {seek, 0},                             /* RECALIBRATE */
    [0x20] = {ata_start_pio_in, A | I},                      /* READ SECTOR(S) */
    [0x21] = {ata_start_pio_in, A | I},                      /* READ SECTOR(S) without retry */
    [0x24] = {ata_start_pio_in, A | E | I},                  /* READ SECTOR(S) EXT */
    [0x25] = {ata_start_dma, A | E | D},                     /* READ DMA EXT */
    [0x29] = {ata_start_pio_in, A | E | I | M},              /* READ MULTIPLE EXT */
    [0x2f] = {ata_read_log_ext, E | DI},
    [0x30] = {ata_start_pio_out, A | O},         /* WRITE SECTOR(S) */
    [0x31] = {ata_start_pio_out, A | O},         /* WRITE SECTOR(S) without retry */
    [0x34] = {ata_start_pio_out, A | E | O},     /* WRITE SECTOR(S) EXT */
    [0x35] = {ata_start_dma, A | E | DW},        /* WRITE DMA EXT */
    [0x39] = {ata_start_pio_out, A | E | O | M}, /* WRITE MULTIPLE EXT */
    [0x3d] = {ata_start_dma, A | E | DW | F},    /* WRITE DMA FUA EXT */
    [0x3f] = {ata_write_log_ext, E | DO, ata_log_written},
    [0x40] = {start_verify, A},              /* READ VERIFY SECTOR(S) */
    [0x41] = {start_verify, A},              /* READ VERIFY SECTOR(S) without retry */
    [0x42] = {start_verify, A | E},          /* READ VERIFY SECTOR(S) EXT */
    [0x47] = {ata_read_log_ext, E | DI | D}, /* READ LOG DMA EXT */
    [0x57] = {ata_write_log_ext, E | DO | D, ata_log_written}, /* WRITE LOG DMA EXT */
    [0x70 ... 0x7f] = {seek, A | N},                           /* SEEK */
    /* 90h, EXECUTE DEVICE DIAGNOSTIC, is the channel's: ata_diagnostic() */
    [0x91] = {initialize_device_parameters, 0},
    [0x94] = {standby, 0}, /* STANDBY IMMEDIATE */
    [0x95] = {idle, 0},    /* IDLE IMMEDIATE */
    [0x96] = {standby, 0}, /* STANDBY */
    [0x97] = {idle, 0},    /* IDLE */
    [0x98] = {check_power_mode, 0},
    [0x99] = {do_sleep, 0},
    [0xb0] = {ata_smart, DI | DO, ata_log_written},
    [0xc4] = {ata_start_pio_in, A | I | M},  /* READ MULTIPLE */
    [0xc5] = {ata_start_pio_out, A | O | M}, /* WRITE MULTIPLE */
    [0xc6] = {set_multiple_mode, 0},
    [0xc8] = {ata_start_dma, A | D},                 /* READ DMA */
    [0xc9] = {ata_start_dma, A | D},                 /* READ DMA without retry */
    [0xca] = {ata_start_dma, A | DW},                /* WRITE DMA */
    [0xcb] = {ata_start_dma, A | DW},                /* WRITE DMA without retry */
    [0xce] = {ata_start_pio_out, A | E | O | M | F}, /* WRITE MULTIPLE FUA EXT */
    [0xe0] = {standby, 0},                           /* STANDBY IMMEDIATE */
    [0xe1] = {idle, 0},                              /* IDLE IMMEDIATE */
    [0xe2] = {standby, 0},                           /* STANDBY */
    [0xe3] = {idle, 0},                              /* IDLE */
    [0xe5] = {check_power_mode, 0},
    [0xe6] = {do_sleep, 0},
    [0xe7] = {start_flush, 0}, /* FLUSH CACHE */
    [0xea] = {start_flush, E}, /* FLUSH CACHE EXT */
    [0xec] = {ata_start_identify, DI},
    [0xef] = {set_features, 0},
};
