// SPDX-License-Identifier: GPL-2.0-or-later
/* Images that a program serves: the program's part is played here, byte by byte. */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/nbd.h"
#include "devices/backend/pool.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/nbd_program.h"

#define PAGES   256u
#define SECTORS 4096u

struct asked {
    uint32_t magic;
    uint16_t flags, command;
    uint64_t cookie, offset;
    uint32_t length;
};

struct rig {
    struct fake_loop *loop;
    struct pool *pool;
    struct blk *blk;
    int server;
    unsigned dones;
    int error[64]; /* by token */
    struct blk_req *req[64];
    unsigned losses;
    const char *why;
    bool closed;
    bool close_when_done;
};

/* ---- the device and the loop ------------------------------------------------------------------*/

static void on_closed(void *arg)
{
    ((struct rig *)arg)->closed = true;
}

static void on_done(void *owner, struct blk_req *req, int error)
{
    struct rig *rig = owner;
    uint64_t token = blk_req_token(req);

    assert_true(token < 64);
    rig->dones++;
    rig->error[token] = error;
    if (rig->close_when_done) {
        blk_close(rig->blk, on_closed, rig);
        rig->blk = NULL;
        return;
    }
    rig->req[token] = req;
}

static void on_lost(void *ctx, const char *why)
{
    struct rig *rig = ctx;

    rig->losses++;
    rig->why = why;
}

static const struct blk_client_ops client = {.done = on_done};

static int setup_with(void **state, uint16_t flags, bool write_through)
{
    uint8_t text[256], *at = nbd_put_greeting(text, 3);
    struct nbd_export export;
    struct rig *rig = calloc(1, sizeof(*rig));
    struct nbd_owner owner = {.lost = on_lost, .ctx = rig};
    struct blk_image *image;
    struct nbd_handle *handle;
    int pair[2];

    assert_non_null(rig);
    rig->loop = fake_loop_create();
    assert_int_equal(pool_create(PAGES, &rig->pool), 0);
    at = nbd_put_export(at, SECTORS * BLK_SECTOR, flags | NBD_HAS_FLAGS);
    at = nbd_put_answer(nbd_put_blocks(at, 1, 4096, 32 << 20), 1, 0);
    handle = nbd_program_hello(pair, text, (size_t)(at - text), &export);
    rig->server = pair[1];
    export.write_through = write_through;
    assert_int_equal(
        nbd_image_open(handle, &export, &owner, fake_loop(rig->loop), rig->pool, &image), 0);
    assert_int_equal(blk_open(image, 32, &rig->blk), 0);
    blk_bind(rig->blk, &client, rig);
    *state = rig;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_TRIM, false);
}

static int setup_plain(void **state)
{
    return setup_with(state, NBD_ROTATIONAL, false);
}

static int setup_no_fua(void **state)
{
    return setup_with(state, NBD_SEND_FLUSH, false);
}

static int setup_write_through(void **state)
{
    return setup_with(state, NBD_SEND_FLUSH | NBD_SEND_FUA, true);
}

static void settle(struct rig *rig)
{
    assert_true(fake_loop_settle(rig->loop, 0, 10000) < 10000);
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    if (rig->blk) {
        for (unsigned i = 0; i < 64; i++)
            if (rig->req[i])
                blk_put(rig->req[i]);
        blk_close(rig->blk, on_closed, rig);
    }
    if (rig->server >= 0)
        close(rig->server);
    settle(rig);
    assert_true(rig->closed);
    assert_int_equal(pool_stats(rig->pool)->free, PAGES);
    pool_destroy(rig->pool);
    fake_loop_destroy(rig->loop);
    free(rig);
    return 0;
}

static struct blk_req *get(struct rig *rig, enum blk_op op, uint64_t sector, uint32_t bytes,
                           uint64_t token)
{
    struct blk_req *req;

    assert_int_equal(blk_get(rig->blk, op, sector, bytes, token, &req), 0);
    return req;
}

