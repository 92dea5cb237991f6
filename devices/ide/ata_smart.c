/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SMART (ATA8-ACS 7.53): attributes, status, self-tests. The logs are in ata_log.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/ide/ata_internal.h"

/* Subcommands, in Features. */
enum {
    SMART_READ_DATA = 0xd0,
    SMART_READ_THRESHOLDS = 0xd1, /* obsolete since ATA-4; every tool reads them */
    SMART_AUTOSAVE = 0xd2,
    SMART_OFF_LINE = 0xd4,
    SMART_READ_LOG = 0xd5,
    SMART_WRITE_LOG = 0xd6,
    SMART_ENABLE = 0xd8,
    SMART_DISABLE = 0xd9,
    SMART_RETURN_STATUS = 0xda,
};

/* LBA Mid and High: what a host must write, and what RETURN STATUS answers. */
#define KEY_MID       0x4f
#define KEY_HIGH      0xc2
#define EXCEEDED_MID  0xf4
#define EXCEEDED_HIGH 0x2c

#define AUTOSAVE_ON 0xf1

/* Subcommands of EXECUTE OFF-LINE IMMEDIATE, in LBA Low, beside the self-tests'. */
#define OFF_LINE_COLLECT 0x00
#define OFF_LINE_ABORT   0x7f

/* A short test's reads, and the time between two: a test is seconds, or as long as a disk's. */
#define SHORT_STEPS    64u
#define SHORT_SECTORS  16u
#define SHORT_PAUSE_NS 20000000u
#define LONG_PAUSE_NS  5000000u
#define STEP_GUESS_NS  5000000u /* what a read takes, for the time that is promised */
#define NS_PER_MINUTE  60000000000ull
#define NS_PER_HOUR    3600000000000ull

/* ATA8-ACS, "Device SMART data structure". */
#define SMART_REVISION          16
#define OFFSET_ATTRIBUTES       2
#define ATTRIBUTE_SIZE          12
#define OFFSET_COLLECTION       362
#define OFFSET_TEST_STATUS      363
#define OFFSET_COLLECTION_TIME  364
#define OFFSET_OFF_LINE_CAPABLE 367
#define OFFSET_SMART_CAPABLE    368
#define OFFSET_LOG_CAPABLE      370
#define OFFSET_SHORT_MINUTES    372
#define OFFSET_LONG_MINUTES     373
#define OFFSET_LONG_MINUTES_16  375

#define COLLECTION_NEVER 0x00
#define COLLECTION_DONE  0x02
#define OFF_LINE_CAPABLE 0x11 /* EXECUTE OFF-LINE IMMEDIATE; self-tests */
#define SMART_CAPABLE    0x03 /* saved before a power mode; autosave */

/* Attributes, with the numbers and flags that the industry and its tools agree on (no standard
 * does). Flags: bit 0 predicts a failure, 1 collected all the time, 4 counts events, 5 is kept. */
enum attribute_id {
    READ_ERROR_RATE = 1,
    REALLOCATED_SECTORS = 5,
    POWER_ON_HOURS = 9,
    POWER_CYCLES = 12,
    REPORTED_UNCORRECTABLE = 187,
    LBAS_WRITTEN = 241,
    LBAS_READ = 242,
};

static const struct attribute {
    uint8_t id, flags, threshold;
} attributes[] = {
    {READ_ERROR_RATE, 0x0f, 6}, {REALLOCATED_SECTORS, 0x33, 10},    {POWER_ON_HOURS, 0x32, 0},
    {POWER_CYCLES, 0x32, 0},    {REPORTED_UNCORRECTABLE, 0x33, 10}, {LBAS_WRITTEN, 0x32, 0},
    {LBAS_READ, 0x32, 0},
};
#define ATTRIBUTES (sizeof(attributes) / sizeof(attributes[0]))

uint64_t ata_smart_on_ns(const struct ata_drive *drive)
{
    return host_now_ns(drive->config.host) - drive->board->smart.on_ns;
}

uint16_t ata_smart_hours(const struct ata_drive *drive)
{
    return (uint16_t)(ata_smart_on_ns(drive) / NS_PER_HOUR);
}

void ata_checksum(uint8_t *sector)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < ATA_SECTOR - 1; i++)
        sum = (uint8_t)(sum + sector[i]);
    sector[ATA_SECTOR - 1] = (uint8_t)-sum;
}

/* Attributes. */

