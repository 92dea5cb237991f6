/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's NICs: "nics" of its description. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/guest_config.h"

#define RATE_MAX (UINT64_C(1) << 40)

static const char *const model_names[] = {"e1000", "rtl8139", "ne2k_pci", NULL};
static const char *const backend_names[] = {"tap", "macvtap", "user", "socket", "null", NULL};
static const char *const mode_names[] = {"dgram", "listen", "connect", "vde", NULL};
static const char *const protocol_names[] = {"tcp", "udp", NULL};

static int read_mac(struct config_reader *reader, const json_t *value, void *into);
static int read_rom(struct config_reader *reader, const json_t *value, void *into);
static int read_forwards(struct config_reader *reader, const json_t *value, void *into);
static int read_address(struct config_reader *reader, const json_t *value, void *into);

#define NIC(name, member, kind, ...)                                                               \
    {                                                                                              \
        name, kind, offsetof(struct nic_config, member), __VA_ARGS__                               \
    }

/* What a user network is told. */
#define USER_KEYS                                                                                  \
    NIC("forward", forward, CONFIG_CUSTOM, 0, 0, NULL, read_forwards),                             \
        NIC("restricted", restricted, CONFIG_BOOL, 0, 0),                                          \
        NIC("tftp", tftp, CONFIG_PATH, 1, CONFIG_PATH_MAX),                                        \
        NIC("bootfile", bootfile, CONFIG_STRING, 1, 127) /* RFC 2131, 2: 128 bytes with its end */

static const struct config_key user_keys[] = {USER_KEYS};

static const struct config_table user_table = {
    "a user network",
    user_keys,
    sizeof(user_keys) / sizeof(user_keys[0]),
};

static const struct config_key nic_keys[] = {
    NIC("devid", devid, CONFIG_UNSIGNED, 0, CONFIG_NICS - 1),
    NIC("model", model, CONFIG_ENUM, 0, 0, model_names),
    NIC("mac", mac, CONFIG_CUSTOM, 0, 0, NULL, read_mac),
    NIC("backend", backend, CONFIG_ENUM, 0, 0, backend_names),
    NIC("ifname", ifname, CONFIG_TEXT, 1, sizeof(((struct nic_config *)0)->ifname) - 1),
    NIC("bridge", bridge, CONFIG_TEXT, 1, sizeof(((struct nic_config *)0)->bridge) - 1),
    NIC("mode", mode, CONFIG_ENUM, 0, 0, mode_names),
    NIC("path", path, CONFIG_PATH, 1, CONFIG_SOCKET_MAX),
    NIC("peer", peer, CONFIG_PATH, 1, CONFIG_SOCKET_MAX),
    USER_KEYS,
    NIC("rate", rate, CONFIG_SIZE, 0, RATE_MAX),
    NIC("rate_in", rate_in, CONFIG_SIZE, 0, RATE_MAX),
    NIC("link", link, CONFIG_BOOL, 0, 0),
    NIC("slot", slot, CONFIG_U8, 1, 31),
    NIC("rom", rom, CONFIG_CUSTOM, 0, 0, NULL, read_rom),
};

const struct config_table nic_config_table = {
    "a NIC",
    nic_keys,
    sizeof(nic_keys) / sizeof(nic_keys[0]),
};

#define FORWARD(name, member, kind, ...)                                                           \
    {                                                                                              \
        name, kind, offsetof(struct forward_config, member), __VA_ARGS__                           \
    }

static const struct config_key forward_keys[] = {
    FORWARD("protocol", protocol, CONFIG_ENUM, 0, 0, protocol_names),
    FORWARD("address", address, CONFIG_CUSTOM, 0, 0, NULL, read_address),
    FORWARD("port", port, CONFIG_UNSIGNED, 1, 65535),
    FORWARD("guest_port", guest_port, CONFIG_UNSIGNED, 1, 65535),
};

const struct config_table forward_config_table = {
    "a port that is forwarded",
    forward_keys,
    sizeof(forward_keys) / sizeof(forward_keys[0]),
};

