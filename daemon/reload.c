/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/reload.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guest_live.h"
#include "daemon/guests_dir.h"
#include "daemon/worker_process.h"

/* One guest's file, and what it makes of the guest that is attached. */
struct described {
    char *name;
    struct guest_config config;
};

struct planned {
    struct guest *guest;
    struct guest_config now;
    const struct guest_config *file; /* NULL: it has none any more */
};

struct reload {
    struct daemon *daemon;
    struct rpc_call *call; /* NULL: nobody asked */
    struct daemon_config config;
    bool config_read;
    struct described *file;
    unsigned n_files;
    struct planned *plan;
    unsigned n_plan;
    unsigned errors;
    char error[CONFIG_ERROR_SIZE]; /* the first */
    json_t *items;
    unsigned count[RELOAD_FAILED + 1];
    unsigned held;
};

static const char *const result_names[] = {
    [RELOAD_APPLIED] = "applied",
    [RELOAD_RESTART] = "restart",
    [RELOAD_REATTACH] = "re-attach",
    [RELOAD_FAILED] = "failed",
};

/* ---- what is told ---------------------------------------------------------------------------- */

static void note_error(struct reload *reload, const char *text)
{
    if (!reload->errors++)
        snprintf(reload->error, sizeof(reload->error), "%s", text);
    log_write(&reload->daemon->log, LOG_ERR, NULL, "event=reload-refused why=\"%s\"", text);
}

void reload_item(struct reload *reload, const char *file, const char *path, const json_t *from,
                 const json_t *to, enum reload_result result, const char *why)
{
    json_t *item = json_pack("{s:s, s:s, s:s, s:s*}", "file", file, "path", path, "result",
                             result_names[result], "why", why);

    if (from)
        json_object_set(item, "from", (json_t *)(uintptr_t)from);
    if (to)
        json_object_set(item, "to", (json_t *)(uintptr_t)to);
    json_array_append_new(reload->items, item);
    reload->count[result]++;
    log_write(&reload->daemon->log, result == RELOAD_FAILED ? LOG_WARNING : LOG_NOTICE, NULL,
              "event=reload file=%s at=%s result=%s%s%s%s", file, path, result_names[result],
              why ? " why=\"" : "", why ? why : "", why ? "\"" : "");
}

static void answer(struct reload *reload)
{
    unsigned pending = reload->count[RELOAD_RESTART] + reload->count[RELOAD_REATTACH];

    if (reload->errors) {
        if (reload->call && reload->errors == 1)
            rpc_fail(reload->call, RPC_FAILED, "nothing is changed: %s", reload->error);
        else if (reload->call)
            rpc_fail(reload->call, RPC_FAILED,
                     "nothing is changed: %s (and %u more: see the log, or ioemud --check)",
                     reload->error, reload->errors - 1);
        return;
    }
    log_write(&reload->daemon->log, LOG_INFO, NULL,
              "event=reloaded applied=%u pending=%u failed=%u", reload->count[RELOAD_APPLIED],
              pending, reload->count[RELOAD_FAILED]);
    if (reload->call)
        rpc_reply(reload->call,
                  json_pack("{s:i, s:i, s:i, s:O}", "applied", (int)reload->count[RELOAD_APPLIED],
                            "pending", (int)pending, "failed", (int)reload->count[RELOAD_FAILED],
                            "items", reload->items));
}

static void reload_free(struct reload *reload)
{
    for (unsigned i = 0; i < reload->n_plan; i++)
        guest_config_finish(&reload->plan[i].now);
    for (unsigned i = 0; i < reload->n_files; i++) {
        guest_config_finish(&reload->file[i].config);
        free(reload->file[i].name);
    }
    if (reload->config_read)
        daemon_config_finish(&reload->config);
    json_decref(reload->items);
    free(reload->plan);
    free(reload->file);
    free(reload);
}

void reload_hold(struct reload *reload)
{
    reload->held++;
}

