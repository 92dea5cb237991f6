/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the CD-ROM drive answers, command by command. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/atapi_rig.h"

#define DVD_BLOCKS 360001u

static int cd_medium(void **state)
{
    return atapi_rig_setup(MEDIUM_BLOCKS * 4 + 3); /* what is no block is not there */
}

static int dvd_medium(void **state)
{
    return atapi_rig_setup(DVD_BLOCKS * 4);
}

static int empty_tray(void **state)
{
    return atapi_rig_setup(0);
}

static int finish(void **state)
{
    atapi_rig_finish();
    return 0;
}

static uint32_t get16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static uint32_t get32(const uint8_t *bytes)
{
    return get16(bytes) << 16 | get16(bytes + 2);
}

#define INVALID_FIELD(...) assert_sense(packet(4096, CDB(__VA_ARGS__)), 0x5, 0x2400)

static void inquiry(void **state)
{
    assert_int_equal(packet(255, CDB(0x12, [4] = 255)), 36);
    assert_memory_equal(reply, ((uint8_t[]){0x05, 0x80, 0x05, 0x02, 31, 0, 0, 0}), 8);
    assert_memory_equal(reply + 8, "ioemud  DVD-ROM         1.0 ", 28);
    assert_int_equal(packet(36, CDB(0x12, [4] = 12)), 12);
    assert_int_equal(packet(36, CDB(0x12)), 0);
    INVALID_FIELD(0x12, 0, 1, [4] = 36);
}

static void inquiry_product_data(void **state)
{
    assert_int_equal(packet(255, CDB(0x12, 1, 0, [4] = 255)), 7);
    assert_memory_equal(reply, ((uint8_t[]){5, 0, 0, 3, 0x00, 0x80, 0x83}), 7);
    assert_int_equal(packet(255, CDB(0x12, 1, 0x80, [4] = 255)), 4 + 9);
    assert_memory_equal(reply + 4, "ioemud-p2", 9);
    assert_int_equal(packet(255, CDB(0x12, 1, 0x83, [4] = 255)), 8 + 24 + 9);
    assert_memory_equal(reply + 4, ((uint8_t[]){2, 1, 0, 33}), 4);
    assert_memory_equal(reply + 8, "ioemud  DVD-ROM         ioemud-p2", 33);
    INVALID_FIELD(0x12, 1, 0x84, [4] = 255);
}

static void read_capacity(void **state)
{
    assert_int_equal(packet(8, CDB(0x25)), 8);
    assert_int_equal(get32(reply), MEDIUM_BLOCKS - 1);
    assert_int_equal(get32(reply + 4), 2048);
    INVALID_FIELD(0x25, [5] = 1);
}

static void reads_keep_to_the_medium(void **state)
{
    static const uint8_t opcodes[] = {0x28, 0xa8};

    for (unsigned i = 0; i < 2; i++) {
        uint8_t op = opcodes[i];
        unsigned n = i ? 9 : 8; /* least significant byte of the count */
        uint8_t cdb[12] = {op, [4] = (MEDIUM_BLOCKS - 1) >> 8, [5] = (MEDIUM_BLOCKS - 1) & 0xff};
        cdb[n] = 1;
        assert_int_equal(packet(2048, cdb), 2048);
        assert_medium_bytes(reply, (MEDIUM_BLOCKS - 1) * 2048, 2048);
        cdb[n] = 0;
        assert_int_equal(packet(2048, cdb), 0);
        cdb[n] = 2;
        assert_sense(packet(2048, cdb), 0x5, 0x2100);
        memset(cdb + 2, 0xff, 4);
        assert_sense(packet(2048, cdb), 0x5, 0x2100);
    }
    assert_sense(packet(2048, CDB(0xa8, [6] = 0xff, 0xff, 0xff, 0xff)), 0x5, 0x2100);
    assert_int_equal(packet(0, CDB(0x2b, [5] = 7)), 0);
    assert_sense(packet(0, CDB(0x2b, [4] = MEDIUM_BLOCKS >> 8, MEDIUM_BLOCKS & 0xff)), 0x5, 0x2100);
}

/* ECMA-130 annex A, by another way than the drive's: each code word has both of its syndromes zero.
 */
