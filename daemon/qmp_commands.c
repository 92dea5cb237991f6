/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of QMP that libxl 4.17, libxenstat and an administrator with socat send (QEMU's
 * docs/interop/qmp-spec and qapi schema name the members). What ioemud cannot do is in the table
 * too, with the sentence that `xl` then shows.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/qmp_internal.h"

/* What the greeting claims to be: libxl compares with 2.11 (`live` of xen-save-devices-state) and
 * 2.8 (blockdev-change-medium). */
#define CLAIMED_MAJOR 7
#define CLAIMED_MINOR 2
#define CLAIMED_MICRO 0

/* libxl hands this back as "driver" when it plugs a vCPU in. */
#define VCPU_DRIVER "ioemud-vcpu"

#define NO_SAVE                                                                                    \
    "saving and migrating a guest are not supported by ioemud yet; the guest keeps running"
#define NO_RESTORE "restoring a guest is not supported by ioemud yet"
#define NO_CDROM   "media of this guest cannot be changed"
#define NO_HOTPLUG "ioemud can plug vCPUs in only"
#define NO_PCI     "PCI passthrough is not supported by ioemud"
#define NO_WAKEUP  "the guest is not asleep: ioemud does not offer it the ACPI state S3"
#define NO_RESET   "use `xl reset` or `xl reboot` to reset the guest"
#define NO_QUIT    "use `xl destroy` to end the guest"

struct qmp_command {
    const char *name;
    json_t *(*run)(struct qmp_client *client, const json_t *arguments,
                   struct qmp_error *ret_error); /* NULL: refused, with `refusal` */
    const char *refusal;
};

__attribute__((format(printf, 2, 3))) static json_t *fail(struct qmp_error *ret_error,
                                                          const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(ret_error->why, sizeof(ret_error->why), format, args);
    va_end(args);
    return NULL;
}

static json_t *version(void)
{
    return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", CLAIMED_MAJOR, "minor",
                     CLAIMED_MINOR, "micro", CLAIMED_MICRO, "package", "ioemud");
}

json_t *qmp_greeting(void)
{
    return json_pack("{s:{s:o, s:[]}}", "QMP", "version", version(), "capabilities");
}

static json_t *run_capabilities(struct qmp_client *client, const json_t *arguments,
                                struct qmp_error *ret_error)
{
    if (client->negotiated) {
        ret_error->class = "CommandNotFound";
        return fail(ret_error, "capabilities have been negotiated already");
    }
    client->negotiated = true;
    return json_object();
}

static json_t *run_version(struct qmp_client *client, const json_t *arguments,
                           struct qmp_error *ret_error)
{
    return version();
}

static json_t *run_status(struct qmp_client *client, const json_t *arguments,
                          struct qmp_error *ret_error)
{
    const struct qmp *qmp = client->qmp;
    bool running = qmp->ops->running(qmp->ctx);
    bool prelaunch = !running && qmp->ops->prelaunch && qmp->ops->prelaunch(qmp->ctx);

    return json_pack("{s:s, s:b, s:b}", "status",
                     running     ? "running"
                     : prelaunch ? "prelaunch"
                                 : "paused",
                     "running", running, "singlestep", 0);
}

static json_t *set_running(struct qmp_client *client, bool running, struct qmp_error *ret_error)
{
    const struct qmp *qmp = client->qmp;
    int err;

    if (!qmp->ops->set_running)
        return fail(ret_error, "this guest cannot be stopped");
    err = qmp->ops->set_running(qmp->ctx, running, ret_error->why);
    if (err)
        return ret_error->why[0] ? NULL : fail(ret_error, "%s", strerror(-err));
    return json_object();
}

static json_t *run_stop(struct qmp_client *client, const json_t *arguments,
                        struct qmp_error *ret_error)
{
    return set_running(client, false, ret_error);
}

static json_t *run_cont(struct qmp_client *client, const json_t *arguments,
                        struct qmp_error *ret_error)
{
    return set_running(client, true, ret_error);
}

/* libxl writes the "filename" of each "serialN" that is a pty into xenstore: `xl console -t serial`
 * and, for a guest without PV console, `xl console`. */
static json_t *run_chardev(struct qmp_client *client, const json_t *arguments,
                           struct qmp_error *ret_error)
{
    const struct qmp *qmp = client->qmp;
    json_t *list = json_array();

