/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The logs (ATA8-ACS annex A), read and written by SMART READ LOG and SMART WRITE LOG or by READ
 * LOG EXT and WRITE LOG EXT: each is one sector, made when it is asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "devices/ide/ata_internal.h"

/* Which of the two ways reaches a log. */
#define BY_SMART 1u
#define BY_EXT   2u

#define STATE_ACTIVE 0x03 /* of a device at the time of an error: active or idle */

#define DIRECTORY_VERSION 1

/* ATA8-ACS A.16, "Summary SMART error log". */
#define SUMMARY_ENTRIES      5u
#define SUMMARY_ENTRY_SIZE   90u
#define SUMMARY_COMMAND_SIZE 12u
#define SUMMARY_COUNT        452

/* A.7, "Extended comprehensive SMART error log". */
#define EXTENDED_ENTRY_SIZE   124u
#define EXTENDED_COMMAND_SIZE 18u
#define EXTENDED_COUNT        500

/* A.15, "SMART self-test log"; A.8, "extended". */
#define SELF_TEST_ENTRIES  21u
#define SELF_TEST_SIZE     24u
#define SELF_TEST_INDEX    508
#define SELF_TEST_EXT_SIZE 26u

static void put_directory(const struct ata_drive *drive, uint8_t *data, unsigned by);

/* The error log. */

void ata_log_command(struct ata_drive *drive)
{
    struct ata_logged_command *recent = drive->board->smart.state.recent;
    const struct ata_state *state = &drive->state;
    const uint8_t *reg = state->reg, *previous = state->previous;
    bool ext = ata_flags(drive) & ATA_CF_EXT;
    uint64_t lba = (uint64_t)reg[ATA_REG_LBA_HIGH] << 16 | (uint64_t)reg[ATA_REG_LBA_MID] << 8 |
                   reg[ATA_REG_LBA_LOW];

    if (ext)
        lba |= (uint64_t)previous[ATA_REG_LBA_HIGH] << 40 |
               (uint64_t)previous[ATA_REG_LBA_MID] << 32 |
               (uint64_t)previous[ATA_REG_LBA_LOW] << 24;
    memmove(recent, recent + 1, (ATA_LOG_COMMANDS - 1) * sizeof(*recent));
    recent[ATA_LOG_COMMANDS - 1] = (struct ata_logged_command){
        .device = state->device,
        .opcode = state->opcode,
        .features = (uint16_t)(reg[ATA_REG_FEATURES] | (ext ? previous[ATA_REG_FEATURES] << 8 : 0)),
        .count = (uint16_t)(reg[ATA_REG_COUNT] | (ext ? previous[ATA_REG_COUNT] << 8 : 0)),
        .lba = lba,
        .ms = (uint32_t)(ata_smart_on_ns(drive) / 1000000),
    };
}

/* Errors of the medium only: commands that were wrong in themselves are none of a drive's health
 * (ATA8-ACS A.7, "error log data structure"). */
void ata_log_error(struct ata_drive *drive)
{
    struct ata_smart_state *smart = &drive->board->smart.state;
    const struct ata_state *state = &drive->state;
    struct ata_logged_error *error = &smart->error[smart->errors % ATA_LOG_ERRORS];
    bool ext = ata_flags(drive) & ATA_CF_EXT;

    *error = (struct ata_logged_error){
        .error = state->error,
        .device = state->device,
        .count = smart->recent[ATA_LOG_COMMANDS - 1].count,
        .hours = ata_smart_hours(drive),
    };
    memcpy(error->command, smart->recent, sizeof(error->command));
    for (unsigned reg = ATA_REG_LBA_HIGH; ext && reg >= ATA_REG_LBA_LOW; reg--)
        error->lba = error->lba << 8 | state->previous[reg];
    for (unsigned reg = ATA_REG_LBA_HIGH; reg >= ATA_REG_LBA_LOW; reg--)
        error->lba = error->lba << 8 | state->reg[reg];
    smart->bad_reads += (state->error & ATA_ER_UNC) != 0;
    smart->errors++;
}

/* How many of the last `kept` entries of a log that ever had `ever` there are. */
static uint32_t entries(uint32_t ever, uint32_t kept)
{
    return ever < kept ? ever : kept;
}

/* Where the n-th entry, counted from 0, lies in a log that has `room`. */
static uint32_t place(uint32_t n, uint32_t room)
{
    return n % room;
}

static void put_summary_error(const struct ata_logged_error *error, uint8_t *entry)
{
    for (unsigned i = 0; i < ATA_LOG_COMMANDS; i++) {
        const struct ata_logged_command *command = &error->command[i];
        uint8_t *at = entry + i * SUMMARY_COMMAND_SIZE;
        at[1] = (uint8_t)command->features;
        at[2] = (uint8_t)command->count;
        ata_put(at + 3, 3, command->lba);
        at[6] = command->device;
        at[7] = command->opcode;
        ata_put(at + 8, 4, command->ms);
    }
    uint8_t *at = entry + ATA_LOG_COMMANDS * SUMMARY_COMMAND_SIZE;
    at[1] = error->error;
    at[2] = (uint8_t)error->count;
    ata_put(at + 3, 3, error->lba);
    at[6] = error->device;
    at[7] = ATA_SR_DRDY | ATA_SR_DSC | ATA_SR_ERR;
    at[27] = STATE_ACTIVE;
    ata_put(at + 28, 2, error->hours);
}