static uint8_t times(uint8_t a, uint8_t b)
{
    unsigned product = 0;

    for (unsigned bit = 0; bit < 8; bit++)
        product ^= b >> bit & 1 ? (unsigned)a << bit : 0;
    for (unsigned bit = 15; bit >= 8; bit--)
        product ^= product >> bit & 1 ? 0x11du << (bit - 8) : 0;
    return (uint8_t)product;
}

static void assert_code_word(const uint8_t *word, unsigned len)
{
    uint8_t sum = 0, weighted = 0, power = 1;

    for (unsigned i = len; i--;) {
        sum ^= word[i];
        weighted ^= times(power, word[i]);
        power = times(power, 2);
    }
    assert_int_equal(sum, 0);
    assert_int_equal(weighted, 0);
}

static void assert_edc(const uint8_t *sector)
{
    uint32_t rest = 0;

    for (unsigned i = 0; i < 2064 * 8; i++) {
        uint32_t out = rest >> 31 ^ (sector[i / 8] >> (i % 8) & 1u);
        rest = rest << 1 ^ (out ? 0x8001801bu : 0);
    }
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(sector[2064 + i / 8] >> (i % 8) & 1, rest >> (31 - i) & 1);
}

static void read_cd_has_whole_sectors_with_their_codes(void **state)
{
    uint8_t word[45];

    assert_int_equal(packet(2352, CDB(0xbe, [5] = 31, [8] = 1, [9] = 0xf8)), 2352);
    assert_int_equal(reply[0] | reply[11], 0);
    for (unsigned i = 1; i < 11; i++)
        assert_int_equal(reply[i], 0xff);
    assert_memory_equal(reply + 12, ((uint8_t[]){0x00, 0x02, 0x31, 0x01}), 4); /* BCD; mode 1 */
    assert_medium_bytes(reply + 16, 31 * 2048, 2048);
    assert_edc(reply);
    for (unsigned i = 2068; i < 2076; i++)
        assert_int_equal(reply[i], 0);
    const uint8_t *data = reply + 12;
    for (unsigned i = 0; i < 86; i++) {
        for (unsigned j = 0; j < 26; j++)
            word[j] = data[86 * j + i];
        assert_code_word(word, 26);
    }
    for (unsigned i = 0; i < 52; i++) {
        for (unsigned j = 0; j < 43; j++)
            word[j] = data[2 * ((i / 2 * 43 + j * 44) % 1118) + i % 2];
        word[43] = data[2236 + i];
        word[44] = data[2236 + 52 + i];
        assert_code_word(word, 45);
    }
}

static void read_cd_takes_the_fields_that_are_asked_for(void **state)
{
    static const struct {
        uint8_t fields;
        uint16_t first, length;
    } kinds[] = {{0x00, 0, 0},     {0x10, 16, 2048}, {0x18, 16, 2336}, {0x20, 12, 4},
                 {0x30, 12, 2052}, {0x38, 12, 2340}, {0x40, 0, 0},     {0x50, 16, 2048},
                 {0x60, 12, 4},    {0x78, 12, 2340}, {0x80, 0, 12},    {0xa0, 0, 16},
                 {0xb0, 0, 2064},  {0xb8, 0, 2352},  {0xe0, 0, 16},    {0xf0, 0, 2064}};
    static const uint8_t gaps[] = {0x08, 0x28, 0x48, 0x88, 0x90, 0x98, 0xa8, 0xc8};
    uint8_t whole[2352];

    packet(2352, CDB(0xbe, [5] = 200, [8] = 1, [9] = 0xf8));
    memcpy(whole, reply, sizeof(whole));
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        uint32_t length = kinds[i].length;
        assert_int_equal(packet(2352, CDB(0xbe, [5] = 200, [8] = 1, [9] = kinds[i].fields)),
                         length);
        assert_memory_equal(reply, whole + kinds[i].first, length);
    }
    for (unsigned i = 0; i < sizeof(gaps); i++)
        INVALID_FIELD(0xbe, [8] = 1, [9] = gaps[i]);
    assert_int_equal(packet(2048, CDB(0xbe, 2 << 2, [8] = 1, [9] = 0x10)), 2048);
}