/* Which of the keys belong to which backends: a bit each. */
#define OF(backend) (1u << (backend))
static const struct {
    const char *key;
    unsigned backends;
    const char *with;
} belongs[] = {
    {"ifname", OF(NIC_TAP) | OF(NIC_MACVTAP), "\"tap\" or \"macvtap\""},
    {"bridge", OF(NIC_TAP), "\"tap\""},
    {"mode", OF(NIC_SOCKET), "\"socket\""},
    {"path", OF(NIC_SOCKET), "\"socket\""},
    {"peer", OF(NIC_SOCKET), "\"socket\""},
    {"forward", OF(NIC_USER), "\"user\""},
    {"restricted", OF(NIC_USER), "\"user\""},
    {"tftp", OF(NIC_USER), "\"user\""},
    {"bootfile", OF(NIC_USER), "\"user\""},
};

const char *nic_config_model(const struct nic_config *nic)
{
    return model_names[nic->model];
}

const char *nic_config_backend(const struct nic_config *nic)
{
    return backend_names[nic->backend];
}

void nic_config_mac_text(const uint8_t mac[6], char ret_text[18])
{
    snprintf(ret_text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
}

/* FNV-1a over the guest's name and the NIC's number: the same each time it starts, on any host. */
void nic_config_mac(const struct nic_config *nic, const char *guest, uint8_t ret_mac[6])
{
    uint32_t hash = 2166136261u;

    if (nic->mac_set) {
        memcpy(ret_mac, nic->mac, sizeof(nic->mac));
        return;
    }
    for (const char *c = guest; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    hash = (hash ^ ('0' + nic->devid)) * 16777619u;
    hash ^= hash >> 24;
    memcpy(ret_mac, "\x00\x16\x3e", 3); /* Xen's */
    ret_mac[3] = (uint8_t)(hash >> 16 & 0x7f);
    ret_mac[4] = (uint8_t)(hash >> 8);
    ret_mac[5] = (uint8_t)hash;
}

static int fail_type(struct config_reader *reader, const char *expected, const json_t *value)
{
    return config_fail(reader, "%s is expected, not %s", expected, config_type_name(value));
}

static int read_mac(struct config_reader *reader, const json_t *value, void *into)
{
    struct nic_config *nic = into;
    const char *text = json_string_value(value);
    unsigned byte[6];
    int end = 0;

    if (!text)
        return fail_type(reader, "a string", value);
    if (strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
               &byte[5], &end) != 6 ||
        end != 17)
        return config_fail(reader, "six pairs of hexadecimal digits are expected, as in "
                                   "\"00:16:3e:01:02:03\"");
    if (byte[0] & 1)
        return config_fail(reader, "this is the address of a group, not of a NIC: the first byte "
                                   "must be even");
    for (unsigned i = 0; i < 6; i++)
        nic->mac[i] = (uint8_t)byte[i];
    nic->mac_set = true;
    return 0;
}

static int read_rom(struct config_reader *reader, const json_t *value, void *into)
{
    struct nic_config *nic = into;
    const char *text = json_string_value(value);
    char *copy;

    if (!text)
        return fail_type(reader, "a string", value);
    if (strcmp(text, "auto") != 0 && strcmp(text, "none") != 0 && text[0] != '/')
        return config_fail(reader,
                           "\"auto\", \"none\" or the absolute path of a ROM's image is expected");
    if (strlen(text) > CONFIG_PATH_MAX)
        return config_fail(reader, "longer than %d bytes", CONFIG_PATH_MAX);
    copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(nic->rom);
    nic->rom = copy;
    return 0;
}

static int read_address(struct config_reader *reader, const json_t *value, void *into)
{
    struct forward_config *forward = into;
    const char *text = json_string_value(value);
    struct in_addr address;

    if (!text)
        return fail_type(reader, "a string", value);
    if (inet_pton(AF_INET, text, &address) != 1)
        return config_fail(reader, "an IPv4 address is expected, as in \"127.0.0.1\"");
    forward->address = ntohl(address.s_addr);
    return 0;
}

static int read_forward(struct config_reader *reader, const json_t *value,
                        struct forward_config *forward)
{
    uint32_t given = 0;
    int error;

    *forward = (struct forward_config){.address = INADDR_LOOPBACK};
    error = config_read_object(reader, value, &forward_config_table, forward, &given);
    if (error)
        return error;
    if (!forward->port)
        return config_fail(reader, "\"port\" is missing: the host's");
    if (!forward->guest_port)
        return config_fail(reader, "\"guest_port\" is missing");
    return 0;
}

static int read_forwards(struct config_reader *reader, const json_t *value, void *into)
{
    struct nic_config *nic = into;

    if (!json_is_array(value))
        return fail_type(reader, "an array [ ... ] of ports", value);
    if (json_array_size(value) > CONFIG_FORWARDS)
        return config_fail(reader, "%zu ports: %d are the most", json_array_size(value),
                           CONFIG_FORWARDS);
    for (size_t i = 0; i < json_array_size(value); i++) {
        int error = config_enter_index(reader, i);

        if (error)
            return error;
        error = read_forward(reader, json_array_get(value, i), &nic->forward[i]);
        config_leave(reader);
        if (error)
            return error;
        nic->n_forwards = (unsigned)i + 1;
    }
    return 0;
}

int nic_config_defaults(struct nic_config *nic)
{
    *nic = (struct nic_config){.link = true};
    nic->path = strdup("");
    nic->peer = strdup("");
    nic->tftp = strdup("");
    nic->bootfile = strdup("");
    nic->rom = strdup("auto");
    return nic->path && nic->peer && nic->tftp && nic->bootfile && nic->rom ? 0 : -ENOMEM;
}

void nic_config_finish(struct nic_config *nic)
{
    free(nic->path);
    free(nic->peer);
    free(nic->tftp);
    free(nic->bootfile);
    free(nic->rom);
}

/* What a mode of the socket has to have. */
static int check_socket(struct config_reader *reader, const struct nic_config *nic)
{
    if (!nic->path[0])
        return config_fail(reader, "NIC %u is connected by a socket and has no \"path\"",
                           nic->devid);
    if (nic->mode == NIC_DGRAM && !nic->peer[0])
        return config_fail(reader,
                           "NIC %u exchanges datagrams and has no \"peer\": the path of the other "
                           "end's socket",
                           nic->devid);
    if (nic->mode != NIC_DGRAM && nic->peer[0])
        return config_fail_at(reader, "peer", "\"peer\" goes with \"mode\": \"dgram\"");
    return 0;
}

int nic_config_check(struct config_reader *reader, const struct nic_config *nic, bool complete)
{
    bool known = complete || nic->given & config_key_bit(&nic_config_table, "backend");

    for (size_t i = 0; known && i < sizeof(belongs) / sizeof(belongs[0]); i++)
        if (nic->given & config_key_bit(&nic_config_table, belongs[i].key) &&
            !(belongs[i].backends & OF(nic->backend)))
            return config_fail_at(reader, belongs[i].key,
                                  "a NIC with the backend \"%s\" has none: it goes with "
                                  "\"backend\": %s",
                                  backend_names[nic->backend], belongs[i].with);
    if (!complete)
        return 0;
    if (nic->backend == NIC_MACVTAP && !nic->ifname[0])
        return config_fail(reader, "NIC %u has no \"ifname\": the name of its macvtap interface",
                           nic->devid);
    return nic->backend == NIC_SOCKET ? check_socket(reader, nic) : 0;
}

int nic_config_read_all(struct config_reader *reader, const json_t *value, void *into)
{
    struct guest_config *config = into;

    if (!json_is_array(value))
        return fail_type(reader, "an array [ ... ] of NICs", value);
    if (json_array_size(value) > CONFIG_NICS)
        return config_fail(reader, "%zu NICs: %d are the most", json_array_size(value),
                           CONFIG_NICS);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct nic_config *nic = &config->nic[i];
        int error = config_enter_index(reader, i);

        if (error)
            return error;
        nic->devid = (unsigned)i;
        error = config_read_object(reader, json_array_get(value, i), &nic_config_table, nic,
                                   &nic->given);
        for (size_t j = 0; j < i && !error; j++)
            if (config->nic[j].devid == nic->devid)
                error = config_fail_at(reader, "devid", "%u is already the number of NIC %zu",
                                       nic->devid, j);
        config_leave(reader);
        if (error)
            return error;
        config->n_nics = (unsigned)i + 1;
    }
    return 0;
}

