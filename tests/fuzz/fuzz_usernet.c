/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What either end of a user network's connection is told before there are frames.
 *
 * Input: the bytes of a message, taken for each of both. Invariants, beside what sanitizers see:
 *  - a first message is a network within bounds, the same after a way to JSON and back, or is
 *    refused with a reason, and the answer with that is one
 *  - an answer is one, or none, or an error in printable words
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/usernet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_words(const char *text, size_t room)
{
    assert(strnlen(text, room) < room);
    for (const char *at = text; *at; at++)
        assert(*at >= ' ' && *at <= '~');
}

static void assert_answer(const char *why)
{
    char text[USERNET_ANSWER_MAX], said[USERNET_WHY_SIZE];
    size_t length = usernet_write_answer(why, text);

    assert(length && length <= sizeof(text));
    assert(usernet_read_answer(text, length, said, sizeof(said)) == -ECONNREFUSED);
    assert_words(said, sizeof(said));
}

static void assert_same(const struct nic_config *nic)
{
    char why[USERNET_WHY_SIZE], *text = nic_config_user_text(nic), *again_text;
    struct nic_config again;

    assert(text && strlen(text) <= USERNET_FIRST_MAX);
    assert(!usernet_read_first(text, strlen(text), &again, why));
    again_text = nic_config_user_text(&again);
    assert(again_text && !strcmp(text, again_text));
    free(again_text);
    free(text);
    nic_config_finish(&again);
}

static void try_first(const char *text, size_t size)
{
    char why[USERNET_WHY_SIZE] = "";
    struct net_user_options options;
    struct nic_config nic;

    if (usernet_read_first(text, size, &nic, why)) {
        assert(*why);
        assert_answer(why);
        return;
    }
    usernet_options(&nic, &options);
    assert(options.n_forwards <= NET_USER_FORWARDS);
    for (unsigned i = 0; i < options.n_forwards; i++)
        assert(options.forward[i].host_port && options.forward[i].guest_port);
    assert(!*options.tftp_root || options.tftp_root[0] == '/');
    assert(strlen(options.bootfile) < 128); /* of a DHCP message */
    assert_same(&nic);
    nic_config_finish(&nic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    char said[64] = "";
    int err = usernet_read_answer(text, size, said, sizeof(said));

    assert(!err || err == -EPROTO || err == -ECONNREFUSED);
    assert_words(said, sizeof(said));
    try_first(text, size);
    return 0;
}