static void submit(struct rig *rig, enum blk_op op, uint64_t sector, uint32_t bytes, uint64_t token)
{
    blk_submit(get(rig, op, sector, bytes, token));
    assert_int_equal(rig->req[token], 0); /* never inline */
    settle(rig);
}

static uint8_t byte_at(uint32_t i)
{
    return (uint8_t)(i * 31 + i / 4096 * 7 + 1);
}

static void submit_write(struct rig *rig, uint64_t sector, uint32_t bytes, uint64_t token, bool fua)
{
    struct blk_req *req = get(rig, BLK_WRITE, sector, bytes, token);
    uint8_t data[BLK_MAX_BYTES];

    for (uint32_t i = 0; i < bytes; i++)
        data[i] = byte_at(i);
    blk_copy_in(req, 0, data, bytes);
    if (fua)
        blk_set_fua(req);
    blk_submit(req);
    settle(rig);
}

/* ---- the program ------------------------------------------------------------------------------*/

static void hear(struct rig *rig, void *into, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t n = recv(rig->server, (uint8_t *)into + at, bytes - at, MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            settle(rig);
            n = recv(rig->server, (uint8_t *)into + at, bytes - at, MSG_DONTWAIT);
        }
        assert_true(n > 0);
        at += (size_t)n;
    }
}

