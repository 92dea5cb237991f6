// SPDX-License-Identifier: GPL-2.0-or-later
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/backend/nbd.h"

#define INIT_MAGIC   UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define OPTION_MAGIC UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define ANSWER_MAGIC UINT64_C(0x0003e889045565a9)

/* "Handshake flags" and "Client flags" are the same bits. */
#define FLAG_FIXED_NEWSTYLE 1u
#define FLAG_NO_ZEROES      2u

#define OPT_GO          7u
#define REP_ACK         1u
#define REP_INFO        3u
#define REP_IS_ERROR    0x80000000u
#define INFO_EXPORT     0u
#define INFO_BLOCK_SIZE 3u

#define GREETING_BYTES 18u
#define ANSWER_BYTES   20u

/* Of all that there are (blocks, export, acknowledgement) and what a program may have besides. */
#define ANSWERS_MAX 16u

enum step { GREETING, ANSWERS };

static uint16_t be16(const uint8_t *bytes)
{
    uint16_t value;

    memcpy(&value, bytes, sizeof(value));
    return be16toh(value);
}

static uint32_t be32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof(value));
    return be32toh(value);
}

static uint64_t be64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return be64toh(value);
}

static int fail(struct nbd_hello *hello, int err, const char *why)
{
    hello->why = why;
    return err;
}

static uint8_t *put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    return at + bytes;
}

/* Fits any socket's buffer, so it is not sent in parts. */
static int say(struct nbd_hello *hello, int fd)
{
    uint8_t text[64], *at = text;

    at = put(at, FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 4);
    at = put(at, OPTION_MAGIC, 8);
    at = put(at, OPT_GO, 4);
    at = put(at, 4 + 2 + 2, 4); /* bytes that follow */
    at = put(at, 0, 4);         /* of the name */
    at = put(at, 1, 2);         /* wishes */
    at = put(at, INFO_BLOCK_SIZE, 2);
    if (send(fd, text, (size_t)(at - text), MSG_DONTWAIT | MSG_NOSIGNAL) != at - text)
        return fail(hello, -EPIPE, "it has hung up");
    return 0;
}

static int take_greeting(struct nbd_hello *hello, int fd)
{
    const unsigned wanted = FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES;

    if (be64(hello->bytes) != INIT_MAGIC || be64(hello->bytes + 8) != OPTION_MAGIC ||
        (be16(hello->bytes + 16) & wanted) != wanted)
        return fail(hello, -EPROTO, "it does not speak NBD's fixed newstyle");
    hello->step = ANSWERS;
    return say(hello, fd);
}

static int take_info(struct nbd_hello *hello, const uint8_t *info, uint32_t length)
{
    struct nbd_export *export = &hello->export;
    uint32_t least, preferred, most;

    if (length < 2)
        return fail(hello, -EPROTO, "it says nothing of the image");
    if (be16(info) == INFO_EXPORT && length == 12) {
        export->bytes = be64(info + 2);
        export->flags = be16(info + 10);
        export->read_only = export->flags & NBD_READ_ONLY;
        hello->has_export = true;
    } else if (be16(info) == INFO_BLOCK_SIZE && length == 14) {
        least = be32(info + 2);
        preferred = be32(info + 6);
        most = be32(info + 10);
        if (!least || least > BLK_SECTOR || most < BLK_MAX_BYTES)
            return fail(hello, -EINVAL, "its blocks are larger than a sector of 512 bytes");
        /* A power of two by the protocol ("Block size constraints"); else we know of none. */
        if (preferred >= BLK_SECTOR && !(preferred & (preferred - 1)))
            export->physical_block = preferred;
    }
    return 0;
}

static int end(struct nbd_hello *hello)
{
    if (!hello->has_export || !(hello->export.flags & NBD_HAS_FLAGS))
        return fail(hello, -EPROTO, "it does not say what the image is");
    if (hello->export.bytes < BLK_SECTOR || hello->export.bytes > INT64_MAX)
        return fail(hello, -EINVAL, "the image has not one whole sector");
    if (hello->export.physical_block < BLK_SECTOR)
        hello->export.physical_block = BLK_SECTOR;
    return 0;
}

/* 0: the last; -EAGAIN: there are more. */
static int take_answer(struct nbd_hello *hello, uint32_t length)
{
    uint32_t type = be32(hello->bytes + 12);
    int err = 0;

    if (be64(hello->bytes) != ANSWER_MAGIC || be32(hello->bytes + 8) != OPT_GO ||
        ++hello->answers > ANSWERS_MAX)
        return fail(hello, -EPROTO, "its answer is none of NBD's");
    if (type & REP_IS_ERROR)
        return fail(hello, -ENOENT, "it refuses");
    if (type == REP_ACK)
        return end(hello);
    if (type == REP_INFO)
        err = take_info(hello, hello->bytes + ANSWER_BYTES, length);
    return err ? err : -EAGAIN;
}

/* How many bytes the present message has, as far as that is known. */
static uint64_t expected(const struct nbd_hello *hello)
{
    if (hello->step == GREETING)
        return GREETING_BYTES;
    return hello->have < ANSWER_BYTES ? ANSWER_BYTES
                                      : ANSWER_BYTES + (uint64_t)be32(hello->bytes + 16);
}

/* 0: the message is whole. No more than that is read: what follows may not be ours. */
static int receive(struct nbd_hello *hello, int fd)
{
    while (hello->have < expected(hello)) {
        ssize_t n;

        if (expected(hello) > NBD_HELLO_BYTES)
            return fail(hello, -EPROTO, "its answer is too long");
        n = recv(fd, hello->bytes + hello->have, (size_t)expected(hello) - hello->have,
                 MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return -EAGAIN;
        if (n <= 0)
            return fail(hello, n ? -errno : -EPIPE, "it has hung up");
        hello->have += (uint32_t)n;
    }
    return 0;
}

int nbd_hello_step(struct nbd_hello *hello, int fd)
{
    int err = receive(hello, fd);

    while (!err) {
        uint32_t length = hello->have;

        hello->have = 0;
        if (hello->step == GREETING) {
            err = take_greeting(hello, fd);
        } else {
            err = take_answer(hello, length - ANSWER_BYTES);
            if (err != -EAGAIN)
                return err;
            err = 0;
        }
        if (!err)
            err = receive(hello, fd);
    }
    return err;
}
