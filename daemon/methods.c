/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the control and the statistics socket answer: docs/rpc.md. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/guest_nics.h"
#include "daemon/guest_pvdisk.h"
#include "daemon/methods.h"
#include "daemon/metrics.h"
#include "daemon/stats.h"
#include "daemon/worker_process.h"

/* Where a description comes from: an object in the request, or NAME.json in the guests' folder,
 * or both merged (the file wins). */
static int load_file(struct daemon *daemon, const char *name, struct guest_config *ret_config,
                     struct config_error *ret_error)
{
    char path[PATH_MAX];

    if (!*name || strchr(name, '/') || name[0] == '.' || strlen(name) > CONFIG_NAME_MAX) {
        snprintf(ret_error->text, sizeof(ret_error->text), "not a guest name: %.64s", name);
        return -EINVAL;
    }
    snprintf(path, sizeof(path), "%s/%s.json", daemon->config.guests_dir, name);
    return guest_config_load(path, ret_config, ret_error);
}

/* The same for a guest of which there is nothing but the file: it must be complete. */
static int load_alone(struct daemon *daemon, const char *name, struct guest_config *ret_config,
                      struct config_error *ret_error)
{
    char path[PATH_MAX];
    int err = load_file(daemon, name, ret_config, ret_error);

    if (err)
        return err;
    snprintf(path, sizeof(path), "%s/%s.json", daemon->config.guests_dir, name);
    err = guest_config_check(ret_config, path, ret_error);
    if (err)
        guest_config_finish(ret_config);
    return err;
}

static int load_merged(struct daemon *daemon, const json_t *object, struct guest_config *ret_config,
                       struct config_error *ret_error)
{
    struct guest_config line, file;
    int err = guest_config_from_json(object, "(request)", &line, ret_error);

    if (err)
        return err;
    err = *line.name ? load_file(daemon, line.name, &file, ret_error) : -ENOENT;
    if (err == -ENOENT) {
        *ret_config = line;
        return 0;
    }
    if (!err) {
        err = guest_config_merge(&line, &file, ret_config, ret_error);
        guest_config_finish(&file);
    }
    guest_config_finish(&line);
    return err;
}

static void attach_done(void *ctx, struct guest *guest, int err, const char *why)
{
    struct rpc_call *call = ctx;

    if (err)
        rpc_fail(call, RPC_FAILED, "%s", *why ? why : strerror(-err));
    else
        rpc_reply(call, json_pack("{s:s, s:i, s:s}", "name", guest->config.name, "domid",
                                  (int)guest->domid, "state", guest_state_name(guest)));
}

/* "domid" of a request; 0: it has none. False: it is no domain's. */
static bool domid_of(const json_t *params, uint32_t *ret_domid)
{
    const json_t *domid = json_object_get(params, "domid");

    if (domid && (!json_is_integer(domid) || json_integer_value(domid) < 1 ||
                  json_integer_value(domid) >= 0x7ff0))
        return false;
    *ret_domid = (uint32_t)json_integer_value(domid);
    return true;
}

/* {name | config, domid?} */
static void method_attach(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct daemon *daemon = ctx;
    struct guest_attach attach = {.done = attach_done, .ctx = call};
    const json_t *config = json_object_get(params, "config");
    const char *name = json_string_value(json_object_get(params, "name"));
    struct config_error error;
    struct guest *own;
    int err;

    if (!name == !config) {
        rpc_fail(call, RPC_INVALID_PARAMS, "give either \"name\" or \"config\"");
        return;
    }
    if (!domid_of(params, &attach.domid)) {
        rpc_fail(call, RPC_INVALID_PARAMS, "\"domid\" is not a domain id");
        return;
    }
    attach.origin = name ? GUEST_OF_FILE : GUEST_OF_REQUEST;
    err = name ? load_alone(daemon, name, &attach.config, &error)
               : guest_config_from_json(config, "(request)", &attach.config, &error);
    if (err) {
        rpc_fail(call, RPC_FAILED, "%s", error.text);
        return;
    }
    if (!attach.domid && attach.config.hypervisor == GUEST_XEN && daemon->host[DAEMON_XEN] &&
        daemon->hv[DAEMON_XEN]->find_domain(daemon->host[DAEMON_XEN], attach.config.name,
                                            &attach.domid)) {
        rpc_fail(call, RPC_FAILED, "there is no domain named %s; give --domid", attach.config.name);
        guest_config_finish(&attach.config);
        return;
    }
    own = guest_attached_by_itself(daemon, &attach.config, attach.domid);
    if (own) { /* as was asked for */
        guest_config_finish(&attach.config);
        guest_when_attached(own, attach_done, call);
        return;
    }
    guest_attach(daemon, &attach);
}