static void read_cd_refuses_what_is_not_on_the_disc(void **state)
{
    static const uint8_t others[] = {1, 3, 4, 5};

    for (unsigned i = 0; i < sizeof(others); i++)
        assert_sense(packet(2352, CDB(0xbe, (uint8_t)(others[i] << 2), [8] = 1, [9] = 0x10)), 0x5,
                     0x6400);
    INVALID_FIELD(0xbe, [8] = 1, [9] = 0x12);       /* C2 */
    INVALID_FIELD(0xbe, [8] = 1, [9] = 0x10, 0x01); /* sub-channels */
    assert_sense(packet(2048, CDB(0xbe, [4] = 0xff, [8] = 1, [9] = 0x10)), 0x5, 0x2100);
    assert_sense(packet(2048, CDB(0xbe, [6] = 0xff, [8] = 1, [9] = 0x10)), 0x5, 0x2100);
}

static void read_toc(void **state)
{
    assert_int_equal(packet(512, CDB(0x43, [7] = 2)), 20);
    assert_memory_equal(reply, ((uint8_t[]){0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}), 12);
    assert_memory_equal(reply + 12, ((uint8_t[]){0, 0x14, 0xaa, 0}), 4);
    assert_int_equal(get32(reply + 16), MEDIUM_BLOCKS);
    assert_int_equal(packet(512, CDB(0x43, 2, [7] = 2)), 20);
    assert_memory_equal(reply + 8, ((uint8_t[]){0, 0, 2, 0}), 4);
    assert_memory_equal(reply + 16, ((uint8_t[]){0, 0, 6, 0}), 4); /* 300 + 150 frames */
    assert_int_equal(packet(512, CDB(0x43, [6] = 0xaa, 2)), 12);
    assert_int_equal(reply[6], 0xaa);
    assert_int_equal(packet(512, CDB(0x43, [6] = 1, 0, 12)), 12); /* cut short, the length not */
    assert_int_equal(get16(reply), 18);
    INVALID_FIELD(0x43, [6] = 2, 2);
    INVALID_FIELD(0x43, 0, 3, [7] = 2);
    INVALID_FIELD(0x43, 0, 5, [7] = 2);
}

static void read_toc_sessions_and_raw(void **state)
{
    for (unsigned old = 0; old < 2; old++) { /* the format in either place */
        uint8_t cdb[12] = {0x43, 0, old ? 0 : 1, [7] = 2, [9] = old ? 0x40 : 0};
        assert_int_equal(packet(512, cdb), 12);
        assert_memory_equal(reply, ((uint8_t[]){0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}), 12);
        cdb[2] = old ? 0 : 2;
        cdb[9] = old ? 0x80 : 0;
        assert_int_equal(packet(512, cdb), 4 + 4 * 11);
        assert_int_equal(get16(reply), 46);
        assert_int_equal(reply[4 + 3], 0xa0);
        assert_int_equal(reply[4 + 8], 1);
        assert_int_equal(reply[15 + 3], 0xa1);
        assert_int_equal(reply[26 + 3], 0xa2);
        assert_memory_equal(reply + 26 + 8, ((uint8_t[]){0, 6, 0}), 3);
        assert_int_equal(reply[37 + 3], 1);
        assert_memory_equal(reply + 37 + 8, ((uint8_t[]){0, 2, 0}), 3);
    }
    INVALID_FIELD(0x43, 0, 2, [6] = 2, 2);
}

/* GET CONFIGURATION: header, then features in order. */
static const uint8_t *find_feature(int length, uint16_t code)
{
    for (int at = 8; at + 4 <= length; at += 4 + reply[at + 3])
        if (get16(reply + at) == code)
            return reply + at;
    return NULL;
}