static bool is_silent(struct rig *rig)
{
    uint8_t byte;

    settle(rig);
    return recv(rig->server, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static struct asked asked(struct rig *rig)
{
    uint8_t bytes[28];
    struct asked asked;

    hear(rig, bytes, sizeof(bytes));
    memcpy(&asked.magic, bytes, 4);
    memcpy(&asked.flags, bytes + 4, 2);
    memcpy(&asked.command, bytes + 6, 2);
    memcpy(&asked.cookie, bytes + 8, 8);
    memcpy(&asked.offset, bytes + 16, 8);
    memcpy(&asked.length, bytes + 24, 4);
    assert_int_equal(be32toh(asked.magic), 0x25609513);
    asked.flags = be16toh(asked.flags);
    asked.command = be16toh(asked.command);
    asked.offset = be64toh(asked.offset);
    asked.length = be32toh(asked.length);
    return asked;
}

static struct asked expect(struct rig *rig, uint16_t command, uint16_t flags, uint64_t offset,
                           uint32_t length)
{
    struct asked it = asked(rig);

    assert_int_equal(it.command, command);
    assert_int_equal(it.flags, flags);
    assert_int_equal(it.offset, offset);
    assert_int_equal(it.length, length);
    return it;
}

static void say(struct rig *rig, const void *bytes, size_t count)
{
    assert_int_equal(send(rig->server, bytes, count, MSG_NOSIGNAL), count);
}

static void answer(struct rig *rig, uint64_t cookie, uint32_t error)
{
    uint8_t reply[16];
    uint32_t magic = htobe32(0x67446698);

    error = htobe32(error);
    memcpy(reply, &magic, 4);
    memcpy(reply + 4, &error, 4);
    memcpy(reply + 8, &cookie, 8);
    say(rig, reply, sizeof(reply));
}

/* ---- requests ---------------------------------------------------------------------------------*/

static void a_read_gets_what_is_sent_in_any_pieces(void **state)
{
    struct rig *rig = *state;
    uint8_t data[12288], got[12288];
    struct asked it;

    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = byte_at(i);
    submit(rig, BLK_READ, 3, sizeof(data), 1);
    it = expect(rig, 0, 0, 3 * 512, sizeof(data));
    answer(rig, it.cookie, 0);
    settle(rig);
    for (uint32_t at = 0; at < sizeof(data); at += 1024) {
        assert_int_equal(rig->dones, 0);
        say(rig, data + at, 1024);
        settle(rig);
    }
    assert_int_equal(rig->dones, 1);
    assert_int_equal(rig->error[1], 0);
    blk_copy_out(rig->req[1], 0, got, sizeof(got));
    assert_memory_equal(got, data, sizeof(data));
}

static void a_reply_may_come_byte_by_byte(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[16];
    uint32_t magic = htobe32(0x67446698);
    struct asked it;

    submit_write(rig, 0, 512, 1, false);
    it = expect(rig, 1, 0, 0, 512);
    hear(rig, (uint8_t[512]){0}, 512);
    memset(reply, 0, sizeof(reply));
    memcpy(reply, &magic, 4);
    memcpy(reply + 8, &it.cookie, 8);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(rig->dones, 0);
        say(rig, reply + i, 1);
        settle(rig);
    }
    assert_int_equal(rig->dones, 1);
}

/* More than the socket holds at a time. */
static void writes_go_out_whole_and_in_order(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[BLK_MAX_BYTES];

    for (unsigned i = 0; i < 8; i++)
        submit_write(rig, i * 256, BLK_MAX_BYTES, i, false);
    for (unsigned i = 0; i < 8; i++) {
        struct asked it = expect(rig, 1, 0, i * BLK_MAX_BYTES, BLK_MAX_BYTES);

        hear(rig, data, sizeof(data));
        for (uint32_t j = 0; j < sizeof(data); j++)
            if (data[j] != byte_at(j))
                fail_msg("byte %u of write %u", j, i);
        answer(rig, it.cookie, 0);
    }
    settle(rig);
    assert_int_equal(rig->dones, 8);
    assert_true(is_silent(rig));
}

static void answers_may_come_in_any_order(void **state)
{
    struct rig *rig = *state;
    uint64_t cookie[8];
    uint8_t data[512], got[512];

    for (unsigned i = 0; i < 8; i++) {
        submit(rig, BLK_READ, i, 512, i);
        cookie[i] = expect(rig, 0, 0, i * 512, 512).cookie;
    }
    for (unsigned i = 8; i--;) {
        memset(data, (int)i, sizeof(data));
        answer(rig, cookie[i], 0);
        say(rig, data, sizeof(data));
        settle(rig);
        assert_int_equal(rig->dones, 8 - i);
        blk_copy_out(rig->req[i], 0, got, sizeof(got));
        assert_memory_equal(got, data, sizeof(data));
    }
}

/* The pool gives the pages of the one before. */
static void a_request_like_the_last_is_one_command_as_well(void **state)
{
    static const uint8_t data[BLK_MAX_BYTES];
    struct rig *rig = *state;

    for (unsigned i = 0; i < 5; i++) {
        submit(rig, BLK_READ, 0, BLK_MAX_BYTES, 1);
        answer(rig, expect(rig, 0, 0, 0, BLK_MAX_BYTES).cookie, 0);
        for (uint32_t at = 0; at < BLK_MAX_BYTES; at += 4096) {
            say(rig, data + at, 4096);
            settle(rig);
        }
        assert_int_equal(rig->dones, i + 1);
        blk_put(rig->req[1]);
        rig->req[1] = NULL;
    }
}

/* So that the next request of two pages has some that lie apart. */
static void scatter(struct rig *rig)
{
    static const unsigned order[] = {0, 2};

    for (unsigned i = 0; i < 3; i++) {
        submit(rig, BLK_READ, i, 512, i);
        answer(rig, expect(rig, 0, 0, i * 512, 512).cookie, 0);
        say(rig, (uint8_t[512]){0}, 512);
        settle(rig);
    }
    for (unsigned i = 0; i < 2; i++) {
        blk_put(rig->req[order[i]]);
        rig->req[order[i]] = NULL;
    }
    rig->dones = 0;
}

static void pages_that_lie_apart_are_read_by_a_command_each(void **state)
{
    struct rig *rig = *state;
    uint8_t data[8192], got[8192];
    struct asked it[2];

    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = byte_at(i);
    scatter(rig);
    submit(rig, BLK_READ, 8, sizeof(data), 8);
    for (unsigned i = 0; i < 2; i++)
        it[i] = expect(rig, 0, 0, 4096 + i * 4096, 4096);
    for (unsigned i = 2; i--;) {
        assert_int_equal(rig->dones, 0);
        answer(rig, it[i].cookie, 0);
        say(rig, data + i * 4096, 4096);
        settle(rig);
    }
    assert_int_equal(rig->dones, 1);
    assert_int_equal(rig->error[8], 0);
    blk_copy_out(rig->req[8], 0, got, sizeof(got));
    assert_memory_equal(got, data, sizeof(data));
}

static void a_request_of_several_commands_fails_by_any_of_them(void **state)
{
    struct rig *rig = *state;
    uint8_t heard[4096];
    struct asked it[2];

    scatter(rig);
    submit_write(rig, 8, 8192, 8, true);
    for (unsigned i = 0; i < 2; i++) {
        it[i] = expect(rig, 1, 1, 4096 + i * 4096, 4096); /* each of them stable */
        hear(rig, heard, sizeof(heard));
        for (uint32_t at = 0; at < sizeof(heard); at++)
            assert_int_equal(heard[at], byte_at(i * 4096 + at));
    }
    answer(rig, it[0].cookie, 28);
    settle(rig);
    assert_int_equal(rig->dones, 0); /* its pages are the other one's still */
    answer(rig, it[1].cookie, 0);
    settle(rig);
    for (uint32_t half = 4096; half >= 512; half /= 2) { /* blk.c looks for the bad sector */
        assert_int_equal(rig->dones, 0);
        answer(rig, expect(rig, 1, 1, 4096, half).cookie, 28);
        hear(rig, heard, half);
        settle(rig);
    }
    assert_int_equal(rig->dones, 1);
    assert_int_equal(rig->error[8], -ENOSPC);
}

static void flushes_and_discards_are_asked_for(void **state)
{
    struct rig *rig = *state;

    assert_true(blk_info(rig->blk)->write_cache);
    assert_true(blk_info(rig->blk)->discard);
    submit(rig, BLK_FLUSH, 0, 0, 1);
    answer(rig, expect(rig, 3, 0, 0, 0).cookie, 0);
    submit(rig, BLK_DISCARD, 8, 1 << 20, 2);
    answer(rig, expect(rig, 4, 0, 8 * 512, 1 << 20).cookie, 0);
    submit_write(rig, 0, 512, 3, true);
    answer(rig, expect(rig, 1, 1, 0, 512).cookie, 0);
    hear(rig, (uint8_t[512]){0}, 512);
    settle(rig);
    assert_int_equal(rig->dones, 3);
}

static void where_there_is_no_fua_a_flush_follows(void **state)
{
    struct rig *rig = *state;

    submit_write(rig, 0, 512, 1, true);
    answer(rig, expect(rig, 1, 0, 0, 512).cookie, 0);
    hear(rig, (uint8_t[512]){0}, 512);
    settle(rig);
    assert_int_equal(rig->dones, 0);
    answer(rig, expect(rig, 3, 0, 0, 0).cookie, 0);
    settle(rig);
    assert_int_equal(rig->dones, 1);
    assert_int_equal(rig->error[1], 0);
    submit_write(rig, 0, 512, 2, true);
    answer(rig, expect(rig, 1, 0, 0, 512).cookie, 0);
    hear(rig, (uint8_t[512]){0}, 512);
    answer(rig, expect(rig, 3, 0, 0, 0).cookie, 5);
    settle(rig);
    assert_int_equal(rig->error[2], -EIO);
    submit_write(rig, 0, 512, 3, false);
    answer(rig, expect(rig, 1, 0, 0, 512).cookie, 0);
    hear(rig, (uint8_t[512]){0}, 512);
    settle(rig);
    assert_int_equal(rig->dones, 3);
}

static void writing_through_makes_each_write_stable(void **state)
{
    struct rig *rig = *state;

    assert_false(blk_info(rig->blk)->write_cache);
    submit_write(rig, 0, 512, 1, false);
    answer(rig, expect(rig, 1, 1, 0, 512).cookie, 0);
    hear(rig, (uint8_t[512]){0}, 512);
    settle(rig);
    assert_int_equal(rig->dones, 1);
}

static void what_the_program_does_not_have_is_not_asked_for(void **state)
{
    struct rig *rig = *state;
    struct blk_req *req;

    assert_false(blk_info(rig->blk)->write_cache);
    assert_false(blk_info(rig->blk)->discard);
    assert_false(blk_info(rig->blk)->solid_state);
    assert_int_equal(blk_get(rig->blk, BLK_DISCARD, 0, 512, 0, &req), -EOPNOTSUPP);
    blk_submit(get(rig, BLK_FLUSH, 0, 0, 1));
    assert_int_equal(rig->dones, 0);
    settle(rig);
    assert_int_equal(rig->dones, 1);
    assert_int_equal(rig->error[1], 0);
    assert_true(is_silent(rig));
}

static void no_room_is_told_as_that(void **state)
{
    struct rig *rig = *state;

    submit(rig, BLK_DISCARD, 0, 512, 1);
    answer(rig, expect(rig, 4, 0, 0, 512).cookie, 28);
    submit(rig, BLK_FLUSH, 0, 0, 2);
    answer(rig, expect(rig, 3, 0, 0, 0).cookie, 4711);
    settle(rig);
    assert_int_equal(rig->error[1], -ENOSPC);
    assert_int_equal(rig->error[2], -EIO);
}

/* ---- programs that end, and that lie ----------------------------------------------------------*/

static void assert_all_fail(struct rig *rig, unsigned requests)
{
    settle(rig);
    assert_int_equal(rig->dones, requests);
    for (unsigned i = 0; i < requests; i++)
        assert_int_equal(rig->error[i], -EIO);
    blk_submit(get(rig, BLK_READ, 0, 512, 60));
    assert_int_equal(rig->dones, requests);
    settle(rig);
    assert_int_equal(rig->error[60], -EIO);
}

static void a_program_that_ends_fails_all_that_is_under_way(void **state)
{
    struct rig *rig = *state;
    struct asked it;

    submit(rig, BLK_READ, 0, 4096, 0);
    submit(rig, BLK_FLUSH, 0, 0, 1);
    it = expect(rig, 0, 0, 0, 4096);
    answer(rig, it.cookie, 0);
    say(rig, (uint8_t[100]){0}, 100); /* in the middle of the data */
    settle(rig);
    blk_submit(get(rig, BLK_READ, 8, 512, 2)); /* not sent yet */
    close(rig->server);
    rig->server = -1;
    assert_all_fail(rig, 3);
}

static void a_program_that_ends_while_nothing_is_asked_is_told_of_once(void **state)
{
    struct rig *rig = *state;

    close(rig->server);
    rig->server = -1;
    settle(rig);
    assert_int_equal(rig->losses, 1);
    assert_string_equal(rig->why, "its program has hung up");
    submit(rig, BLK_READ, 0, 512, 0);
    assert_int_equal(rig->error[0], -EIO);
    assert_int_equal(rig->losses, 1);
}

static void a_program_that_talks_nonsense_is_hung_up_on(void **state)
{
    struct rig *rig = *state;
    uint8_t byte;

    submit(rig, BLK_READ, 0, 512, 0);
    expect(rig, 0, 0, 0, 512);
    say(rig, "HTTP/1.1 400 Bad", 16);
    assert_all_fail(rig, 1);
    assert_int_equal(rig->losses, 1);
    assert_non_null(strstr(rig->why, "no reply"));
    assert_int_equal(recv(rig->server, &byte, 1, MSG_DONTWAIT), 0); /* though it is not closed */
    assert_false(rig->closed);
}

static void a_reply_that_nobody_waits_for_ends_it(void **state)
{
    struct rig *rig = *state;

    submit(rig, BLK_READ, 0, 512, 0);
    answer(rig, expect(rig, 0, 0, 0, 512).cookie + 1, 0);
    assert_all_fail(rig, 1);
}

static void a_second_reply_to_the_same_request_ends_it(void **state)
{
    struct rig *rig = *state;
    uint64_t cookie;

    submit(rig, BLK_FLUSH, 0, 0, 0);
    cookie = expect(rig, 3, 0, 0, 0).cookie;
    answer(rig, cookie, 0);
    settle(rig);
    assert_int_equal(rig->dones, 1);
    answer(rig, cookie, 0);
    settle(rig);
    submit(rig, BLK_READ, 0, 512, 1);
    assert_int_equal(rig->error[1], -EIO);
}

static void what_is_no_reply_ends_it(void **state)
{
    struct rig *rig = *state;

    submit(rig, BLK_READ, 0, 512, 0);
    expect(rig, 0, 0, 0, 512);
    say(rig, "HTTP/1.1 400 Bad", 16);
    assert_all_fail(rig, 1);
}

static void a_disk_may_be_closed_when_its_last_request_is_done(void **state)
{
    struct rig *rig = *state;

    rig->close_when_done = true;
    submit(rig, BLK_FLUSH, 0, 0, 0);
    answer(rig, expect(rig, 3, 0, 0, 0).cookie, 0);
    settle(rig);
    assert_true(rig->closed);
    assert_int_equal(asked(rig).command, 2);
}

static void a_disk_may_be_closed_when_its_program_says_too_much(void **state)
{
    struct rig *rig = *state;

    rig->close_when_done = true;
    submit(rig, BLK_FLUSH, 0, 0, 0);
    answer(rig, expect(rig, 3, 0, 0, 0).cookie, 0);
    answer(rig, 4711, 0);
    settle(rig);
    assert_true(rig->closed);
    assert_int_equal(rig->error[0], 0);
}

static void a_disk_that_is_closed_waits_for_its_requests(void **state)
{
    struct rig *rig = *state;
    struct asked it;

    submit(rig, BLK_READ, 0, 512, 0);
    it = expect(rig, 0, 0, 0, 512);
    blk_close(rig->blk, on_closed, rig);
    rig->blk = NULL;
    settle(rig);
    assert_false(rig->closed);
    answer(rig, it.cookie, 0);
    say(rig, (uint8_t[512]){0}, 512);
    settle(rig);
    assert_true(rig->closed);
    assert_int_equal(rig->dones, 0);
}

#define WITH(name, start) cmocka_unit_test_setup_teardown(name, start, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_read_gets_what_is_sent_in_any_pieces, setup),
        WITH(a_reply_may_come_byte_by_byte, setup),
        WITH(writes_go_out_whole_and_in_order, setup),
        WITH(answers_may_come_in_any_order, setup),
        WITH(a_request_like_the_last_is_one_command_as_well, setup),
        WITH(pages_that_lie_apart_are_read_by_a_command_each, setup),
        WITH(a_request_of_several_commands_fails_by_any_of_them, setup),
        WITH(flushes_and_discards_are_asked_for, setup),
        WITH(where_there_is_no_fua_a_flush_follows, setup_no_fua),
        WITH(writing_through_makes_each_write_stable, setup_write_through),
        WITH(what_the_program_does_not_have_is_not_asked_for, setup_plain),
        WITH(no_room_is_told_as_that, setup),
        WITH(a_program_that_ends_fails_all_that_is_under_way, setup),
        WITH(a_program_that_ends_while_nothing_is_asked_is_told_of_once, setup),
        WITH(a_program_that_talks_nonsense_is_hung_up_on, setup),
        WITH(a_reply_that_nobody_waits_for_ends_it, setup),
        WITH(a_second_reply_to_the_same_request_ends_it, setup),
        WITH(what_is_no_reply_ends_it, setup),
        WITH(a_disk_may_be_closed_when_its_last_request_is_done, setup),
        WITH(a_disk_may_be_closed_when_its_program_says_too_much, setup),
        WITH(a_disk_that_is_closed_waits_for_its_requests, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