/* ioemu-dm's attach that is under way: the QMP sockets go to the guest once there is one. */
struct dm_attach {
    struct rpc_call *call;
    int fd[GUEST_QMPS];
    unsigned n_fds;
};

static void dm_attach_done(void *ctx, struct guest *guest, int err, const char *why)
{
    struct dm_attach *dm = ctx;

    if (!err) {
        for (unsigned i = 0; i < dm->n_fds; i++)
            guest_qmp_add(guest, dm->fd[i]);
        dm->n_fds = 0;
    }
    for (unsigned i = 0; i < dm->n_fds; i++)
        close(dm->fd[i]);
    attach_done(dm->call, guest, err, why);
    free(dm);
}

/* {domid, config, vcpus?, prelaunch?, again?}, with up to two listening QMP sockets as descriptors.
 * The connection is the guest's lease: when it closes, the guest is detached. */
static void method_dm_attach(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct daemon *daemon = ctx;
    struct guest_attach attach = {.done = dm_attach_done};
    const json_t *config = json_object_get(params, "config");
    json_int_t domid = json_integer_value(json_object_get(params, "domid"));
    json_int_t vcpus = json_integer_value(json_object_get(params, "vcpus"));
    struct config_error error;
    struct guest *own;
    struct dm_attach *dm;
    int fd;

    if (!json_is_object(config) || domid < 1 || domid >= 0x7ff0) {
        rpc_fail(call, RPC_INVALID_PARAMS, "give \"domid\" and \"config\"");
        return;
    }
    if (rpc_conn_is_tied(rpc_call_conn(call))) {
        rpc_fail(call, RPC_FAILED, "this connection is the lease of another guest");
        return;
    }
    if (load_merged(daemon, config, &attach.config, &error)) {
        rpc_fail(call, RPC_FAILED, "%s", error.text);
        return;
    }
    dm = calloc(1, sizeof(*dm));
    if (!dm) {
        guest_config_finish(&attach.config);
        rpc_fail(call, RPC_FAILED, "out of memory");
        return;
    }
    dm->call = call;
    while (dm->n_fds < GUEST_QMPS && (fd = rpc_call_take_fd(call)) >= 0)
        dm->fd[dm->n_fds++] = fd;
    attach.origin = GUEST_OF_LINE;
    attach.line = config;
    attach.domid = (uint32_t)domid;
    attach.vcpus = vcpus > 0 && vcpus <= (json_int_t)HV_MAX_VCPUS ? (uint32_t)vcpus : 0;
    attach.run = json_is_true(json_object_get(params, "prelaunch")) ? GUEST_PRELAUNCH : GUEST_CONT;
    attach.reset = json_is_true(json_object_get(params, "again"));
    attach.lease = rpc_call_conn(call);
    attach.ctx = dm;
    own = guest_attached_by_itself(daemon, &attach.config, attach.domid);
    if (own && own->config.role == GUEST_PV && attach.config.role == GUEST_PV)
        guest_take_over(own, &attach);
    else
        guest_attach(daemon, &attach);
}

/* The guest that `key` of the request names, or is the domain of; "domid" says which of several.
 * NULL: the call has been answered. */