static void get_configuration_of_a_cd(void **state)
{
    int length = packet(1024, CDB(0x46, [7] = 4));

    assert_int_equal(get32(reply), length - 4);
    assert_int_equal(get16(reply + 6), 0x0008);
    const uint8_t *profiles = find_feature(length, 0);
    assert_memory_equal(profiles, ((uint8_t[]){0, 0, 3, 8, 0, 0x10, 0, 0, 0, 0x08, 1, 0}), 12);
    assert_int_equal(find_feature(length, 0x001e)[2], 2 << 2 | 1);
    assert_int_equal(find_feature(length, 0x001f)[2], 0);
    assert_int_equal(find_feature(length, 0x0003)[4], 0x29);
    assert_int_equal(packet(1024, CDB(0x46, 2, 0, 0x03, [7] = 4)), 16);
    assert_int_equal(get16(reply + 8), 3);
    assert_int_equal(packet(1024, CDB(0x46, 2, 0, 0x21, [7] = 4)), 8); /* no such feature */
    length = packet(1024, CDB(0x46, 1, [7] = 4));
    assert_null(find_feature(length, 0x001f));
    length = packet(1024, CDB(0x46, 0, 0, 0x10, [7] = 4));
    assert_null(find_feature(length, 0x0003));
    assert_non_null(find_feature(length, 0x0010));
    assert_int_equal(packet(8, CDB(0x46, [8] = 8)), 8);
    INVALID_FIELD(0x46, 3, [7] = 4);
}

static void a_large_medium_is_a_dvd(void **state)
{
    int length = packet(1024, CDB(0x46, [7] = 4));

    assert_int_equal(get16(reply + 6), 0x0010);
    assert_int_equal(find_feature(length, 0x001f)[2], 1);
    assert_int_equal(find_feature(length, 0x001e)[2], 2 << 2);
    assert_int_equal(packet(2048, CDB(0xbe, [3] = 5, [8] = 1, [9] = 0x10)), 2048);
    assert_medium_bytes(reply, 5 * 65536 * 2048, 2048);
    assert_sense(packet(2352, CDB(0xbe, [8] = 1, [9] = 0xf8)), 0x5, 0x6400);
}

static void read_dvd_structure(void **state)
{
    assert_int_equal(packet(2052, CDB(0xad, [8] = 16)), 2052);
    assert_int_equal(get16(reply), 2050);
    assert_int_equal(get32(reply + 8), 0x30000);
    assert_int_equal(get32(reply + 12), 0x30000 + DVD_BLOCKS - 1);
    for (unsigned i = 21; i < 2052; i++)
        assert_int_equal(reply[i], 0);
    assert_int_equal(packet(2052, CDB(0xad, [7] = 1, 16)), 8);
    assert_int_equal(get32(reply + 4), 0);
    assert_int_equal(packet(2052, CDB(0xad, [7] = 4, 16)), 2052);
    assert_int_equal(packet(2052, CDB(0xad, [7] = 0xff, 16)), 20);
    INVALID_FIELD(0xad, [7] = 3, 16);
    INVALID_FIELD(0xad, [6] = 1, 0, 16);
}

static void a_cd_has_no_dvd_structure(void **state)
{
    assert_sense(packet(2052, CDB(0xad, [8] = 16)), 0x5, 0x3002);
}

static void mode_sense(void **state)
{
    assert_int_equal(packet(512, CDB(0x5a, 0, 0x2a, [7] = 2)), 30);
    assert_int_equal(get16(reply), 28);
    assert_int_equal(get16(reply + 6), 0); /* no block descriptors */
    assert_memory_equal(reply + 8, ((uint8_t[]){0x2a, 0x14, 0x0b, 0, 0x70, 0, 0x29, 0}), 8);
    packet(0, CDB(0x1e, [4] = 1));
    packet(512, CDB(0x5a, 0, 0x2a, [7] = 2));
    assert_int_equal(reply[14], 0x2b); /* locked now */
    packet(0, CDB(0x1e));
    assert_int_equal(packet(512, CDB(0x5a, 0, 0x3f, [7] = 2)), 8 + 12 + 16 + 12 + 22);
    assert_int_equal(reply[8], 0x01);
    assert_int_equal(reply[20], 0x0e);
    assert_int_equal(reply[36], 0x1a);
    assert_int_equal(reply[48], 0x2a);
    assert_int_equal(packet(512, CDB(0x5a, 0, 0x3f, 0xff, [8] = 10)), 10);
    assert_int_equal(packet(512, CDB(0x5a, 0, 0x41, [7] = 2)), 20); /* what can change */
    assert_memory_equal(reply + 8, ((uint8_t[]){1, 10, 0xff, 0xff, 0}), 5);
    assert_sense(packet(512, CDB(0x5a, 0, 0xc1, [7] = 2)), 0x5, 0x3900);
    INVALID_FIELD(0x5a, 0, 0x05, [7] = 2);
    INVALID_FIELD(0x5a, 0, 0x01, 1, [7] = 2);
}

