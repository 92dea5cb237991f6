/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that serves an image and says whatever it likes, against the backend that believed it.
 *
 * Input: a byte that chooses the beginning or what follows; then what the program says, or actions
 * of both. Invariants, beside what the sanitizers see:
 *  - the beginning ends in an image of whole sectors, or with a reason
 *  - each request is done once, a read that succeeded after as many bytes as it has
 *  - when the program is gone all requests come back, and no page and no image stays
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/backend/nbd.h"
#include "devices/backend/pool.h"
#include "tests/fuzz/script.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/nbd_program.h"

#define MAX_ACTIONS 200u
#define COOKIES     64u
#define PAGES       256u
#define SECTORS     4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct fake_loop *loop;
    struct pool *pool;
    struct blk *blk;
    int server; /* -1: gone */
    unsigned submitted, done;
    bool closed;
    uint8_t heard[64 << 10];
    uint64_t cookie[COOKIES];
    unsigned cookies;
};

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct fuzz *fuzz = owner;

    fuzz->done++;
    assert(fuzz->done <= fuzz->submitted);
    assert(error || blk_req_good(req) == blk_req_bytes(req));
    blk_put(req);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static const struct blk_client_ops client = {.done = on_done};

static void settle(struct fuzz *fuzz)
{
    assert(fake_loop_settle(fuzz->loop, 0, 100000) < 100000);
}

static void say(struct fuzz *fuzz, const void *bytes, size_t count)
{
    if (fuzz->server >= 0)
        (void)!send(fuzz->server, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void submit(struct fuzz *fuzz, struct script *script)
{
    enum blk_op op = take(script) % 4;
    uint32_t bytes = op == BLK_FLUSH ? 0 : (1u + take(script)) * BLK_SECTOR;
    struct blk_req *req;

    if (!fuzz->blk || blk_get(fuzz->blk, op, take16(script) % SECTORS, bytes, 0, &req))
        return;
    if (op == BLK_WRITE && take(script) & 1)
        blk_set_fua(req);
    fuzz->submitted++;
    blk_submit(req);
}

/* Cookies are where requests begin, as long as the program looks at all of them; after that they
 * are bytes like any other. */
static void hear(struct fuzz *fuzz)
{
    ssize_t n =
        fuzz->server < 0 ? 0 : recv(fuzz->server, fuzz->heard, sizeof(fuzz->heard), MSG_DONTWAIT);

    for (ssize_t at = 0; at + 28 <= n; at++) {
        uint32_t magic;

        memcpy(&magic, fuzz->heard + at, 4);
        if (be32toh(magic) != 0x25609513)
            continue;
        memcpy(&fuzz->cookie[fuzz->cookies++ % COOKIES], fuzz->heard + at + 8, 8);
    }
}

static void answer(struct fuzz *fuzz, struct script *script)
{
    static const uint8_t zeroes[BLK_MAX_BYTES];
    uint8_t reply[16], error = take(script);
    uint32_t magic = htobe32(0x67446698), value = htobe32(error < 128 ? 0 : error);
    uint32_t more = take16(script);

    memcpy(reply, &magic, 4);
    memcpy(reply + 4, &value, 4);
    memcpy(reply + 8, &fuzz->cookie[take(script) % COOKIES], 8);
    say(fuzz, reply, sizeof(reply));
    say(fuzz, zeroes, more * 8u % sizeof(zeroes));
}

static void act(struct fuzz *fuzz, struct script *script)
{
    uint8_t byte;

    switch (take(script) % 16) {
    default:
        submit(fuzz, script);
        break;
    case 6:
    case 7:
    case 8:
        hear(fuzz);
        break;
    case 9:
    case 10:
    case 11:
        answer(fuzz, script);
        break;
    case 12:
    case 13:
        settle(fuzz);
        break;
    case 14:
        byte = take(script);
        say(fuzz, &byte, 1);
        break;
    case 15:
        byte = take(script);
        if (byte < 16 && fuzz->server >= 0) {
            close(fuzz->server);
            fuzz->server = -1;
        } else if (byte > 240 && fuzz->blk) {
            blk_close(fuzz->blk, on_closed, &fuzz->closed);
            fuzz->blk = NULL;
        }
        break;
    }
}

static void transmission(struct script *script)
{
    uint8_t text[256], *at = nbd_put_greeting(text, 3);
    uint16_t flags = (uint16_t)((NBD_HAS_FLAGS | take(script)) & ~NBD_READ_ONLY);
    static struct fuzz fuzz;
    struct nbd_handle *handle;
    struct nbd_export export;
    struct blk_image *image;
    int pair[2];

    fuzz = (struct fuzz){.loop = fake_loop_create()};
    assert(!pool_create(PAGES, &fuzz.pool));
    at = nbd_put_answer(nbd_put_export(at, SECTORS * BLK_SECTOR, flags), 1, 0);
    handle = nbd_program_hello(pair, text, (size_t)(at - text), &export);
    fuzz.server = pair[1];
    export.write_through = take(script) & 1;
    assert(!nbd_image_open(handle, &export, &(struct nbd_owner){0}, fake_loop(fuzz.loop), fuzz.pool,
                           &image));
    assert(!blk_open(image, 16, &fuzz.blk));
    blk_bind(fuzz.blk, &client, &fuzz);
    for (unsigned i = 0; i < MAX_ACTIONS && script->size; i++)
        act(&fuzz, script);
    if (fuzz.server >= 0)
        close(fuzz.server);
    settle(&fuzz);
    if (fuzz.blk) {
        assert(fuzz.done == fuzz.submitted);
        blk_close(fuzz.blk, on_closed, &fuzz.closed);
    }
    settle(&fuzz);
    assert(fuzz.closed);
    assert(pool_stats(fuzz.pool)->free == PAGES);
    pool_destroy(fuzz.pool);
    fake_loop_destroy(fuzz.loop);
}

static void beginning(struct script *script)
{
    struct nbd_handle *handle = NULL;
    struct nbd_export export;
    char why[NBD_WHY_SIZE] = "";
    int pair[2], err;

    assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    /* What all of them say: it is hard to guess. */
    if (take(script) & 1)
        assert(send(pair[1], "NBDMAGICIHAVEOPT\0\3", 18, MSG_NOSIGNAL) == 18);
    while (script->size) {
        static const uint8_t head[12] = {0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9, 0, 0, 0, 7};
        size_t n = take(script);

        if (n & 128)
            (void)!send(pair[1], head, sizeof(head), MSG_DONTWAIT | MSG_NOSIGNAL);
        n = n % 64 < script->size ? n % 64 : script->size;
        (void)!send(pair[1], script->data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        script->data += n;
        script->size -= n;
    }
    shutdown(pair[1], SHUT_WR);
    err = nbd_image_hello(pair[0], &handle, &export, why);
    assert(err ? !handle && *why : export.bytes >= BLK_SECTOR);
    assert(err || (export.physical_block >= BLK_SECTOR &&
                   !(export.physical_block & (export.physical_block - 1))));
    nbd_image_discard(handle);
    close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {data, size};

    if (take(&script) & 1)
        beginning(&script);
    else
        transmission(&script);
    return 0;
}