    for (unsigned i = 0; i < QMP_SERIALS_MAX && qmp->ops->serial; i++) {
        char where[QMP_WHY_SIZE], label[16];

        if (!qmp->ops->serial(qmp->ctx, i, where, sizeof(where)))
            break;
        snprintf(label, sizeof(label), "serial%u", i);
        json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "label", label, "filename", where,
                                              "frontend-open", 1));
    }
    return list;
}

static json_t *run_vnc(struct qmp_client *client, const json_t *arguments,
                       struct qmp_error *ret_error)
{
    return json_pack("{s:b}", "enabled", 0);
}

/* libxl gives up on the creation of a guest whose `vncpasswd=` is refused; there is no display that
 * the password could open, so it is swallowed. */
static json_t *run_nothing(struct qmp_client *client, const json_t *arguments,
                           struct qmp_error *ret_error)
{
    return json_object();
}

static json_t *run_empty_list(struct qmp_client *client, const json_t *arguments,
                              struct qmp_error *ret_error)
{
    return json_array();
}

static unsigned vcpus(const struct qmp *qmp)
{
    unsigned n = qmp->ops->vcpus(qmp->ctx);

    return n < QMP_VCPUS_MAX ? n : QMP_VCPUS_MAX;
}

/* libxl starts the device model with sockets of one core and one thread (libxl_domain.c,
 * set_vcpuonline_qmp_device_add_cpu). */
static json_t *vcpu_props(unsigned index)
{
    return json_pack("{s:i, s:i, s:i}", "socket-id", (int)index, "core-id", 0, "thread-id", 0);
}

static json_t *run_cpus_fast(struct qmp_client *client, const json_t *arguments,
                             struct qmp_error *ret_error)
{
    const struct qmp *qmp = client->qmp;
    json_t *list = json_array();

    for (unsigned i = 0; i < vcpus(qmp); i++) {
        char path[32];

        if (!qmp->ops->vcpu_online(qmp->ctx, i))
            continue;
        snprintf(path, sizeof(path), "/machine/vcpu[%u]", i);
        json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s, s:o}", "cpu-index", (int)i,
                                              "qom-path", path, "thread-id", 0, "target", "x86_64",
                                              "props", vcpu_props(i)));
    }
    return list;
}

static json_t *run_hotpluggable_cpus(struct qmp_client *client, const json_t *arguments,
                                     struct qmp_error *ret_error)
{
    const struct qmp *qmp = client->qmp;
    json_t *list = json_array();

    for (unsigned i = 0; i < vcpus(qmp); i++) {
        json_t *one = json_pack("{s:s, s:i, s:o}", "type", VCPU_DRIVER, "vcpus-count", 1, "props",
                                vcpu_props(i));

        if (one && qmp->ops->vcpu_online(qmp->ctx, i)) {
            char path[32];

            snprintf(path, sizeof(path), "/machine/vcpu[%u]", i);
            json_object_set_new(one, "qom-path", json_string(path));
        }
        json_array_append_new(list, one);
    }
    return list;
}

/* An integer member; `fallback` when it is not given. False: something else. */
static bool get_integer(const json_t *arguments, const char *key, json_int_t fallback,
                        json_int_t *ret_value)
{
    const json_t *value = json_object_get(arguments, key);

    if (value && !json_is_integer(value))
        return false;
    *ret_value = value ? json_integer_value(value) : fallback;
    return true;
}

static json_t *run_device_add(struct qmp_client *client, const json_t *arguments,
                              struct qmp_error *ret_error)
{
    const struct qmp *qmp = client->qmp;
    const char *driver = json_string_value(json_object_get(arguments, "driver"));
    json_int_t socket, core, thread;
    int err;