/* MODE SELECT with this list. */
static int mode_select(const uint8_t *list, uint8_t length, uint16_t limit)
{
    rig_packet(&rig, CD, CDB(0x55, 0x10, [8] = length), 0, limit);
    for (uint32_t at = 0; at < length;) {
        uint32_t n = byte_count();
        assert_int_equal(rig_status(&rig, CD), READY | ATA_SR_DRQ);
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), 0); /* data, from the host */
        assert_true(rig_irq(&rig, CD) && n && n <= length - at);
        rig_ack(&rig, CD);
        bus_port_write_block(rig.bus, 0x170, 1, list + at, n);
        at += n;
    }
    return rig_ack(&rig, CD) & ATA_SR_ERR ? CHECK : 0;
}

static void mode_select_changes_what_can_change(void **state)
{
    uint8_t list[32] = {[8] = 0x01, 0x0a, 0x20, 0x07};

    for (unsigned i = 0; i < 2; i++) {
        list[11]++;
        assert_int_equal(mode_select(list, 20, i ? 7 : 0xfffe), 0);
        packet(512, CDB(0x5a, 0, 0x01, [7] = 2));
        assert_memory_equal(reply + 8, list + 8, 12);
    }
    packet(512, CDB(0x5a, 0, 0x81, [7] = 2)); /* the default stays */
    assert_memory_equal(reply + 10, ((uint8_t[]){0, 5}), 2);
    assert_int_equal(mode_select(list, 8, 0xfffe), 0);
    assert_int_equal(mode_select(list, 0, 0xfffe), 0);
    list[12] = 1;
    assert_sense(mode_select(list, 20, 0xfffe), 0x5, 0x2600);
    list[12] = 0;
    list[9] = 9;
    assert_sense(mode_select(list, 20, 0xfffe), 0x5, 0x2600);
    list[9] = 10;
    list[8] = 0x05;
    assert_sense(mode_select(list, 20, 0xfffe), 0x5, 0x2600);
    list[8] = 0x01;
    assert_sense(mode_select(list, 19, 0xfffe), 0x5, 0x2600); /* a page in part */
    assert_sense(mode_select(list, 5, 0xfffe), 0x5, 0x1a00);
    assert_sense(packet(0, CDB(0x55, 0x10, [7] = 4)), 0x5, 0x1a00);
    INVALID_FIELD(0x55, 0x11, [8] = 20);
    INVALID_FIELD(0x55, 0x00, [8] = 20);
}

static void event_status(void **state)
{
    INVALID_FIELD(0x4a, 0, [4] = 0x10, [8] = 8); /* not polled */
    assert_int_equal(packet(8, CDB(0x4a, 1, [4] = 0x02, [8] = 8)), 4);
    assert_memory_equal(reply, ((uint8_t[]){0, 2, 0x80, 0x10}), 4);
    assert_int_equal(packet(8, CDB(0x4a, 1, [4] = 0x10, [8] = 4)), 4); /* the header does not */
    assert_int_equal(packet(8, CDB(0x4a, 1, [4] = 0x10, [8] = 8)), 8); /* take the event */
    assert_memory_equal(reply, ((uint8_t[]){0, 6, 4, 0x10, 2, 2, 0, 0}), 8);
    packet(8, CDB(0x4a, 1, [4] = 0x10, [8] = 8));
    assert_int_equal(reply[4], 0);
}

static void mechanism_status(void **state)
{
    assert_int_equal(packet(8, CDB(0xbd, [9] = 8)), 8);
    assert_int_equal(reply[1], 0);
    packet(0, CDB(0x1b, [4] = 2));
    packet(8, CDB(0xbd, [9] = 8));
    assert_int_equal(reply[1], 0x10);
}