static uint64_t raw_of(const struct ata_drive *drive, uint8_t id)
{
    const struct ata_smart_state *state = &drive->board->smart.state;

    switch (id) {
    case READ_ERROR_RATE:
        return state->bad_reads;
    case POWER_ON_HOURS:
        return ata_smart_on_ns(drive) / NS_PER_HOUR;
    case POWER_CYCLES:
        return 1;
    case REPORTED_UNCORRECTABLE:
        return state->errors;
    case LBAS_WRITTEN:
        return state->written_sectors;
    case LBAS_READ:
        return state->read_sectors;
    default:
        return 0;
    }
}

/* 100 is best and 1 worst. What failed only ever grows, so the worst value is the present one. */
static uint8_t value_of(const struct ata_drive *drive, const struct attribute *attribute)
{
    uint64_t failed = attribute->threshold ? raw_of(drive, attribute->id) : 0;

    return (uint8_t)(100 - (failed < 99 ? failed : 99));
}

static bool exceeded(const struct ata_drive *drive)
{
    for (unsigned i = 0; i < ATTRIBUTES; i++) {
        const struct attribute *attribute = &attributes[i];
        if (attribute->threshold && value_of(drive, attribute) <= attribute->threshold)
            return true;
    }
    return false;
}

static uint64_t steps(const struct ata_drive *drive, uint8_t test)
{
    if (test == ATA_TEST_SHORT)
        return SHORT_STEPS;
    return (drive->info.sectors + ATA_CHUNK_MAX - 1) / ATA_CHUNK_MAX;
}

static uint64_t pause_ns(uint8_t test)
{
    return test == ATA_TEST_SHORT ? SHORT_PAUSE_NS : LONG_PAUSE_NS;
}

static uint64_t minutes(const struct ata_drive *drive, uint8_t test)
{
    return steps(drive, test) * (pause_ns(test) + STEP_GUESS_NS) / NS_PER_MINUTE + 1;
}

/* The low half counts down what is left of a running test, in tenths. */
static uint8_t test_status(const struct ata_drive *drive)
{
    const struct ata_smart_state *state = &drive->board->smart.state;

    if (!state->test)
        return (uint8_t)(state->result << 4);
    uint64_t all = steps(drive, state->test), left = all - state->step;
    return (uint8_t)(ATA_TEST_RUNNING << 4 |
                     ((left * 10 + all - 1) / all > 9 ? 9 : (left * 10 + all - 1) / all));
}

static void read_data(struct ata_drive *drive)
{
    uint8_t *data = drive->board->data;
    uint64_t extended = minutes(drive, ATA_TEST_EXTENDED);

    memset(data, 0, ATA_SECTOR);
    ata_put(data, 2, SMART_REVISION);
    for (unsigned i = 0; i < ATTRIBUTES; i++) {
        uint8_t *entry = data + OFFSET_ATTRIBUTES + i * ATTRIBUTE_SIZE;
        uint8_t value = value_of(drive, &attributes[i]);
        entry[0] = attributes[i].id;
        entry[1] = attributes[i].flags;
        entry[3] = value;
        entry[4] = value; /* worst */
        ata_put(entry + 5, 6, raw_of(drive, attributes[i].id));
    }
    data[OFFSET_COLLECTION] =
        drive->board->smart.state.collected ? COLLECTION_DONE : COLLECTION_NEVER;
    data[OFFSET_TEST_STATUS] = test_status(drive);
    ata_put(data + OFFSET_COLLECTION_TIME, 2, 1);
    data[OFFSET_OFF_LINE_CAPABLE] = OFF_LINE_CAPABLE;
    ata_put(data + OFFSET_SMART_CAPABLE, 2, SMART_CAPABLE);
    data[OFFSET_LOG_CAPABLE] = 1;
    data[OFFSET_SHORT_MINUTES] = (uint8_t)minutes(drive, ATA_TEST_SHORT);
    data[OFFSET_LONG_MINUTES] = extended < 0xff ? (uint8_t)extended : 0xff;
    ata_put(data + OFFSET_LONG_MINUTES_16, 2, extended < 0xffff ? extended : 0xffff);
    ata_checksum(data);
    ata_start_data_in(drive, 1);
}

static void read_thresholds(struct ata_drive *drive)
{
    uint8_t *data = drive->board->data;

    memset(data, 0, ATA_SECTOR);
    ata_put(data, 2, SMART_REVISION);
    for (unsigned i = 0; i < ATTRIBUTES; i++) {
        data[OFFSET_ATTRIBUTES + i * ATTRIBUTE_SIZE] = attributes[i].id;
        data[OFFSET_ATTRIBUTES + i * ATTRIBUTE_SIZE + 1] = attributes[i].threshold;
    }
    ata_checksum(data);
    ata_start_data_in(drive, 1);
}