    if (!driver || strcmp(driver, VCPU_DRIVER) != 0)
        return fail(ret_error, "a %.64s cannot be plugged in: " NO_HOTPLUG,
                    driver ? driver : "(no driver)");
    if (!vcpus(qmp))
        return fail(ret_error, "the guest has no devices yet");
    if (!get_integer(arguments, "socket-id", -1, &socket) ||
        !get_integer(arguments, "core-id", 0, &core) ||
        !get_integer(arguments, "thread-id", 0, &thread) || core != 0 || thread != 0 ||
        socket < 0 || socket >= (json_int_t)vcpus(qmp))
        return fail(ret_error, "no such vCPU: socket-id must be 0 to %u, core-id and thread-id 0",
                    vcpus(qmp) - 1);
    if (qmp->ops->vcpu_online(qmp->ctx, (unsigned)socket))
        return fail(ret_error, "vCPU %u is plugged in already", (unsigned)socket);
    if (!qmp->ops->vcpu_add)
        return fail(ret_error, "vCPUs cannot be plugged into this guest");
    err = qmp->ops->vcpu_add(qmp->ctx, (unsigned)socket, ret_error->why);
    if (err)
        return ret_error->why[0] ? NULL : fail(ret_error, "%s", strerror(-err));
    return json_object();
}

static json_t *run_powerdown(struct qmp_client *client, const json_t *arguments,
                             struct qmp_error *ret_error)
{
    const struct qmp *qmp = client->qmp;
    int err;

    if (!qmp->ops->powerdown)
        return fail(ret_error, "the guest has no power button; use `xl shutdown`");
    err = qmp->ops->powerdown(qmp->ctx, ret_error->why);
    if (err)
        return ret_error->why[0] ? NULL : fail(ret_error, "%s", strerror(-err));
    return json_object();
}

/* {fdset-id?}. A set is its client's, and goes with it: libxl adds and uses on one connection. */
static json_t *run_add_fd(struct qmp_client *client, const json_t *arguments,
                          struct qmp_error *ret_error)
{
    json_int_t set;
    int fd;

    if (!get_integer(arguments, "fdset-id", 0, &set) || set < 0)
        return fail(ret_error, "\"fdset-id\" is not a number from 0");
    if (!json_object_get(arguments, "fdset-id")) /* a new one: above all there are */
        for (unsigned i = 0; i < client->n_fds; i++)
            if (client->fds[i].set >= set && client->fds[i].set < INT_MAX)
                set = client->fds[i].set + 1;
    if (qmp_client_adopt_fd(client, set, json_string_value(json_object_get(arguments, "opaque")),
                            &fd))
        return fail(ret_error, "no descriptor came with the command (SCM_RIGHTS)");
    return json_pack("{s:I, s:i}", "fdset-id", set, "fd", fd);
}

static json_t *run_remove_fd(struct qmp_client *client, const json_t *arguments,
                             struct qmp_error *ret_error)
{
    json_int_t set, fd;

    if (!get_integer(arguments, "fdset-id", -1, &set) || !get_integer(arguments, "fd", -1, &fd) ||
        set < 0 || qmp_client_remove_fd(client, set, fd))
        return fail(ret_error, "there is no such descriptor set");
    return json_object();
}

/* The drive: "id", that of its -device; "device" before QEMU 2.8. */
static const char *drive_id(const json_t *arguments)
{
    const char *id = json_string_value(json_object_get(arguments, "id"));

    return id ? id : json_string_value(json_object_get(arguments, "device"));
}

static json_t *change_medium(struct qmp_client *client, const json_t *arguments, const char *path,
                             int fd, struct qmp_error *ret_error)
{
    const struct qmp *qmp = client->qmp;
    const char *id = drive_id(arguments);
    bool force = json_is_true(json_object_get(arguments, "force"));
    struct qmp_call *call;

    if (!qmp->ops->medium)
        return fail(ret_error, "%s", NO_CDROM);
    if (!id)
        return fail(ret_error, "\"id\" of the CD-ROM drive is missing");
    call = qmp_call_begin(client);
    if (call)
        qmp->ops->medium(qmp->ctx, id, path, fd, force, call);
    return NULL;
}

/* {id, force?} */
static json_t *run_eject(struct qmp_client *client, const json_t *arguments,
                         struct qmp_error *ret_error)
{
    return change_medium(client, arguments, NULL, -1, ret_error);
}

#define FDSET "/dev/fdset/"

/* {id, filename, format?, force?}; `change` calls them device, target and arg. libxl opens the
 * image itself and passes it with add-fd, with "raw:PATH" as the opaque. */
static json_t *run_change(struct qmp_client *client, const json_t *arguments,
                          struct qmp_error *ret_error)
{
    const char *path = json_string_value(json_object_get(arguments, "filename"));
    const char *format = json_string_value(json_object_get(arguments, "format"));
    const char *opaque;
    int fd = -1;