static json_t *write_forwards(const struct nic_config *nic)
{
    json_t *forwards = json_array();

    for (unsigned i = 0; i < nic->n_forwards; i++) {
        json_t *object = config_write_object(&forward_config_table, &nic->forward[i]);
        struct in_addr address = {.s_addr = htonl(nic->forward[i].address)};
        char text[INET_ADDRSTRLEN];

        inet_ntop(AF_INET, &address, text, sizeof(text));
        if (json_object_set_new(object, "address", json_string(text)) |
            json_array_append_new(forwards, object)) {
            json_decref(forwards);
            return NULL;
        }
    }
    return forwards;
}

/* "" would be refused on the way in. */
static void drop_unset(json_t *object, const struct config_table *table)
{
    for (unsigned i = 0; object && i < table->n_keys; i++) {
        const char *text = json_string_value(json_object_get(object, table->key[i].name));

        if (text && !*text)
            json_object_del(object, table->key[i].name);
    }
}

json_t *nic_config_write(const struct nic_config *nic)
{
    json_t *object = config_write_object(&nic_config_table, nic);
    char mac[18];
    int failed = json_object_set_new(object, "rom", json_string(nic->rom));

    nic_config_mac_text(nic->mac, mac);
    if (nic->mac_set)
        failed |= json_object_set_new(object, "mac", json_string(mac));
    if (nic->n_forwards)
        failed |= json_object_set_new(object, "forward", write_forwards(nic));
    /* What does not go with the backend would be refused, too. */
    for (size_t i = 0; object && i < sizeof(belongs) / sizeof(belongs[0]); i++)
        if (!(belongs[i].backends & OF(nic->backend)))
            json_object_del(object, belongs[i].key);
    drop_unset(object, &nic_config_table);
    if (object && !nic->slot)
        json_object_del(object, "slot");
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

int nic_config_copy(const struct nic_config *from, uint32_t given, struct nic_config *into)
{
    int error = config_copy_keys(&nic_config_table, given, from, into);

    into->devid = from->devid;
    if (given & config_key_bit(&nic_config_table, "mac")) {
        memcpy(into->mac, from->mac, sizeof(into->mac));
        into->mac_set = from->mac_set;
    }
    if (given & config_key_bit(&nic_config_table, "forward")) {
        memcpy(into->forward, from->forward, sizeof(into->forward));
        into->n_forwards = from->n_forwards;
    }
    if (!error && given & config_key_bit(&nic_config_table, "rom")) {
        char *rom = strdup(from->rom);

        if (!rom)
            return -ENOMEM;
        free(into->rom);
        into->rom = rom;
    }
    into->given |= given;
    return error;
}

/* Another backend makes the other's keys void, not wrong. */
void nic_config_drop_void(struct nic_config *nic)
{
    for (size_t i = 0; i < sizeof(belongs) / sizeof(belongs[0]); i++)
        if (!(belongs[i].backends & OF(nic->backend)))
            nic->given &= ~config_key_bit(&nic_config_table, belongs[i].key);
}

int nic_config_from_json(const json_t *object, struct nic_config *ret_nic,
                         struct config_error *ret_error)
{
    struct config_reader reader = {.file = "(request)", .error = ret_error};
    struct nic_config nic;
    int error = nic_config_defaults(&nic);

    if (error)
        config_fail(&reader, "out of memory");
    if (!error)
        error = config_read_object(&reader, object, &nic_config_table, &nic, &nic.given);
    if (!error)
        error = nic_config_check(&reader, &nic, true);
    if (error)
        nic_config_finish(&nic);
    else
        *ret_nic = nic;
    return error;
}

char *nic_config_user_text(const struct nic_config *nic)
{
    json_t *object = config_write_object(&user_table, nic);
    char *text = NULL;
    bool good = object;

    if (nic->n_forwards)
        good = good && !json_object_set_new(object, "forward", write_forwards(nic));
    drop_unset(object, &user_table);
    if (good)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

int nic_config_user_parse(const char *text, size_t length, const char *where,
                          struct nic_config *ret_nic, struct config_error *ret_error)
{
    struct config_reader reader = {
        .file = where, .text = text, .length = length, .error = ret_error};
    struct nic_config nic;
    json_t *object = NULL;
    int error = nic_config_defaults(&nic);

    if (error)
        config_fail(&reader, "out of memory");
    if (!error)
        error = config_parse(&reader, &object);
    if (!error)
        error = config_read_object(&reader, object, &user_table, &nic, &nic.given);
    nic.backend = NIC_USER;
    json_decref(object);
    if (error)
        nic_config_finish(&nic);
    else
        *ret_nic = nic;
    return error;
}
