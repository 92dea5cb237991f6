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

/* {name | config, domid?} */
static void method_attach(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct daemon *daemon = ctx;
    struct guest_attach attach = {.done = attach_done, .ctx = call};
    const json_t *config = json_object_get(params, "config");
    const json_t *domid = json_object_get(params, "domid");
    const char *name = json_string_value(json_object_get(params, "name"));
    struct config_error error;
    int err;

    if (!name == !config) {
        rpc_fail(call, RPC_INVALID_PARAMS, "give either \"name\" or \"config\"");
        return;
    }
    if (domid && (!json_is_integer(domid) || json_integer_value(domid) < 1 ||
                  json_integer_value(domid) >= 0x7ff0)) {
        rpc_fail(call, RPC_INVALID_PARAMS, "\"domid\" is not a domain id");
        return;
    }
    err = name ? load_alone(daemon, name, &attach.config, &error)
               : guest_config_from_json(config, "(request)", &attach.config, &error);
    if (err) {
        rpc_fail(call, RPC_FAILED, "%s", error.text);
        return;
    }
    if (domid)
        attach.domid = (uint32_t)json_integer_value(domid);
    else if (attach.config.hypervisor == GUEST_XEN && daemon->host[DAEMON_XEN] &&
             daemon->hv[DAEMON_XEN]->find_domain(daemon->host[DAEMON_XEN], attach.config.name,
                                                 &attach.domid)) {
        rpc_fail(call, RPC_FAILED, "there is no domain named %s; give --domid", attach.config.name);
        guest_config_finish(&attach.config);
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
    attach.domid = (uint32_t)domid;
    attach.vcpus = vcpus > 0 && vcpus <= (json_int_t)HV_MAX_VCPUS ? (uint32_t)vcpus : 0;
    attach.run = json_is_true(json_object_get(params, "prelaunch")) ? GUEST_PRELAUNCH : GUEST_CONT;
    attach.reset = json_is_true(json_object_get(params, "again"));
    attach.lease = rpc_call_conn(call);
    attach.ctx = dm;
    guest_attach(daemon, &attach);
}

static void detached(void *ctx)
{
    rpc_reply(ctx, json_object());
}

/* {name} */
static void method_detach(void *ctx, struct rpc_call *call, const json_t *params)
{
    const char *name = json_string_value(json_object_get(params, "name"));
    struct guest *guest = name ? guest_by_name(ctx, name) : NULL;

    if (!name)
        rpc_fail(call, RPC_INVALID_PARAMS, "give \"name\"");
    else if (!guest)
        rpc_fail(call, RPC_FAILED, "no guest %.64s is attached", name);
    else if (guest->gone)
        rpc_fail(call, RPC_FAILED, "guest %.64s is being detached already", name);
    else
        guest_detach(guest, detached, call);
}

static void resumed(void *ctx)
{
    rpc_reply(ctx, json_object());
}

/* {name} */
static void method_resume(void *ctx, struct rpc_call *call, const json_t *params)
{
    const char *name = json_string_value(json_object_get(params, "name"));
    struct guest *guest = name ? guest_by_name(ctx, name) : NULL;

    if (!name)
        rpc_fail(call, RPC_INVALID_PARAMS, "give \"name\"");
    else if (!guest)
        rpc_fail(call, RPC_FAILED, "no guest %.64s is attached", name);
    else if (guest_resume(guest, true, resumed, call))
        rpc_fail(call, RPC_FAILED, "guest %.64s is not stopped%s", name,
                 guest->resuming ? " any more: it is being resumed" : "");
}

static json_t *describe_disks(const struct guest *guest)
{
    json_t *disks = json_array();

    for (unsigned i = 0; i < guest->config.n_disks; i++) {
        const struct disk_config *disk = &guest->config.disk[i];

        json_array_append_new(
            disks, json_pack("{s:s, s:s, s:s, s:b, s:o*}", "vdev", disk->vdev, "path", disk->path,
                             "format", disk->backend == DISK_MEM ? "mem" : "raw", "read_only",
                             disk->read_only, "stopped", daemon_disk_stop(guest, disk)));
    }
    return disks;
}

static json_t *describe_serials(const struct guest *guest)
{
    json_t *serials = json_array();

    for (unsigned i = 0; i < guest->config.n_serials; i++) {
        char label[24];

        if (guest->config.serial[i].kind == SERIAL_NONE)
            continue;
        snprintf(label, sizeof(label), "serial%u", i);
        json_array_append_new(
            serials, json_pack("{s:s, s:s}", "label", label, "path", guest->serial_path[i]));
    }
    return serials;
}

static json_t *describe(const struct guest *guest)
{
    const struct guest_config *config = &guest->config;

    return json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:b, s:i, s:i, s:b, s:o, s:o}", "name", config->name, "domid",
        (int)guest->domid, "hypervisor", config->hypervisor == GUEST_XEN ? "xen" : "shm", "role",
        config->role == GUEST_PRIMARY ? "primary" : "secondary", "state", guest_state_name(guest),
        "reset", guest->reset, "worker", guest->worker ? (int)guest->worker->params.id : -1,
        "vcpus", guest->hv_guest ? (int)guest->hv->guest_info(guest->hv_guest)->vcpus : 0, "leased",
        guest->lease != NULL, "disks", describe_disks(guest), "serial", describe_serials(guest));
}

static void method_list(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct daemon *daemon = ctx;
    json_t *guests = json_array();

    for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
        json_array_insert_new(guests, 0, describe(guest)); /* the newest is first in the list */
    rpc_reply(call, json_pack("{s:o}", "guests", guests));
}

static void method_stats(void *ctx, struct rpc_call *call, const json_t *params)
{
    const char *name = json_string_value(json_object_get(params, "guest"));
    json_t *stats;

    if (name && !guest_by_name(ctx, name)) {
        rpc_fail(call, RPC_FAILED, "no guest %.64s is attached", name);
        return;
    }
    stats = daemon_stats(ctx, name);
    if (stats)
        rpc_reply(call, stats);
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
    {"attach", method_attach},     {"dm-attach", method_dm_attach},
    {"detach", method_detach},     {"resume", method_resume},
    {"list", method_list},         {"stats", method_stats},
    {"shutdown", method_shutdown}, {NULL, NULL},
};

const struct rpc_method daemon_stats_methods[] = {
    {"list", method_list},
    {"stats", method_stats},
    {NULL, NULL},
};