    path = path ? path : json_string_value(json_object_get(arguments, "target"));
    format = format ? format : json_string_value(json_object_get(arguments, "arg"));
    if (!path)
        return fail(ret_error, "\"filename\" is missing");
    if (format && strcmp(format, "raw") != 0 && strcmp(format, "host_device") != 0)
        return fail(ret_error, "ioemud serves raw images only, not %.32s", format);
    if (!strncmp(path, FDSET, strlen(FDSET))) {
        json_int_t set = strtoll(path + strlen(FDSET), NULL, 10);
        if (qmp_client_find_fd(client, set, &fd))
            return fail(ret_error, "there is no descriptor set %.32s", path);
        opaque = strchr(qmp_client_fd_opaque(client, set), ':');
        path = opaque && opaque[1] == '/' ? opaque + 1 : path;
    } else if (path[0] != '/') {
        return fail(ret_error, "an absolute path is expected, not %.64s", path);
    }
    return change_medium(client, arguments, path, fd, ret_error);
}

/* `xl save` and `xl migrate` begin with this one, before the guest is suspended, so here is where
 * they best fail: the guest does not notice (libxl then sends `cont`). What is switched off is
 * off. */
static json_t *run_dirty_log(struct qmp_client *client, const json_t *arguments,
                             struct qmp_error *ret_error)
{
    if (json_is_false(json_object_get(arguments, "enable")))
        return json_object();
    return fail(ret_error, "%s", NO_SAVE);
}

static json_t *run_commands(struct qmp_client *client, const json_t *arguments,
                            struct qmp_error *ret_error);

static const struct qmp_command commands[] = {
    {"qmp_capabilities", run_capabilities, NULL},
    {"query-commands", run_commands, NULL},
    {"query-version", run_version, NULL},
    {"query-status", run_status, NULL},
    {"stop", run_stop, NULL},
    {"cont", run_cont, NULL},
    {"query-chardev", run_chardev, NULL},
    {"query-vnc", run_vnc, NULL},
    {"change-vnc-password", run_nothing, NULL},
    {"query-cpus-fast", run_cpus_fast, NULL},
    {"query-hotpluggable-cpus", run_hotpluggable_cpus, NULL},
    {"device_add", run_device_add, NULL},
    {"add-fd", run_add_fd, NULL},
    {"remove-fd", run_remove_fd, NULL},
    {"query-block", run_empty_list, NULL}, /* xentop; `ioemuctl stats` has the counters */
    {"query-blockstats", run_empty_list, NULL},
    {"system_powerdown", run_powerdown, NULL},
    {"eject", run_eject, NULL},
    {"change", run_change, NULL},
    {"blockdev-change-medium", run_change, NULL},
    {"xen-set-global-dirty-log", run_dirty_log, NULL},

    {"xen-save-devices-state", NULL, NO_SAVE},
    {"xen-load-devices-state", NULL, NO_RESTORE},
    {"migrate", NULL, NO_SAVE},
    {"migrate-incoming", NULL, NO_RESTORE},
    {"migrate-set-capabilities", NULL, NO_SAVE},
    {"migrate-set-parameters", NULL, NO_SAVE},
    {"query-migrate", NULL, NO_SAVE},
    {"device_del", NULL, NO_HOTPLUG},
    {"query-pci", NULL, NO_PCI},
    {"system_wakeup", NULL, NO_WAKEUP},
    {"system_reset", NULL, NO_RESET},
    {"quit", NULL, NO_QUIT},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static json_t *run_commands(struct qmp_client *client, const json_t *arguments,
                            struct qmp_error *ret_error)
{
    json_t *list = json_array();

    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i].run)
            json_array_append_new(list, json_pack("{s:s}", "name", commands[i].name));
    return list;
}

json_t *qmp_execute(struct qmp_client *client, const char *command, const json_t *arguments,
                    struct qmp_error *ret_error)
{
    if (!client->negotiated && strcmp(command, "qmp_capabilities") != 0) {
        ret_error->class = "CommandNotFound";
        return fail(ret_error, "the first command must be qmp_capabilities");
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, command) != 0)
            continue;
        if (!commands[i].run)
            return fail(ret_error, "%s", commands[i].refusal);
        return commands[i].run(client, arguments, ret_error);
    }
    ret_error->class = "CommandNotFound";
    return fail(ret_error, "ioemud does not know the command %.64s", command);
}
