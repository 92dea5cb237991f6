/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's own file: /etc/ioemud/ioemud.json. */
#include "config/tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* In the order of syslog(3)'s priorities, so that the position is the value. */
static const char *const log_levels[] = {
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", NULL,
};

static const char *const isolations[] = {
    [ISOLATION_THREAD] = "thread",
    [ISOLATION_PROCESS] = "process",
    NULL,
};

/* Room for two requests of the largest size (BLK_MAX_BYTES), up to 1 GiB. */
#define POOL_PAGES_MIN 64
#define POOL_PAGES_MAX 262144
/* fs.aio-max-nr is 65536 for the whole host where nobody raised it. */
#define AIO_DEPTH_MAX 4096
/* All workers' and others' come out of gntalloc's limit, 1024 where nobody raised it. */
#define SWAP_PAGES_MAX 65536
/* A page, and the largest request (BLK_MAX_BYTES). */
#define SWAP_FROM_MIN 4096
#define SWAP_FROM_MAX 131072

/* As many as there can be control connections. */
#define WORKER_GUESTS_MAX  4096
#define WORKER_TIMEOUT_MAX 3600

static int read_metrics(struct config_reader *reader, const json_t *value, void *into);
static int read_http(struct config_reader *reader, const json_t *value, void *into);

#define KEY(name, kind, ...)                                                                       \
    {                                                                                              \
#name, kind, offsetof(struct daemon_config, name), __VA_ARGS__                             \
    }

static const struct config_key daemon_keys[] = {
    KEY(workers, CONFIG_UNSIGNED, 0, CONFIG_WORKERS_MAX),
    KEY(pool_pages, CONFIG_UNSIGNED, POOL_PAGES_MIN, POOL_PAGES_MAX),
    KEY(aio_depth, CONFIG_UNSIGNED, 8, AIO_DEPTH_MAX),
    KEY(poll_us, CONFIG_UNSIGNED, 0, 10000),
    KEY(control_socket, CONFIG_PATH, 1, CONFIG_SOCKET_MAX),
    KEY(stats_socket, CONFIG_PATH, 1, CONFIG_SOCKET_MAX),
    KEY(stats_group, CONFIG_STRING, 0, 31),
    KEY(guests_dir, CONFIG_PATH, 1, CONFIG_PATH_MAX),
    KEY(run_dir, CONFIG_PATH, 1, CONFIG_PATH_MAX),
    KEY(shm_socket, CONFIG_PATH, 0, CONFIG_SOCKET_MAX),
    KEY(user_network_socket, CONFIG_PATH, 1, CONFIG_SOCKET_MAX),
    KEY(xen, CONFIG_BOOL, 0, 0),
    KEY(pv_disks, CONFIG_BOOL, 0, 0),
    KEY(pv_backing_files, CONFIG_BOOL, 0, 0),
    KEY(swap_pages, CONFIG_UNSIGNED, 0, SWAP_PAGES_MAX),
    KEY(swap_from, CONFIG_UNSIGNED, SWAP_FROM_MIN, SWAP_FROM_MAX),
    KEY(isolation, CONFIG_ENUM, 0, 0, isolations),
    KEY(worker_guests, CONFIG_UNSIGNED, 0, WORKER_GUESTS_MAX),
    KEY(worker_timeout, CONFIG_UNSIGNED, 0, WORKER_TIMEOUT_MAX),
    KEY(worker_user, CONFIG_STRING, 1, 31),
    KEY(log_level, CONFIG_ENUM, 0, 0, log_levels),
    KEY(metrics, CONFIG_CUSTOM, 0, 0, NULL, read_metrics),
};

const struct config_table daemon_config_table = {
    "the daemon's configuration",
    daemon_keys,
    sizeof(daemon_keys) / sizeof(daemon_keys[0]),
};

#define METRICS(name, kind, ...)                                                                   \
    {                                                                                              \
#name, kind, offsetof(struct metrics_config, name), __VA_ARGS__                            \
    }

static const struct config_key metrics_keys[] = {
    METRICS(http, CONFIG_CUSTOM, 0, 0, NULL, read_http),
};

static const struct config_table metrics_table = {
    "\"metrics\"",
    metrics_keys,
    sizeof(metrics_keys) / sizeof(metrics_keys[0]),
};

static int read_metrics(struct config_reader *reader, const json_t *value, void *into)
{
    struct daemon_config *config = into;
    uint32_t given;

    if (!json_is_object(value))
        return config_fail(reader, "an object { ... } is expected, not %s",
                           config_type_name(value));
    return config_read_object(reader, value, &metrics_table, &config->metrics, &given);
}

/* "127.0.0.1:9778", "[::1]:9778" */
static bool parse_http(const char *text, struct http_config *ret_http)
{
    const char *colon = strrchr(text, ':');
    struct http_config http = {0};
    char address[INET_ADDRSTRLEN] = "";
    struct in_addr ipv4;
    char *end;

    if (!colon || (size_t)(colon - text) >= sizeof(address))
        return false;
    memcpy(address, text, (size_t)(colon - text));
    http.ipv6 = strcmp(address, "[::1]") == 0;
    if (!http.ipv6 && inet_pton(AF_INET, address, &ipv4) != 1)
        return false;
    http.ipv4 = http.ipv6 ? 0 : ntohl(ipv4.s_addr);
    if (!http.ipv6 && http.ipv4 >> 24 != 127)
        return false;
    if (colon[1] < '1' || colon[1] > '9')
        return false;
    http.port = (unsigned)strtoul(colon + 1, &end, 10);
    if (*end || http.port > 65535 || end - colon > 6)
        return false;
    *ret_http = http;
    return true;
}