static void return_status(struct ata_drive *drive)
{
    bool bad = exceeded(drive);

    drive->state.reg[ATA_REG_LBA_MID] = bad ? EXCEEDED_MID : KEY_MID;
    drive->state.reg[ATA_REG_LBA_HIGH] = bad ? EXCEEDED_HIGH : KEY_HIGH;
    ata_complete(drive);
}

/* Self-tests. */

static void arm(struct ata_drive *drive)
{
    const struct host *host = drive->config.host;

    host_timer_arm(host, &drive->board->smart.timer,
                   host_now_ns(host) + pause_ns(drive->board->smart.state.test));
}

static void record(struct ata_drive *drive, uint64_t bad_lba)
{
    struct ata_smart_state *state = &drive->board->smart.state;
    struct ata_logged_test *entry = &state->self_test[state->tests % ATA_LOG_SELF_TESTS];
    uint64_t all = steps(drive, state->test);

    *entry = (struct ata_logged_test){
        .test = state->test,
        .status = (uint8_t)(state->result << 4 | (all - state->step) * 9 / all),
        .hours = ata_smart_hours(drive),
        .lba = bad_lba,
    };
    state->tests++;
    state->test = ATA_TEST_NONE;
}

static void end_test(struct ata_drive *drive, enum ata_test_result result, uint64_t bad_lba)
{
    struct ata_smart *smart = &drive->board->smart;

    if (!smart->state.test)
        return;
    smart->state.result = (uint8_t)result;
    record(drive, bad_lba);
    host_timer_disarm(drive->config.host, &smart->timer);
    if (smart->req)
        blk_cancel(smart->req);
    smart->req = NULL;
}

void ata_smart_end_test(struct ata_drive *drive, enum ata_test_result result)
{
    end_test(drive, result, UINT64_MAX);
}

/* What the next step reads: evenly spread, the first and the last sectors among them. */
static void step_range(const struct ata_drive *drive, uint64_t *ret_lba, uint32_t *ret_sectors)
{
    const struct ata_smart_state *state = &drive->board->smart.state;
    uint64_t total = drive->info.sectors;
    uint32_t most = state->test == ATA_TEST_SHORT ? SHORT_SECTORS : ATA_CHUNK_MAX;
    uint32_t count = total < most ? (uint32_t)total : most;

    if (state->test == ATA_TEST_SHORT) {
        uint64_t room = total - count;
        *ret_lba = room / (SHORT_STEPS - 1) * state->step +
                   room % (SHORT_STEPS - 1) * state->step / (SHORT_STEPS - 1);
    } else {
        *ret_lba = state->step * ATA_CHUNK_MAX;
        count = total - *ret_lba < most ? (uint32_t)(total - *ret_lba) : most;
    }
    *ret_sectors = count;
}

/* A step, if the drive has nothing better to do. A guest that never lets it rest has a test that
 * never ends, as with a real drive. */
static void on_timer(void *arg)
{
    struct ata_drive *drive = arg;
    struct ata_smart *smart = &drive->board->smart;
    uint64_t lba;
    uint32_t sectors;

    if (!smart->state.test || smart->req)
        return;
    if (drive->held || !drive->present || drive->state.phase != ATA_IDLE ||
        blk_stopped(drive->config.blk) || !blk_idle(drive->config.blk)) {
        arm(drive);
        return;
    }
    step_range(drive, &lba, &sectors);
    int err = blk_get(drive->config.blk, BLK_READ, lba, sectors * ATA_SECTOR, drive->generation,
                      &smart->req);
    if (!err)
        blk_submit(smart->req);
    else if (err == -EAGAIN)
        arm(drive);
    else
        end_test(drive, ATA_TEST_READ, lba);
}

void ata_smart_read(struct ata_drive *drive, int error)
{
    struct ata_smart *smart = &drive->board->smart;
    uint64_t lba = blk_req_sector(smart->req);

    blk_put(smart->req);
    smart->req = NULL;
    if (error) {
        end_test(drive, ATA_TEST_READ, lba);
        return;
    }
    if (++smart->state.step == steps(drive, smart->state.test))
        end_test(drive, ATA_TEST_PASSED, UINT64_MAX);
    else
        arm(drive);
}