static struct guest *guest_of(struct daemon *daemon, struct rpc_call *call, const json_t *params,
                              const char *key)
{
    const char *name = json_string_value(json_object_get(params, key));
    struct guest *guest = NULL;
    char why[GUEST_WHY_SIZE];
    uint32_t domid;

    if (!name) {
        rpc_fail(call, RPC_INVALID_PARAMS, "give \"%s\"", key);
    } else if (!domid_of(params, &domid)) {
        rpc_fail(call, RPC_INVALID_PARAMS, "\"domid\" is not a domain id");
    } else {
        guest = guest_find(daemon, name, domid, why);
        if (!guest)
            rpc_fail(call, RPC_FAILED, "%s", why);
    }
    return guest;
}

struct guest *method_guest(struct daemon *daemon, struct rpc_call *call, const json_t *params,
                           const char *key)
{
    return guest_of(daemon, call, params, key);
}

static void detached(void *ctx)
{
    rpc_reply(ctx, json_object());
}

/* {name, domid?} */
static void method_detach(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct guest *guest = guest_of(ctx, call, params, "name");

    if (guest && guest->gone)
        rpc_fail(call, RPC_FAILED, "guest %s is being detached already", guest->name);
    else if (guest) {
        guests_dir_detached(ctx, guest);
        guest_detach(guest, detached, call);
    }
}

static void resumed(void *ctx)
{
    rpc_reply(ctx, json_object());
}

/* {name, domid?} */
static void method_resume(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct guest *guest = guest_of(ctx, call, params, "name");

    if (guest && guest_resume(guest, true, resumed, call))
        rpc_fail(call, RPC_FAILED, "guest %s is not stopped%s", guest->name,
                 guest->resuming ? " any more: it is being resumed" : "");
}

static void medium_changed(void *ctx, int err, const char *why)
{
    if (err)
        rpc_fail(ctx, RPC_FAILED, "%s", why);
    else
        rpc_reply(ctx, json_object());
}

static void change_medium(struct daemon *daemon, struct rpc_call *call, const json_t *params,
                          const char *path)
{
    struct guest_medium medium = {
        .vdev = json_string_value(json_object_get(params, "vdev")),
        .path = path,
        .fd = -1,
        .force = json_is_true(json_object_get(params, "force")),
    };
    struct guest *guest = NULL;

    if (!medium.vdev)
        rpc_fail(call, RPC_INVALID_PARAMS, "give \"name\" and \"vdev\"");
    else
        guest = guest_of(daemon, call, params, "name");
    if (guest)
        guest_change_medium(guest, &medium, medium_changed, call);
}

/* {name, domid?, vdev, force?} */
static void method_eject(void *ctx, struct rpc_call *call, const json_t *params)
{
    change_medium(ctx, call, params, NULL);
}

/* {name, domid?, vdev, path, force?} */
static void method_insert(void *ctx, struct rpc_call *call, const json_t *params)
{
    const char *path = json_string_value(json_object_get(params, "path"));

    if (!path || path[0] != '/')
        rpc_fail(call, RPC_INVALID_PARAMS, "\"path\" must be an absolute path");
    else
        change_medium(ctx, call, params, path);
}

/* ---- NICs ------------------------------------------------------------------------------------ */

static void nic_done(void *ctx, int err, const char *why)
{
    if (err)
        rpc_fail(ctx, RPC_FAILED, "%s", why);
    else
        rpc_reply(ctx, json_object());
}

/* "name", "domid" and "nic", a devid. NULL: the call has been answered. */
static struct guest *nic_guest(struct daemon *daemon, struct rpc_call *call, const json_t *params,
                               unsigned *ret_number)
{
    const json_t *number = json_object_get(params, "nic");
    struct guest *guest;

    if (ret_number && (!json_is_integer(number) || json_integer_value(number) < 0 ||
                       json_integer_value(number) >= CONFIG_NICS)) {
        rpc_fail(call, RPC_INVALID_PARAMS, "give \"name\" and \"nic\", 0 to %d", CONFIG_NICS - 1);
        return NULL;
    }
    guest = guest_of(daemon, call, params, "name");
    if (guest && ret_number)
        *ret_number = (unsigned)json_integer_value(number);
    return guest;
}