static int read_http(struct config_reader *reader, const json_t *value, void *into)
{
    struct metrics_config *metrics = into;

    if (!json_is_string(value))
        return config_fail(reader, "a string is expected, not %s", config_type_name(value));
    if (!parse_http(json_string_value(value), &metrics->http))
        return config_fail(reader, "an address of the loopback interface and a port are expected: "
                                   "\"127.0.0.1:9778\" or \"[::1]:9778\"");
    return 0;
}

int daemon_config_defaults(struct daemon_config *ret_config)
{
    struct daemon_config config = {
        .workers = 0,
        .pool_pages = 2048,
        .aio_depth = 256,
        .poll_us = 200,
        .swap_from = 65536,
        .control_socket = strdup("/run/ioemud/control.sock"),
        .stats_socket = strdup("/run/ioemud/stats.sock"),
        .stats_group = strdup(""),
        .isolation = ISOLATION_PROCESS,
        .worker_timeout = 180,
        .worker_user = strdup("ioemud-worker"),
        .guests_dir = strdup("/etc/ioemud/guests.d"),
        .run_dir = strdup("/run/ioemud"),
        .shm_socket = strdup(""),
        .user_network_socket = strdup("/run/ioemud-usernet.sock"),
        .log_level = LOG_INFO,
    };

    if (!config.worker_user || !config.control_socket || !config.stats_socket ||
        !config.stats_group || !config.guests_dir || !config.run_dir || !config.shm_socket ||
        !config.user_network_socket) {
        daemon_config_finish(&config);
        return -ENOMEM;
    }
    *ret_config = config;
    return 0;
}

void daemon_config_finish(struct daemon_config *config)
{
    free(config->control_socket);
    free(config->stats_socket);
    free(config->stats_group);
    free(config->worker_user);
    free(config->guests_dir);
    free(config->run_dir);
    free(config->shm_socket);
    free(config->user_network_socket);
    *config = (struct daemon_config){0};
}

/* {"http": "127.0.0.1:9778"}; {}: not to be had over HTTP. NULL: no memory. */
static json_t *metrics_to_json(const struct metrics_config *metrics)
{
    const struct in_addr ipv4 = {.s_addr = htonl(metrics->http.ipv4)};
    char address[INET_ADDRSTRLEN] = "[::1]";

    if (!metrics->http.port)
        return json_object();
    if (!metrics->http.ipv6)
        inet_ntop(AF_INET, &ipv4, address, sizeof(address));
    return json_pack("{s:o}", "http", json_sprintf("%s:%u", address, metrics->http.port));
}

json_t *daemon_config_to_json(const struct daemon_config *config)
{
    json_t *object = config_write_object(&daemon_config_table, config);

    if (object && json_object_set_new(object, "metrics", metrics_to_json(&config->metrics))) {
        json_decref(object);
        return NULL;
    }
    if (object && !config->xen_set)
        json_object_del(object, "xen");
    return object;
}

/* What no key alone can show. */
static int check_daemon(struct config_reader *reader, struct daemon_config *config)
{
    if (strcmp(config->control_socket, config->stats_socket) == 0)
        return config_fail_at(reader, "stats_socket",
                              "this is the control socket's path: two are needed");
    if (strcmp(config->shm_socket, config->control_socket) == 0 ||
        strcmp(config->shm_socket, config->stats_socket) == 0)
        return config_fail_at(reader, "shm_socket",
                              "this path is already another socket's: one of its own is needed");
    if (config->pv_disks && config->swap_pages && config->isolation == ISOLATION_PROCESS)
        return config_fail_at(reader, "swap_pages",
                              "a worker process has no pages whose frames it could exchange: "
                              "\"isolation\": \"thread\" is needed");
    return 0;
}

static int read_daemon(struct config_reader *reader, struct daemon_config *ret_config)
{
    struct daemon_config config;
    json_t *object = NULL;
    uint32_t given = 0;
    int error = config_parse(reader, &object);

    if (error)
        return error;
    error = daemon_config_defaults(&config);
    if (error) {
        config_fail(reader, "out of memory");
        goto drop_object;
    }
    error = config_read_object(reader, object, &daemon_config_table, &config, &given);
    if (!error)
        error = check_daemon(reader, &config);
    if (error) {
        daemon_config_finish(&config);
        goto drop_object;
    }
    config.xen_set = given & config_key_bit(&daemon_config_table, "xen");
    *ret_config = config;
drop_object:
    json_decref(object);
    return error;
}

int daemon_config_parse(const char *text, size_t length, const char *where,
                        struct daemon_config *ret_config, struct config_error *ret_error)
{
    struct config_reader reader = {
        .file = where, .text = text, .length = length, .error = ret_error};

    return read_daemon(&reader, ret_config);
}

int daemon_config_load(const char *path, struct daemon_config *ret_config,
                       struct config_error *ret_error)
{
    char *text;
    size_t length;
    int error = config_read_file(path, &text, &length, ret_error);

    if (error)
        return error;
    error = daemon_config_parse(text, length, path, ret_config, ret_error);
    free(text);
    return error;
}

char *daemon_config_socket(bool statistics)
{
    struct daemon_config config;
    struct config_error error;
    char *path;

    if (daemon_config_load(DAEMON_CONFIG_FILE, &config, &error) && daemon_config_defaults(&config))
        return NULL;
    path = strdup(statistics ? config.stats_socket : config.control_socket);
    daemon_config_finish(&config);
    return path;
}