void reload_let_go(struct reload *reload)
{
    if (--reload->held)
        return;
    reload->daemon->reload = NULL;
    answer(reload);
    reload_free(reload);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_daemon(struct reload *reload)
{
    const char *given = reload->daemon->config_file;
    struct config_error error;
    int err = daemon_config_load(given ? given : DAEMON_CONFIG_FILE, &reload->config, &error);

    if (err == -ENOENT && !given) {
        snprintf(error.text, sizeof(error.text), "out of memory");
        err = daemon_config_defaults(&reload->config);
    }
    reload->config_read = !err;
    if (err)
        note_error(reload, error.text);
}

static void read_file(struct reload *reload, char *name)
{
    struct described *file = &reload->file[reload->n_files];
    struct config_error error;
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s.json", reload->config.guests_dir, name);
    if (guests_dir_load(path, &file->config, &error)) {
        note_error(reload, error.text);
        free(name);
        return;
    }
    file->name = name;
    reload->n_files++;
}

static void read_files(struct reload *reload)
{
    const char *dir = reload->config.guests_dir;
    char **names = NULL, text[CONFIG_ERROR_SIZE];
    int count = guests_dir_names(dir, &names);

    if (count >= 0)
        reload->file = calloc((size_t)count + 1, sizeof(*reload->file));
    if (count < 0 || !reload->file) {
        snprintf(text, sizeof(text), "%.400s: %s", dir, strerror(count < 0 ? -count : ENOMEM));
        note_error(reload, text);
    }
    for (int i = 0; i < count; i++) {
        if (reload->file)
            read_file(reload, names[i]);
        else
            free(names[i]);
    }
    free(names);
}

static const struct guest_config *file_of(const struct reload *reload, const struct guest *guest)
{
    for (unsigned i = 0; i < reload->n_files; i++)
        if (!strcmp(reload->file[i].name, guest->config.name))
            return &reload->file[i].config;
    return NULL;
}

/* What the guest would be attached with now; for one whose only file is gone, what it has. */
static int describe(const struct guest *guest, const struct guest_config *file, const char *path,
                    struct guest_config *ret_config, struct config_error *ret_error)
{
    const char *text = guest->line ? guest->line : guest->described;
    json_t *object = file && !guest->line ? guest_config_to_json(file) : json_loads(text, 0, NULL);
    struct guest_config config;
    int err = object ? guest_config_from_json(object, path, &config, ret_error) : -ENOMEM;

    json_decref(object);
    if (!err && file && guest->line) {
        err = guest_config_merge(&config, file, ret_config, ret_error);
        guest_config_finish(&config);
    } else if (!err) {
        *ret_config = config;
    }
    return err;
}

static void plan_guests(struct reload *reload)
{
    struct daemon *daemon = reload->daemon;
    unsigned count = 0;

    for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
        count++;
    reload->plan = calloc(count + 1, sizeof(*reload->plan));
    if (!reload->plan) {
        note_error(reload, "out of memory");
        return;
    }
    for (struct guest *guest = daemon->guests; guest; guest = guest->next) {
        struct planned *plan = &reload->plan[reload->n_plan];
        struct config_error error = {"out of memory"};
        char path[PATH_MAX], text[CONFIG_ERROR_SIZE];

        if (guest_leaves(guest) || guest->origin == GUEST_OF_REQUEST || !guest->described)
            continue;
        plan->guest = guest;
        plan->file = file_of(reload, guest);
        snprintf(path, sizeof(path), "%s/%s.json", reload->config.guests_dir, guest->config.name);
        if (!describe(guest, plan->file, path, &plan->now, &error)) {
            reload->n_plan++;
            continue;
        }
        /* Of what does not go together there is no line to name. */
        if (strncmp(error.text, path, strlen(path)) != 0)
            snprintf(text, sizeof(text), "%.200s: %.300s", path, error.text);
        else
            snprintf(text, sizeof(text), "%s", error.text);
        note_error(reload, text);
    }
}

/* ---- applying -------------------------------------------------------------------------------- */

struct limit_mail {
    struct mail mail;
    struct worker *worker;
    unsigned poll_us;
};

static void run_limit(struct mail *mail) /* worker */
{
    struct limit_mail *limit = (struct limit_mail *)mail;

    watcher_set_limit(&limit->worker->watcher, limit->poll_us);
    free(limit);
}

static bool change_poll(struct daemon *daemon, unsigned poll_us)
{
    struct limit_mail *limit[DAEMON_WORKERS_MAX] = {0};
    bool good = true;

    for (unsigned i = 0; i < daemon->n_workers && good; i++)
        good = (limit[i] = calloc(1, sizeof(*limit[i]))) != NULL;
    for (unsigned i = 0; i < daemon->n_workers; i++) {
        if (!good) {
            free(limit[i]);
            continue;
        }
        *limit[i] = (struct limit_mail){{run_limit, NULL}, daemon->worker[i], poll_us};
        mailbox_post(&daemon->worker[i]->mailbox, &limit[i]->mail);
    }
    if (good) {
        daemon->config.poll_us = poll_us;
        guest_tune_workers(daemon);
    }
    return good;
}

/* True: the difference at this key is none any more. */
static bool apply_key(struct reload *reload, const char *key)
{
    struct daemon *daemon = reload->daemon;
    struct daemon_config *now = &reload->config;

    if (!strcmp(key, "poll_us"))
        return change_poll(daemon, now->poll_us);
    if (!strcmp(key, "worker_guests")) { /* of processes that get another one */
        daemon->config.worker_guests = now->worker_guests;
        return true;
    }
    if (!strcmp(key, "worker_timeout")) {
        daemon->config.worker_timeout = now->worker_timeout;
        worker_process_beat_again(daemon);
        return true;
    }
    if (!strcmp(key, "log_level")) {
        if (!daemon->level_given)
            log_set_level(&daemon->log, now->log_level);
        guest_tune_workers(daemon);
        daemon->config.log_level = now->log_level;
        return true;
    }
    if (!strcmp(key, "user_network_socket")) { /* of NICs that come */
        free(daemon->config.user_network_socket);
        daemon->config.user_network_socket = now->user_network_socket;
        now->user_network_socket = strdup(now->user_network_socket);
        return true;
    }
    if (!strcmp(key, "guests_dir")) {
        free(daemon->config.guests_dir);
        daemon->config.guests_dir = now->guests_dir;
        now->guests_dir = strdup(now->guests_dir);
        return true;
    }
    return false;
}

static void apply_daemon(struct reload *reload)
{
    struct daemon *daemon = reload->daemon;
    const char *file = daemon->config_file ? daemon->config_file : DAEMON_CONFIG_FILE;
    json_t *was = daemon_config_to_json(&daemon->config);
    json_t *now = daemon_config_to_json(&reload->config);
    const char *key;
    json_t *value;

    json_object_foreach(now, key, value)
    {
        const json_t *before = json_object_get(was, key);
        bool given = !strcmp(key, "log_level") && daemon->level_given;
        char path[64];

        if (json_equal(before, value))
            continue;
        snprintf(path, sizeof(path), "/%s", key);
        reload_item(reload, file, path, before, value,
                    apply_key(reload, key) ? RELOAD_APPLIED : RELOAD_RESTART,
                    given ? "the command line gave another level, which stays" : NULL);
    }
    json_object_foreach(was, key, value)
    {
        char path[64];

        if (json_object_get(now, key))
            continue;
        snprintf(path, sizeof(path), "/%s", key);
        reload_item(reload, file, path, value, NULL, RELOAD_RESTART, NULL);
    }
    json_decref(was);
    json_decref(now);
}

static void apply(struct reload *reload)
{
    apply_daemon(reload);
    for (unsigned i = 0; i < reload->n_plan; i++) {
        struct planned *plan = &reload->plan[i];
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/%s.json", reload->daemon->config.guests_dir,
                 plan->guest->config.name);
        reload_guest(reload, plan->guest, &plan->now, plan->file, path);
    }
    reload->n_plan = 0; /* their descriptions are taken over */
    guests_dir_refresh(reload->daemon);
}

void reload_begin(struct daemon *daemon, struct rpc_call *call)
{
    struct reload *reload;
    const char *why = daemon->stopping ? "the daemon is shutting down"
                      : daemon->reload ? "another reload is under way"
                                       : NULL;

    reload = why ? NULL : calloc(1, sizeof(*reload));
    if (reload)
        *reload = (struct reload){.daemon = daemon, .call = call, .items = json_array()};
    if (!reload || !reload->items) {
        if (call)
            rpc_fail(call, RPC_FAILED, "%s", why ? why : "out of memory");
        free(reload);
        return;
    }
    daemon->reload = reload;
    reload_hold(reload);
    read_daemon(reload);
    if (reload->config_read)
        read_files(reload);
    if (!reload->errors)
        plan_guests(reload);
    if (!reload->errors)
        apply(reload);
    reload_let_go(reload);
}

char *guest_describe(const struct guest_config *config)
{
    json_t *object = guest_config_to_json(config);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    return text;
}