static void put_summary(const struct ata_drive *drive, uint8_t *data, unsigned by)
{
    const struct ata_smart_state *smart = &drive->board->smart.state;

    data[0] = 1; /* version */
    data[1] = smart->errors ? (uint8_t)(place(smart->errors - 1, SUMMARY_ENTRIES) + 1) : 0;
    for (uint32_t i = entries(smart->errors, ATA_LOG_ERRORS); i; i--) {
        uint32_t n = smart->errors - i;
        put_summary_error(&smart->error[n % ATA_LOG_ERRORS],
                          data + 2 + place(n, SUMMARY_ENTRIES) * SUMMARY_ENTRY_SIZE);
    }
    ata_put(data + SUMMARY_COUNT, 2, smart->errors < UINT16_MAX ? smart->errors : UINT16_MAX);
    ata_checksum(data);
}

/* The registers of the 48-bit commands, each with its previous content behind it. */
static void put_lba_pairs(uint8_t *at, uint64_t lba)
{
    for (unsigned i = 0; i < 3; i++) {
        at[2 * i] = (uint8_t)(lba >> (8 * i));
        at[2 * i + 1] = (uint8_t)(lba >> (24 + 8 * i));
    }
}

static void put_extended_error(const struct ata_logged_error *error, uint8_t *entry)
{
    for (unsigned i = 0; i < ATA_LOG_COMMANDS; i++) {
        const struct ata_logged_command *command = &error->command[i];
        uint8_t *at = entry + i * EXTENDED_COMMAND_SIZE;
        ata_put(at + 1, 2, command->features);
        ata_put(at + 3, 2, command->count);
        put_lba_pairs(at + 5, command->lba);
        at[11] = command->device;
        at[12] = command->opcode;
        ata_put(at + 14, 4, command->ms);
    }
    uint8_t *at = entry + ATA_LOG_COMMANDS * EXTENDED_COMMAND_SIZE;
    at[1] = error->error;
    ata_put(at + 2, 2, error->count);
    put_lba_pairs(at + 4, error->lba);
    at[10] = error->device;
    at[11] = ATA_SR_DRDY | ATA_SR_DSC | ATA_SR_ERR;
    at[31] = STATE_ACTIVE;
    ata_put(at + 32, 2, error->hours);
}

static void put_extended(const struct ata_drive *drive, uint8_t *data, unsigned by)
{
    const struct ata_smart_state *smart = &drive->board->smart.state;

    data[0] = 1;
    if (smart->errors)
        ata_put(data + 2, 2, place(smart->errors - 1, ATA_LOG_ERRORS) + 1);
    for (uint32_t i = entries(smart->errors, ATA_LOG_ERRORS); i; i--) {
        uint32_t at = place(smart->errors - i, ATA_LOG_ERRORS);
        put_extended_error(&smart->error[at], data + 4 + at * EXTENDED_ENTRY_SIZE);
    }
    ata_put(data + EXTENDED_COUNT, 2, smart->errors < UINT16_MAX ? smart->errors : UINT16_MAX);
    ata_checksum(data);
}

/* Self-tests. */

static void put_self_tests(const struct ata_drive *drive, uint8_t *data, unsigned by)
{
    const struct ata_smart_state *smart = &drive->board->smart.state;

    ata_put(data, 2, 1);
    for (uint32_t i = entries(smart->tests, ATA_LOG_SELF_TESTS); i; i--) {
        uint32_t n = smart->tests - i;
        const struct ata_logged_test *test = &smart->self_test[n % ATA_LOG_SELF_TESTS];
        uint8_t *at = data + 2 + place(n, SELF_TEST_ENTRIES) * SELF_TEST_SIZE;
        at[0] = test->test;
        at[1] = test->status;
        ata_put(at + 2, 2, test->hours);
        ata_put(at + 5, 4, test->lba < ATA_LBA28_SECTORS ? test->lba : UINT32_MAX);
    }
    if (smart->tests)
        data[SELF_TEST_INDEX] = (uint8_t)(place(smart->tests - 1, SELF_TEST_ENTRIES) + 1);
    ata_checksum(data);
}