/* {name, domid?, nic, up} */
static void method_link(void *ctx, struct rpc_call *call, const json_t *params)
{
    const json_t *up = json_object_get(params, "up");
    unsigned number;
    struct guest *guest;

    if (!json_is_boolean(up)) {
        rpc_fail(call, RPC_INVALID_PARAMS, "give \"up\": true or false");
        return;
    }
    guest = nic_guest(ctx, call, params, &number);
    if (guest)
        guest_nic_link(guest, number, json_is_true(up), nic_done, call);
}

#define CAPTURE_LIMIT     (UINT64_C(64) << 20)
#define CAPTURE_LIMIT_MAX (UINT64_C(1) << 40)

/* {name, domid?, nic, path?, limit?}; without a path the capture ends. */
static void method_capture(void *ctx, struct rpc_call *call, const json_t *params)
{
    const char *path = json_string_value(json_object_get(params, "path"));
    const json_t *limit = json_object_get(params, "limit");
    uint64_t bytes = limit ? (uint64_t)json_integer_value(limit) : CAPTURE_LIMIT;
    unsigned number;
    struct guest *guest;

    if ((path && path[0] != '/') || !bytes || bytes > CAPTURE_LIMIT_MAX) {
        rpc_fail(call, RPC_INVALID_PARAMS,
                 "\"path\" is an absolute one, \"limit\" a number of bytes up to 2^40");
        return;
    }
    guest = nic_guest(ctx, call, params, &number);
    if (guest)
        guest_nic_capture(guest, number, path, bytes, nic_done, call);
}

/* {name, domid?, nic: {...}}: as in a guest's file. */
static void method_nic_add(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct guest *guest = nic_guest(ctx, call, params, NULL);
    const json_t *nic = json_object_get(params, "nic");
    struct nic_config config;
    struct config_error error;

    if (!guest)
        return;
    if (!json_is_object(nic) || !json_object_get(nic, "devid"))
        rpc_fail(call, RPC_INVALID_PARAMS, "give \"nic\": an object with a \"devid\"");
    else if (nic_config_from_json(nic, &config, &error))
        rpc_fail(call, RPC_FAILED, "%s", error.text);
    else
        guest_nic_add(guest, &config, nic_done, call);
}

/* {name, domid?, nic, force?} */
static void method_nic_remove(void *ctx, struct rpc_call *call, const json_t *params)
{
    unsigned number;
    struct guest *guest = nic_guest(ctx, call, params, &number);

    if (guest)
        guest_nic_remove(guest, number, json_is_true(json_object_get(params, "force")), nic_done,
                         call);
}

static void method_list(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct daemon *daemon = ctx;
    json_t *guests = json_array(), *files = guests_dir_list(daemon);
    bool all = files;

    guest_names_refresh(daemon);
    for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
        all &= !json_array_insert_new(guests, 0, method_describe(guest)); /* the newest is first */
    if (all) {
        rpc_reply(call, json_pack("{s:o, s:o}", "guests", guests, "files", files));
        return;
    }
    json_decref(guests);
    json_decref(files);
    rpc_fail(call, RPC_FAILED, "out of memory");
}

/* {guest, domid?} */
static void method_show(void *ctx, struct rpc_call *call, const json_t *params)
{
    const struct guest *guest = guest_of(ctx, call, params, "guest");
    json_t *config, *shown;

    if (!guest)
        return;
    config = guest_config_to_json(&guest->config);
    shown =
        config ? json_pack("{s:o, s:O}", "guest", method_describe(guest), "config", config) : NULL;
    json_decref(config);
    if (shown)
        rpc_reply(call, shown);
    else
        rpc_fail(call, RPC_FAILED, "out of memory");
}

/* {guest?, domid?, buckets?} */
static void method_stats(void *ctx, struct rpc_call *call, const json_t *params)
{
    bool one = json_object_get(params, "guest") || json_object_get(params, "domid");
    const struct guest *guest = one ? guest_of(ctx, call, params, "guest") : NULL;
    json_t *stats;

    if (one && !guest)
        return;
    stats = daemon_stats_of(ctx, guest, json_is_true(json_object_get(params, "buckets")));
    if (stats)
        rpc_reply(call, stats);
    else
        rpc_fail(call, RPC_FAILED, "out of memory");
}

