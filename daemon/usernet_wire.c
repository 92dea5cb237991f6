/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said before there are frames. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "daemon/usernet.h"

void usernet_options(const struct nic_config *nic, struct net_user_options *ret_options)
{
    _Static_assert(CONFIG_FORWARDS == NET_USER_FORWARDS, "as many");
    *ret_options = (struct net_user_options){
        .restricted = nic->restricted,
        .n_forwards = nic->n_forwards,
        .tftp_root = nic->tftp,
        .bootfile = nic->bootfile,
    };
    for (unsigned i = 0; i < nic->n_forwards; i++)
        ret_options->forward[i] = (struct net_user_forward){
            .udp = nic->forward[i].protocol == FORWARD_UDP,
            .host_address = nic->forward[i].address,
            .host_port = (uint16_t)nic->forward[i].port,
            .guest_port = (uint16_t)nic->forward[i].guest_port,
        };
}

int usernet_read_first(const char *text, size_t length, struct nic_config *ret_nic, char *ret_why)
{
    struct config_error error = {"out of memory"};
    int err;

    if (length > USERNET_FIRST_MAX) {
        snprintf(ret_why, USERNET_WHY_SIZE, "the first message is longer than %u bytes",
                 USERNET_FIRST_MAX);
        return -EINVAL;
    }
    err = nic_config_user_parse(text, length, "(network)", ret_nic, &error);
    if (err)
        snprintf(ret_why, USERNET_WHY_SIZE, "%s", error.text);
    return err;
}

/* Whoever wrote it: a line of the log has control characters replaced; JSON and the journal want
 * UTF-8, which is not to be cut in two. */
static void copy_printable(const char *from, char *to, size_t size)
{
    snprintf(to, size, "%s", from);
    for (char *at = to; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

size_t usernet_write_answer(const char *why, char ret_text[USERNET_ANSWER_MAX])
{
    char printable[USERNET_WHY_SIZE];
    json_t *object;
    size_t length;

    if (why)
        copy_printable(why, printable, sizeof(printable));
    object = why ? json_pack("{s:s}", "error", printable) : json_pack("{s:b}", "ok", 1);
    length = object ? json_dumpb(object, ret_text, USERNET_ANSWER_MAX, JSON_COMPACT) : 0;
    json_decref(object);
    /* Without memory, or of nothing but quotes and backslashes, which take two bytes each. */
    if (!length || length > USERNET_ANSWER_MAX)
        length = (size_t)snprintf(ret_text, USERNET_ANSWER_MAX, "{\"error\":\"it has failed\"}");
    return length;
}

int usernet_read_answer(const char *text, size_t length, char *ret_why, size_t size)
{
    json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(object, "error"));
    int err = -EPROTO;

    if (json_object_size(object) == 1 && json_is_true(json_object_get(object, "ok"))) {
        err = 0;
    } else if (json_object_size(object) == 1 && error) {
        copy_printable(error, ret_why, size);
        err = -ECONNREFUSED;
    }
    json_decref(object);
    return err;
}
