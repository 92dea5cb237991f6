// SPDX-License-Identifier: GPL-2.0-or-later
/* What a program that serves an image says before it is asked for anything of it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/nbd.h"
#include "tests/unit/nbd_program.h"

/* What becomes of a program that says so and hangs up. */
static int refused(const uint8_t *text, size_t bytes)
{
    struct nbd_handle *handle = NULL;
    struct nbd_export export;
    char why[NBD_WHY_SIZE] = "";
    int pair[2], err;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(send(pair[1], text, bytes, MSG_NOSIGNAL), bytes);
    shutdown(pair[1], SHUT_WR);
    err = nbd_image_hello(pair[0], &handle, &export, why);
    close(pair[1]);
    assert_int_not_equal(*why, 0);
    assert_null(handle);
    return err;
}

static void a_program_says_what_it_has(void **state)
{
    uint8_t text[256], *at = nbd_put_greeting(text, 3);
    struct nbd_export export;
    int pair[2];

    at =
        nbd_put(nbd_put(nbd_put_answer(at, 3, 7), 1, 2), 0, 5); /* a name, which nobody asked for */
    at = nbd_put_export(at, 10 << 20, NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_READ_ONLY);
    at = nbd_put_blocks(at, 1, 65536, 32 << 20);
    at = nbd_put_answer(at, 1, 0);
    nbd_image_discard(nbd_program_hello(pair, text, (size_t)(at - text), &export));
    close(pair[1]);
    assert_int_equal(export.bytes, 10 << 20);
    assert_int_equal(export.physical_block, 65536);
    assert_true(export.read_only);
    assert_false(export.discard);
    assert_false(export.write_through);
}

static void a_program_that_says_otherwise_is_left(void **state)
{
    uint8_t text[2048], *begin = nbd_put_greeting(text, 3), *at;

#define ERR(end) refused(text, (size_t)((end)-text))
    assert_int_equal(ERR(text), -EPROTO);
    assert_int_equal(ERR(begin), -EPROTO);
    assert_int_equal(ERR(nbd_put_answer(begin, 0x80000006, 0)), -EPROTO);
    assert_int_equal(ERR(nbd_put_answer(begin, 1, 0)), -EINVAL); /* nothing of the image */
    at = nbd_put_export(begin, 511, 1);
    assert_int_equal(ERR(nbd_put_answer(at, 1, 0)), -EINVAL);
    at = nbd_put_export(begin, UINT64_MAX, 1);
    assert_int_equal(ERR(nbd_put_answer(at, 1, 0)), -EINVAL);
    for (unsigned i = 0; i < 2; i++) {
        at = nbd_put_export(begin, 1 << 20, 1);
        at = i ? nbd_put_blocks(at, 512, 4096, 4096) : nbd_put_blocks(at, 4096, 4096, 1 << 20);
        assert_int_equal(ERR(nbd_put_answer(at, 1, 0)), -EINVAL);
    }
    assert_int_equal(ERR(nbd_put_answer(begin, 3, 0)), -EPROTO);
    assert_int_equal(ERR(nbd_put_answer(begin, 3, 2000)), -EPROTO);
    assert_int_equal(ERR(nbd_put_answer(begin, 3, UINT32_MAX)), -EPROTO);
    assert_int_equal(ERR(nbd_put_answer(begin, 3, UINT32_MAX - 19)), -EPROTO);
    nbd_put(begin, 1, 8);
    assert_int_equal(ERR(begin + 20), -EPROTO);
    memset(text, 0, 18);
    assert_int_equal(ERR(begin), -EPROTO);
#undef ERR
}

/* No flags can be set for what is open by its path only. */
static void a_descriptor_that_cannot_be_used_is_closed(void **state)
{
    struct nbd_handle *handle = NULL;
    struct nbd_export export;
    char why[NBD_WHY_SIZE] = "";
    int fd = open("/", O_PATH | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(nbd_image_hello(fd, &handle, &export, why), -EPROTO);
    assert_null(handle);
    assert_int_not_equal(*why, 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void a_preferred_block_that_is_none_is_a_sector(void **state)
{
    uint8_t text[256], *at = nbd_put_greeting(text, 3);
    struct nbd_export export;
    int pair[2];

    at = nbd_put_blocks(at, 1, 3000, 32 << 20);
    at = nbd_put_export(at, 1 << 20, 1);
    at = nbd_put_answer(at, 1, 0);
    nbd_image_discard(nbd_program_hello(pair, text, (size_t)(at - text), &export));
    close(pair[1]);
    assert_int_equal(export.physical_block, 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_says_what_it_has),
        cmocka_unit_test(a_program_that_says_otherwise_is_left),
        cmocka_unit_test(a_descriptor_that_cannot_be_used_is_closed),
        cmocka_unit_test(a_preferred_block_that_is_none_is_a_sector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
