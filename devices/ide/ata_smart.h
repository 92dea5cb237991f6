/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a drive knows of its own health (ATA8-ACS, SMART and General Purpose Logging feature sets):
 * attributes, the error log, the self-test log, and a few sectors for the host's own notes.
 *
 * All of it is true of the virtual drive: hours since it was made, sectors that it moved, errors
 * of its backing, tests that really read. It survives resets and migration, and ends with the
 * guest; the host's logs are zeroes again then, too.
 *
 * A self-test runs behind the guest's commands, a read at a time when the drive is idle, paced by a
 * timer so that it does not crowd out other guests.
 */
#ifndef IOEMUD_DEVICES_IDE_ATA_SMART_H
#define IOEMUD_DEVICES_IDE_ATA_SMART_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/host.h"

#define ATA_LOG_COMMANDS   5u  /* before an error, as every error log has them */
#define ATA_LOG_ERRORS     4u  /* one sector of log 03h */
#define ATA_LOG_SELF_TESTS 19u /* one sector of log 07h */
#define ATA_LOG_HOST_FIRST 0x80u
#define ATA_LOG_HOSTS      8u /* 80h-87h, a sector each */

/* A command as it was received. */
struct ata_logged_command {
    uint8_t device, opcode;
    uint16_t features, count;
    uint64_t lba; /* as the registers had it, 48 bits */
    uint32_t ms;  /* since power-on */
};

struct ata_logged_error {
    struct ata_logged_command command[ATA_LOG_COMMANDS]; /* the last is the one that failed */
    uint8_t error, device;                               /* registers afterwards */
    uint16_t count;
    uint64_t lba;
    uint16_t hours; /* since power-on */
};

struct ata_logged_test {
    uint8_t test;   /* enum ata_self_test */
    uint8_t status; /* ATA8-ACS, "self-test execution status": result and tenths that remained */
    uint16_t hours;
    uint64_t lba; /* first one that could not be read; all ones: none */
};

/* Subcommands of SMART EXECUTE OFF-LINE IMMEDIATE. */
enum ata_self_test {
    ATA_TEST_NONE,
    ATA_TEST_SHORT,    /* reads here and there */
    ATA_TEST_EXTENDED, /* reads all sectors */
};

/* How a self-test ended, the high half of its status. */
enum ata_test_result {
    ATA_TEST_PASSED = 0x0,
    ATA_TEST_ABORTED = 0x1, /* by the host */
    ATA_TEST_RESET = 0x2,   /* by a reset */
    ATA_TEST_READ = 0x7,    /* a sector could not be read */
    ATA_TEST_RUNNING = 0xf,
};

/* Saved. */
struct ata_smart_state {
    bool enabled, autosave;
    bool collected; /* off-line data, ever */
    uint8_t test;   /* under way: enum ata_self_test */
    uint8_t result; /* of the last */
    uint64_t step;  /* reads that the test has made */

    uint64_t read_sectors, written_sectors;
    uint32_t bad_reads, errors; /* of the backing; `errors` are all that were logged */
    uint32_t tests;             /* ended, ever */

    struct ata_logged_command recent[ATA_LOG_COMMANDS]; /* the newest is the last */
    struct ata_logged_error error[ATA_LOG_ERRORS]; /* the n-th is at (n - 1) mod their number */
    struct ata_logged_test self_test[ATA_LOG_SELF_TESTS]; /* likewise */
    /* ATA_LOG_HOSTS of them, of a sector each; NULL: none was written yet, as with most drives. */
    uint8_t (*host_log)[512];
};

struct blk_req;

struct ata_smart {
    struct ata_smart_state state;
    uint64_t on_ns; /* host_now_ns() at which the drive would be new */
    struct host_timer timer;
    struct blk_req *req; /* the test's, in flight */
};

#endif