static void put_self_tests_ext(const struct ata_drive *drive, uint8_t *data, unsigned by)
{
    const struct ata_smart_state *smart = &drive->board->smart.state;

    data[0] = 1;
    if (smart->tests)
        ata_put(data + 2, 2, place(smart->tests - 1, ATA_LOG_SELF_TESTS) + 1);
    for (uint32_t i = entries(smart->tests, ATA_LOG_SELF_TESTS); i; i--) {
        uint32_t n = place(smart->tests - i, ATA_LOG_SELF_TESTS);
        const struct ata_logged_test *test = &smart->self_test[n];
        uint8_t *at = data + 4 + n * SELF_TEST_EXT_SIZE;
        at[0] = test->test;
        at[1] = test->status;
        ata_put(at + 2, 2, test->hours);
        ata_put(at + 5, 6, test->lba);
    }
    ata_checksum(data);
}

/* All logs but the host's. */

static const struct {
    uint8_t address, by;
    void (*put)(const struct ata_drive *drive, uint8_t *data, unsigned by);
} logs[] = {
    {0x00, BY_SMART | BY_EXT, put_directory},
    {0x01, BY_SMART, put_summary},
    {0x02, BY_SMART, put_summary}, /* comprehensive: as much as there is */
    {0x03, BY_EXT, put_extended},
    {0x06, BY_SMART, put_self_tests},
    {0x07, BY_EXT, put_self_tests_ext},
};
#define LOGS (sizeof(logs) / sizeof(logs[0]))

static bool is_host_log(uint8_t address)
{
    return address >= ATA_LOG_HOST_FIRST && address < ATA_LOG_HOST_FIRST + ATA_LOG_HOSTS;
}

/* A.2: for each address the number of sectors of its log. */
static void put_directory(const struct ata_drive *drive, uint8_t *data, unsigned by)
{
    ata_put(data, 2, DIRECTORY_VERSION);
    for (unsigned i = 1; i < LOGS; i++) {
        if (logs[i].by & by)
            ata_put(data + 2 * logs[i].address, 2, 1);
    }
    for (unsigned i = 0; i < ATA_LOG_HOSTS; i++)
        ata_put(data + 2 * (ATA_LOG_HOST_FIRST + i), 2, 1);
}

/* Into `data`; false: there is no such log. */
static bool make_log(struct ata_drive *drive, uint8_t address, unsigned by)
{
    memset(drive->board->data, 0, ATA_SECTOR);
    if (is_host_log(address)) {
        if (drive->board->smart.state.host_log)
            memcpy(drive->board->data,
                   drive->board->smart.state.host_log[address - ATA_LOG_HOST_FIRST], ATA_SECTOR);
        return true;
    }
    for (unsigned i = 0; i < LOGS; i++) {
        if (logs[i].address == address && (logs[i].by & by)) {
            logs[i].put(drive, drive->board->data, by);
            return true;
        }
    }
    return false;
}

/* The one sector that a log has: page 0, count 1. */
static bool names_one_sector(const struct ata_state *state, bool ext)
{
    if (ext && (state->previous[ATA_REG_COUNT] || state->previous[ATA_REG_LBA_MID] ||
                state->reg[ATA_REG_LBA_MID]))
        return false;
    return state->reg[ATA_REG_COUNT] == 1;
}

static void start(struct ata_drive *drive, bool out)
{
    if (ata_flags(drive) & ATA_CF_DMA)
        ata_start_data_dma(drive, 1);
    else if (out)
        ata_start_data_out(drive, 1);
    else
        ata_start_data_in(drive, 1);
}

static void read_log(struct ata_drive *drive, unsigned by)
{
    if (names_one_sector(&drive->state, by == BY_EXT) &&
        make_log(drive, drive->state.reg[ATA_REG_LBA_LOW], by))
        start(drive, false);
    else
        ata_fail(drive, ATA_ER_ABRT);
}

/* Only the host's own logs are writable. */
static void write_log(struct ata_drive *drive, unsigned by)
{
    if (names_one_sector(&drive->state, by == BY_EXT) &&
        is_host_log(drive->state.reg[ATA_REG_LBA_LOW]))
        start(drive, true);
    else
        ata_fail(drive, ATA_ER_ABRT);
}

/* Once in a drive's life, if ever. */
static bool has_host_logs(struct ata_smart_state *state)
{
    if (!state->host_log)
        state->host_log = calloc(ATA_LOG_HOSTS, sizeof(state->host_log[0]));
    return state->host_log;
}

/* The address was checked, and registers cannot be written while a command runs; but a loaded state
 * has not been. */
void ata_log_written(struct ata_drive *drive)
{
    uint8_t address = drive->state.reg[ATA_REG_LBA_LOW];

    if (!is_host_log(address) || !has_host_logs(&drive->board->smart.state)) {
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    memcpy(drive->board->smart.state.host_log[address - ATA_LOG_HOST_FIRST], drive->board->data,
           ATA_SECTOR);
    ata_complete(drive);
}

void ata_smart_read_log(struct ata_drive *drive)
{
    read_log(drive, BY_SMART);
}

void ata_smart_write_log(struct ata_drive *drive)
{
    write_log(drive, BY_SMART);
}

void ata_read_log_ext(struct ata_drive *drive)
{
    read_log(drive, BY_EXT);
}

void ata_write_log_ext(struct ata_drive *drive)
{
    write_log(drive, BY_EXT);
}