json_t *daemon_sample(void *ctx, const json_t *params)
{
    const char *name = json_string_value(json_object_get(params, "guest"));
    struct guest *guest = NULL;
    char why[GUEST_WHY_SIZE];
    uint32_t domid = 0;
    json_t *stats;

    if (name && domid_of(params, &domid))
        guest = guest_find(ctx, name, domid, why);
    stats = daemon_stats_of(ctx, guest, json_is_true(json_object_get(params, "buckets")));
    if (name && !guest) /* it is not there, or not any more */
        json_array_clear(json_object_get(stats, "guests"));
    return stats;
}

/* {interval_ms?, guest?, domid?, buckets?} */
static void method_subscribe(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct daemon *daemon = ctx;

    if (json_object_get(params, "guest") && !guest_of(daemon, call, params, "guest"))
        return;
    subscriptions_add(&daemon->subscriptions, call, params);
}

static void method_unsubscribe(void *ctx, struct rpc_call *call, const json_t *params)
{
    subscriptions_remove(&((struct daemon *)ctx)->subscriptions, call);
}

/* {format?} */
static void method_metrics(void *ctx, struct rpc_call *call, const json_t *params)
{
    const json_t *given = json_object_get(params, "format");
    const char *name = given ? json_string_value(given) : "prometheus";
    enum metrics_format format = METRICS_PROMETHEUS;
    json_t *stats, *result = NULL;
    char *text;

    if (name && strcmp(name, "openmetrics") == 0)
        format = METRICS_OPENMETRICS;
    else if (!name || strcmp(name, "prometheus") != 0) {
        rpc_fail(call, RPC_INVALID_PARAMS, "\"format\" must be \"prometheus\" or \"openmetrics\"");
        return;
    }
    stats = daemon_stats_of(ctx, NULL, true);
    text = stats ? metrics_text(stats, format) : NULL;
    json_decref(stats);
    if (text)
        result =
            json_pack("{s:s, s:s}", "content_type", metrics_content_type(format), "text", text);
    free(text);
    if (result)
        rpc_reply(call, result);
    else
        rpc_fail(call, RPC_FAILED, "out of memory");
}

/* {force?} */
static void method_shutdown(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct daemon *daemon = ctx;
    unsigned guests = 0;

    for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
        guests++;
    if (guests && !json_is_true(json_object_get(params, "force"))) {
        rpc_fail(call, RPC_FAILED,
                 "%u guest%s would lose %s devices; shut them down first, or insist with --force",
                 guests, guests == 1 ? "" : "s", guests == 1 ? "its" : "their");
        return;
    }
    rpc_reply(call, json_object());
    daemon_stop(daemon);
}

const struct rpc_method daemon_control_methods[] = {
    {"attach", method_attach},
    {"dm-attach", method_dm_attach},
    {"detach", method_detach},
    {"resume", method_resume},
    {"eject", method_eject},
    {"insert", method_insert},
    {"link", method_link},
    {"capture", method_capture},
    {"nic-add", method_nic_add},
    {"nic-remove", method_nic_remove},
    {"list", method_list},
    {"show", method_show},
    {"stats", method_stats},
    {"metrics", method_metrics},
    {"subscribe", method_subscribe},
    {"unsubscribe", method_unsubscribe},
    {"shutdown", method_shutdown},
    {"reload", method_reload},
    {"log-level", method_log_level},
    {"trace", method_trace},
    {"trace-read", method_trace_read},
    {NULL, NULL},
};

const struct rpc_method daemon_stats_methods[] = {
    {"list", method_list},
    {"show", method_show},
    {"stats", method_stats},
    {"metrics", method_metrics},
    {"subscribe", method_subscribe},
    {"unsubscribe", method_unsubscribe},
    {NULL, NULL},
};