static void start_stop_unit_and_power(void **state)
{
    static const struct {
        uint8_t byte, count;
    } kinds[] = {{0x00, 0x00}, {0x01, 0xff}, {0x20, 0x80}, {0x30, 0x00}, {0x10, 0xff}};

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        assert_int_equal(packet(0, CDB(0x1b, [4] = kinds[i].byte)), 0);
        rig_command(&rig, CD, 0xe5, 0, 0);
        assert_int_equal(rig_reg(&rig, CD, ATA_REG_COUNT), kinds[i].count);
        rig_ack(&rig, CD);
    }
    INVALID_FIELD(0x1b, [4] = 0x40);
    INVALID_FIELD(0x1b, [4] = 0x70);
    assert_int_equal(packet(0, CDB(0xbb, [2] = 0xff, 0xff)), 0); /* SET CD SPEED */
}

static void disc_and_track_information(void **state)
{
    assert_int_equal(packet(512, CDB(0x51, [7] = 2)), 34);
    assert_memory_equal(reply, ((uint8_t[]){0, 32, 0x0e, 1, 1, 1, 1, 0x20}), 8);
    INVALID_FIELD(0x51, 1, [7] = 2);
    assert_int_equal(packet(512, CDB(0x52, 1, [5] = 1, [7] = 2)), 36);
    assert_int_equal(get16(reply), 34);
    assert_int_equal(reply[2], 1);
    assert_int_equal(get32(reply + 24), MEDIUM_BLOCKS);
    assert_int_equal(packet(512, CDB(0x52, 0, [5] = 77, [7] = 2)), 36);
    assert_int_equal(packet(512, CDB(0x52, 2, [5] = 1, [7] = 2)), 36);
    INVALID_FIELD(0x52, 1, [5] = 2, [7] = 2);
    assert_sense(packet(512, CDB(0x52, 0, [4] = 0xff, [7] = 2)), 0x5, 0x2100);
}

static void every_other_opcode_is_refused(void **state)
{
    static const uint8_t known[] = {0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x43, 0x46,
                                    0x4a, 0x51, 0x52, 0x55, 0x5a, 0xa8, 0xad, 0xbb, 0xbd, 0xbe};

    for (unsigned opcode = 0; opcode < 256; opcode++) {
        if (!memchr(known, (int)opcode, sizeof(known)))
            assert_sense(packet(0, CDB((uint8_t)opcode)), 0x5, 0x2000);
    }
}

static void what_needs_no_medium_works_without(void **state)
{
    assert_int_equal(packet(36, CDB(0x12, [4] = 36)), 36);
    assert_int_equal(packet(512, CDB(0x5a, 0, 0x3f, [7] = 2)), 70);
    assert_int_equal(packet(8, CDB(0x4a, 1, [4] = 0x10, [8] = 8)), 8);
    assert_memory_equal(reply + 4, ((uint8_t[]){0, 0}), 2);
    assert_int_equal(packet(8, CDB(0xbd, [9] = 8)), 8);
    assert_int_equal(packet(0, CDB(0x1e, [4] = 1)), 0);
    assert_int_equal(packet(0, CDB(0xbb)), 0);
}

#define CDROM(name) cmocka_unit_test_setup_teardown(name, cd_medium, finish)
#define DVD(name)   cmocka_unit_test_setup_teardown(name, dvd_medium, finish)
#define EMPTY(name) cmocka_unit_test_setup_teardown(name, empty_tray, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CDROM(inquiry),
        CDROM(inquiry_product_data),
        CDROM(read_capacity),
        CDROM(reads_keep_to_the_medium),
        CDROM(read_cd_has_whole_sectors_with_their_codes),
        CDROM(read_cd_takes_the_fields_that_are_asked_for),
        CDROM(read_cd_refuses_what_is_not_on_the_disc),
        CDROM(read_toc),
        CDROM(read_toc_sessions_and_raw),
        CDROM(get_configuration_of_a_cd),
        DVD(a_large_medium_is_a_dvd),
        DVD(read_dvd_structure),
        CDROM(a_cd_has_no_dvd_structure),
        CDROM(mode_sense),
        CDROM(mode_select_changes_what_can_change),
        CDROM(event_status),
        CDROM(mechanism_status),
        CDROM(start_stop_unit_and_power),
        CDROM(disc_and_track_information),
        CDROM(every_other_opcode_is_refused),
        EMPTY(what_needs_no_medium_works_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
