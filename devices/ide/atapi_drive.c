/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the drive says of itself: INQUIRY (SPC-3 6.4) and GET CONFIGURATION (MMC-5). */
#include <string.h>

#include "devices/ide/atapi_internal.h"

#define CD_DVD_DEVICE 0x05
#define REMOVABLE     0x80
#define VERSION_SPC_3 0x05
#define FORMAT_SPC    0x02

#define VENDOR_MAX  8u
#define PRODUCT_MAX 16u

static void put_text(uint8_t *bytes, unsigned size, const char *text, size_t len)
{
    for (unsigned i = 0; i < size; i++)
        bytes[i] = i < len ? (uint8_t)text[i] : ' ';
}

/* The model is vendor and product, as drives have it in IDENTIFY PACKET DEVICE. */
static void put_names(const struct ata_drive *drive, uint8_t *bytes)
{
    const char *model = drive->config.model;
    size_t vendor = strcspn(model, " ");

    if (vendor > VENDOR_MAX || !model[vendor])
        vendor = 0; /* one word: a product of nobody's */
    put_text(bytes, VENDOR_MAX, model, vendor);
    model += vendor + (vendor > 0);
    put_text(bytes + VENDOR_MAX, PRODUCT_MAX, model, strlen(model));
}

/* Vital product data; 0: no such page. */
static uint32_t product_data(struct ata_drive *drive, uint8_t page)
{
    uint8_t *reply = drive->board->reply;
    size_t serial = strlen(drive->config.serial);
    uint32_t length = 0;

    switch (page) {
    case 0x00: /* the pages there are */
        memcpy(reply + 4, (const uint8_t[]){0x00, 0x80, 0x83}, 3);
        length = 3;
        break;
    case 0x80: /* unit serial number */
        put_text(reply + 4, (unsigned)serial, drive->config.serial, serial);
        length = (uint32_t)serial;
        break;
    case 0x83: /* identification: of type 1, in ASCII, by vendor, product and number */
        reply[4] = 0x02;
        reply[5] = 0x01;
        put_names(drive, reply + 8);
        put_text(reply + 8 + VENDOR_MAX + PRODUCT_MAX, (unsigned)serial, drive->config.serial,
                 serial);
        reply[7] = (uint8_t)(VENDOR_MAX + PRODUCT_MAX + serial);
        length = 4u + reply[7];
        break;
    default:
        return 0;
    }
    reply[0] = CD_DVD_DEVICE;
    reply[1] = page;
    atapi_put16(reply + 2, length);
    return 4 + length;
}

void atapi_inquiry(struct ata_drive *drive, const uint8_t *packet)
{
    uint8_t *reply = drive->board->reply;
    uint32_t length = 36;

    if (packet[1] & 1) {
        length = product_data(drive, packet[2]);
    } else if (packet[2]) {
        length = 0;
    } else {
        reply[0] = CD_DVD_DEVICE;
        reply[1] = REMOVABLE;
        reply[2] = VERSION_SPC_3;
        reply[3] = FORMAT_SPC;
        reply[4] = (uint8_t)(length - 5);
        put_names(drive, reply + 8);
        put_text(reply + 32, 4, drive->config.firmware, strlen(drive->config.firmware));
    }
    if (length)
        atapi_reply(drive, length, atapi_get16(packet + 3));
    else
        atapi_invalid_field(drive);
}

/* ---- GET CONFIGURATION, features of MMC-5 ---- */

#define PROFILE_CD_ROM  0x0008u
#define PROFILE_DVD_ROM 0x0010u

#define PERSISTENT 0x02
#define CURRENT    0x01

/* One function a feature: the version, the persistent bit and its data, in ascending order.
 * `current` for those that depend on the medium. */
struct feature {
    uint16_t code;
    uint8_t version, flags; /* PERSISTENT */
    bool (*current)(const struct ata_drive *drive);
    uint8_t length;
    uint8_t data[8];
};

static bool is_cd(const struct ata_drive *drive)
{
    return atapi_has_medium(drive) && !atapi_is_dvd(drive);
}

static bool is_dvd(const struct ata_drive *drive)
{
    return atapi_has_medium(drive) && atapi_is_dvd(drive);
}

static const struct feature features[] = {
    /* Profile list: DVD-ROM and CD-ROM; their current bits are put in. */
    {0x0000, 0, PERSISTENT, NULL, 8, {0x00, 0x10, 0, 0, 0x00, 0x08, 0, 0}},
    /* Core: ATAPI; INQUIRY's second page and device busy events are not offered. */
    {0x0001, 0, PERSISTENT, NULL, 4, {0, 0, 0, 2}},
    /* Morphing: polled events; no operational change requests. */
    {0x0002, 0, PERSISTENT, NULL, 4, {0}},
    /* Removable medium: a tray, with eject and lock. */
    {0x0003, 0, PERSISTENT, NULL, 4, {0x29, 0, 0, 0}},
    /* Random readable: blocks of 2048 bytes, 16 at a time as a DVD's ECC has them. */
    {0x0010, 0, 0, atapi_has_medium, 8, {0, 0, 0x08, 0, 0, 0x10, 0, 0}},
    /* CD read: neither C2 errors nor CD-TEXT. */
    {0x001e, 2, 0, is_cd, 4, {0}},
    {0x001f, 0, 0, is_dvd, 0, {0}},        /* DVD read */
    {0x0100, 0, PERSISTENT, NULL, 0, {0}}, /* power management */
};

static bool is_current(const struct ata_drive *drive, const struct feature *feature)
{
    return !feature->current || feature->current(drive);
}

static uint32_t put_feature(const struct ata_drive *drive, const struct feature *feature,
                            uint8_t *at)
{
    atapi_put16(at, feature->code);
    at[2] = (uint8_t)(feature->version << 2 | feature->flags |
                      (is_current(drive, feature) ? CURRENT : 0));
    at[3] = feature->length;
    memcpy(at + 4, feature->data, feature->length);
    if (!feature->code) {
        at[4 + 2] = is_dvd(drive);
        at[4 + 6] = is_cd(drive);
    }
    return 4u + feature->length;
}

/* Which are wanted: all from a code on, of these the current ones, or just the one. */
enum { RT_ALL, RT_CURRENT, RT_ONE };

void atapi_get_configuration(struct ata_drive *drive, const uint8_t *packet)
{
    unsigned wanted = packet[1] & 3;
    uint32_t from = atapi_get16(packet + 2), length = 8;
    uint8_t *reply = drive->board->reply;

    if (wanted > RT_ONE) {
        atapi_invalid_field(drive);
        return;
    }
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        const struct feature *feature = &features[i];
        if (feature->code < from || (wanted == RT_ONE && feature->code != from) ||
            (wanted == RT_CURRENT && !is_current(drive, feature)))
            continue;
        length += put_feature(drive, feature, reply + length);
    }
    atapi_put32(reply, length - 4);
    atapi_put16(reply + 6, is_dvd(drive) ? PROFILE_DVD_ROM : is_cd(drive) ? PROFILE_CD_ROM : 0);
    atapi_reply(drive, length, atapi_get16(packet + 7));
}