/* A new test ends the one before (ATA8-ACS, EXECUTE OFF-LINE IMMEDIATE). Captive ones (81h and so
 * on) are optional, and a host would wait for the whole of them. */
static void off_line(struct ata_drive *drive)
{
    struct ata_smart_state *state = &drive->board->smart.state;
    uint8_t what = drive->state.reg[ATA_REG_LBA_LOW];

    switch (what) {
    case OFF_LINE_COLLECT: /* nothing is out of date */
        state->collected = true;
        break;
    case ATA_TEST_SHORT:
    case ATA_TEST_EXTENDED:
        ata_smart_end_test(drive, ATA_TEST_ABORTED);
        state->test = what;
        state->step = 0;
        arm(drive);
        break;
    case OFF_LINE_ABORT:
        ata_smart_end_test(drive, ATA_TEST_ABORTED);
        break;
    default:
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    ata_complete(drive);
}

/* Subcommands. */

static void set_autosave(struct ata_drive *drive)
{
    uint8_t count = drive->state.reg[ATA_REG_COUNT];

    if (count && count != AUTOSAVE_ON) {
        ata_fail(drive, ATA_ER_ABRT);
        return;
    }
    drive->board->smart.state.autosave = count;
    ata_complete(drive);
}

static void enable(struct ata_drive *drive)
{
    drive->board->smart.state.enabled = true;
    ata_complete(drive);
}

static void disable(struct ata_drive *drive)
{
    ata_smart_end_test(drive, ATA_TEST_ABORTED);
    drive->board->smart.state.enabled = false;
    ata_complete(drive);
}

void ata_smart(struct ata_drive *drive)
{
    static const struct {
        uint8_t feature;
        void (*run)(struct ata_drive *drive);
    } subcommands[] = {
        {SMART_READ_DATA, read_data},
        {SMART_READ_THRESHOLDS, read_thresholds},
        {SMART_AUTOSAVE, set_autosave},
        {SMART_OFF_LINE, off_line},
        {SMART_READ_LOG, ata_smart_read_log},
        {SMART_WRITE_LOG, ata_smart_write_log},
        {SMART_ENABLE, enable},
        {SMART_DISABLE, disable},
        {SMART_RETURN_STATUS, return_status},
    };
    const uint8_t *reg = drive->state.reg;
    uint8_t feature = reg[ATA_REG_FEATURES];

    if (reg[ATA_REG_LBA_MID] == KEY_MID && reg[ATA_REG_LBA_HIGH] == KEY_HIGH &&
        (drive->board->smart.state.enabled || feature == SMART_ENABLE)) {
        for (unsigned i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
            if (subcommands[i].feature == feature) {
                subcommands[i].run(drive);
                return;
            }
        }
    }
    ata_fail(drive, ATA_ER_ABRT);
}

/* Life. */

void ata_smart_init(struct ata_drive *drive)
{
    drive->board->smart.state.enabled = drive->board->smart.state.autosave = true;
    drive->board->smart.on_ns = host_now_ns(drive->config.host);
    host_timer_init(&drive->board->smart.timer, on_timer, drive);
}

void ata_smart_finish(struct ata_drive *drive)
{
    struct ata_smart *smart;

    if (!drive->config.blk)
        return;
    smart = &drive->board->smart;
    host_timer_disarm(drive->config.host, &smart->timer);
    if (smart->req)
        blk_cancel(smart->req);
    smart->req = NULL;
}

void ata_smart_resume(struct ata_drive *drive)
{
    if (drive->board && drive->board->smart.state.test && !drive->board->smart.req)
        arm(drive);
}

/* State. */

static const uint8_t never_written[ATA_SECTOR];

static void save_command(const struct ata_logged_command *command, struct state_writer *writer)
{
    state_put_u8(writer, command->device);
    state_put_u8(writer, command->opcode);
    state_put_u16(writer, command->features);
    state_put_u16(writer, command->count);
    state_put_u64(writer, command->lba);
    state_put_u32(writer, command->ms);
}

static void load_command(struct ata_logged_command *command, struct state_reader *reader)
{
    command->device = state_get_u8(reader);
    command->opcode = state_get_u8(reader);
    command->features = state_get_u16(reader);
    command->count = state_get_u16(reader);
    command->lba = state_get_u64(reader);
    command->ms = state_get_u32(reader);
}

static void save_logs(const struct ata_smart_state *state, struct state_writer *writer)
{
    for (unsigned i = 0; i < ATA_LOG_COMMANDS; i++)
        save_command(&state->recent[i], writer);
    for (unsigned i = 0; i < ATA_LOG_ERRORS; i++) {
        const struct ata_logged_error *error = &state->error[i];
        for (unsigned j = 0; j < ATA_LOG_COMMANDS; j++)
            save_command(&error->command[j], writer);
        state_put_u8(writer, error->error);
        state_put_u8(writer, error->device);
        state_put_u16(writer, error->count);
        state_put_u64(writer, error->lba);
        state_put_u16(writer, error->hours);
    }
    for (unsigned i = 0; i < ATA_LOG_SELF_TESTS; i++) {
        const struct ata_logged_test *test = &state->self_test[i];
        state_put_u8(writer, test->test);
        state_put_u8(writer, test->status);
        state_put_u16(writer, test->hours);
        state_put_u64(writer, test->lba);
    }
    for (unsigned i = 0; i < ATA_LOG_HOSTS; i++)
        state_put_bytes(writer, state->host_log ? state->host_log[i] : never_written, ATA_SECTOR);
}

static void load_host_logs(struct ata_smart_state *state, struct state_reader *reader)
{
    uint8_t log[ATA_LOG_HOSTS][ATA_SECTOR];

    state_get_bytes(reader, log, sizeof(log));
    free(state->host_log);
    state->host_log = NULL;
    for (unsigned i = 0; i < ATA_LOG_HOSTS && !state->host_log; i++) {
        if (!memcmp(log[i], never_written, ATA_SECTOR))
            continue;
        state->host_log = malloc(sizeof(log));
        if (!state->host_log)
            state_reject(reader);
    }
    if (state->host_log)
        memcpy(state->host_log, log, sizeof(log));
}

static void load_logs(struct ata_smart_state *state, struct state_reader *reader)
{
    for (unsigned i = 0; i < ATA_LOG_COMMANDS; i++)
        load_command(&state->recent[i], reader);
    for (unsigned i = 0; i < ATA_LOG_ERRORS; i++) {
        struct ata_logged_error *error = &state->error[i];
        for (unsigned j = 0; j < ATA_LOG_COMMANDS; j++)
            load_command(&error->command[j], reader);
        error->error = state_get_u8(reader);
        error->device = state_get_u8(reader);
        error->count = state_get_u16(reader);
        error->lba = state_get_u64(reader);
        error->hours = state_get_u16(reader);
    }
    for (unsigned i = 0; i < ATA_LOG_SELF_TESTS; i++) {
        struct ata_logged_test *test = &state->self_test[i];
        test->test = state_get_u8(reader);
        test->status = state_get_u8(reader);
        test->hours = state_get_u16(reader);
        test->lba = state_get_u64(reader);
    }
    load_host_logs(state, reader);
}

void ata_smart_save(const struct ata_drive *drive, struct state_writer *writer)
{
    const struct ata_smart_state *state = &drive->board->smart.state;

    state_put_u64(writer, ata_smart_on_ns(drive));
    state_put_u8(writer, state->enabled);
    state_put_u8(writer, state->autosave);
    state_put_u8(writer, state->collected);
    state_put_u8(writer, state->test);
    state_put_u8(writer, state->result);
    state_put_u64(writer, state->step);
    state_put_u64(writer, state->read_sectors);
    state_put_u64(writer, state->written_sectors);
    state_put_u32(writer, state->bad_reads);
    state_put_u32(writer, state->errors);
    state_put_u32(writer, state->tests);
    save_logs(state, writer);
}

void ata_smart_load(struct ata_drive *drive, struct state_reader *reader)
{
    struct ata_smart_state *state = &drive->board->smart.state;

    drive->board->smart.on_ns = host_now_ns(drive->config.host) - state_get_u64(reader);
    state->enabled = state_get_u8(reader);
    state->autosave = state_get_u8(reader);
    state->collected = state_get_u8(reader);
    state->test = state_get_u8(reader);
    state->result = state_get_u8(reader) & 0xf;
    state->step = state_get_u64(reader);
    state->read_sectors = state_get_u64(reader);
    state->written_sectors = state_get_u64(reader);
    state->bad_reads = state_get_u32(reader);
    state->errors = state_get_u32(reader);
    state->tests = state_get_u32(reader);
    load_logs(state, reader);
    if (reader->error || state->test > ATA_TEST_EXTENDED ||
        (state->test && state->step >= steps(drive, state->test))) {
        state->test = ATA_TEST_NONE;
        state_reject(reader);
    }
}
