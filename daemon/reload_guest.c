/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a reload makes of one guest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guest_live.h"
#include "daemon/guest_nics.h"
#include "daemon/reload.h"

/* The guest's side of a reload, while its description is compared. */
struct comparison {
    struct reload *reload;
    struct guest *guest;
    const struct guest_config *now, *file;
    const char *path;
    json_t *given; /* what the guest has: what is applied is noted here */
    bool waiting;  /* nothing of it is in use yet: all is applied */
    struct vm_live live;
    bool any_live;
};

struct list {
    const char *key, *id; /* "disks", "vdev" */
    bool nics;
};

enum { LIST_DISKS, LIST_NICS };

static const struct list lists[] = {
    [LIST_DISKS] = {"disks", "vdev", false},
    [LIST_NICS] = {"nics", "devid", true},
};

static json_t *find(const json_t *array, const char *id, const json_t *of)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (json_equal(json_object_get(json_array_get(array, i), id), json_object_get(of, id)))
            return json_array_get(array, i);
    return NULL;
}

/* A medium or a NIC that is being changed. */
struct under_way {
    struct reload *reload;
    struct guest *guest; /* is there until it is told */
    const struct list *list;
    json_t *element; /* of the list, as it will be described */
    char *file;
    char at[48];
    json_t *from, *to;
};

/* The guest has it now. Without memory it is reported once more. */
static void note_given(struct guest *guest, const struct list *list, json_t *element)
{
    json_t *given = json_loads(guest->described, 0, NULL);
    json_t *array = json_object_get(given, list->key), *before = find(array, list->id, element);
    char *described;

    if (before)
        json_object_update(before, element);
    else
        json_array_append(array, element);
    if (list == &lists[LIST_DISKS] && !json_object_get(element, "path"))
        json_object_del(before, "path");
    described = given ? json_dumps(given, JSON_COMPACT) : NULL;
    if (described) {
        free(guest->described);
        guest->described = described;
    }
    json_decref(given);
}

static void finish_under_way(void *ctx, int err, const char *why)
{
    struct under_way *under_way = ctx;
    struct reload *reload = under_way->reload;

    reload_item(reload, under_way->file, under_way->at, under_way->from, under_way->to,
                err ? RELOAD_FAILED : RELOAD_APPLIED, err ? why : NULL);
    if (!err)
        note_given(under_way->guest, under_way->list, under_way->element);
    json_decref(under_way->element);
    json_decref(under_way->from);
    json_decref(under_way->to);
    free(under_way->file);
    free(under_way);
    reload_let_go(reload);
}

/* Takes `element` over. */
static struct under_way *begin_under_way(const struct comparison *comparison,
                                         const struct list *list, json_t *element, const char *at,
                                         json_t *from, json_t *to)
{
    struct under_way *under_way = calloc(1, sizeof(*under_way));
    char *file = strdup(comparison->path);

    if (!under_way || !file) {
        free(under_way);
        free(file);
        json_decref(element);
        reload_item(comparison->reload, comparison->path, at, from, to, RELOAD_FAILED,
                    "out of memory");
        return NULL;
    }
    *under_way = (struct under_way){.reload = comparison->reload,
                                    .guest = comparison->guest,
                                    .list = list,
                                    .element = element,
                                    .file = file,
                                    .from = json_incref(from),
                                    .to = json_incref(to)};
    snprintf(under_way->at, sizeof(under_way->at), "%s", at);
    reload_hold(comparison->reload);
    return under_way;
}

static void live_changed(void *ctx)
{
    reload_let_go(ctx);
}

/* ---- disks ----------------------------------------------------------------------------------- */

static void change_medium(struct comparison *comparison, const struct disk_config *disk,
                          const char *at, json_t *from, json_t *to)
{
    struct guest_medium medium = {
        .vdev = disk->vdev, .path = disk->path[0] ? disk->path : NULL, .fd = -1};
    json_t *element = json_pack("{s:s, s:O*}", "vdev", disk->vdev, "path", to);
    struct under_way *under_way =
        begin_under_way(comparison, &lists[LIST_DISKS], element, at, from, to);

    if (under_way)
        guest_change_medium(comparison->guest, &medium, finish_under_way, under_way);
}

/* True: it is applied, or being so and told of later (*ret_later). */
static bool apply_disk_key(struct comparison *comparison, const struct disk_config *disk,
                           const char *key, const char *at, json_t *from, json_t *to,
                           bool *ret_later)
{
    struct vm_live *live = &comparison->live;
    unsigned drive = (unsigned)(disk->vdev[2] - 'a');
    struct vm_disk errors = {0};

    if (!strcmp(key, "path") && disk->type == DISK_CDROM) {
        *ret_later = true;
        change_medium(comparison, disk, at, from, to);
        return true;
    }
    if (strcmp(key, "werror") != 0 && strcmp(key, "rerror") != 0)
        return false;
    guest_disk_errors(disk, &errors);
    live->policies |= 1u << drive;
    live->on_read_error[drive] = errors.on_read_error;
    live->on_write_error[drive] = errors.on_write_error;
    for (unsigned i = 0; i < comparison->guest->config.n_disks; i++) {
        struct disk_config *of = &comparison->guest->config.disk[i];

        if (strcmp(of->vdev, disk->vdev) != 0)
            continue;
        of->werror = disk->werror;
        of->rerror = disk->rerror;
    }
    return comparison->any_live = true;
}

/* ---- NICs ------------------------------------------------------------------------------------ */

static bool apply_nic_key(struct comparison *comparison, const struct nic_config *nic,
                          const char *key)
{
    struct vm_live *live = &comparison->live;
    unsigned bit = 1u << nic->devid;

    if (!strcmp(key, "link")) {
        live->links |= bit;
        live->up |= nic->link ? bit : 0;
    } else if (!strcmp(key, "rate") || !strcmp(key, "rate_in")) {
        live->limits |= bit;
        guest_nic_limits(comparison->guest, nic, &live->limit[nic->devid]);
    } else {
        return false;
    }
    for (unsigned i = 0; i < comparison->guest->config.n_nics; i++) {
        struct nic_config *of = &comparison->guest->config.nic[i];

        if (of->devid != nic->devid)
            continue;
        of->link = nic->link;
        of->rate = nic->rate;
        of->rate_in = nic->rate_in;
    }
    return comparison->any_live = true;
}

/* A copy of its own: guest_nic_add() takes it over. */
static void add_nic(struct comparison *comparison, json_t *described, const char *at)
{
    struct under_way *under_way =
        begin_under_way(comparison, &lists[LIST_NICS], json_incref(described), at, NULL, described);
    struct nic_config config;
    struct config_error error;

    if (!under_way)
        return;
    if (nic_config_from_json(described, &config, &error))
        finish_under_way(under_way, -EINVAL, error.text);
    else
        guest_nic_add(comparison->guest, &config, finish_under_way, under_way);
}

/* ---- what is listed by a name ---------------------------------------------------------------- */

/* The place in the file of the element; of the whole list, if it is not in the file. */
static void place(const struct comparison *comparison, const struct list *list, const json_t *of,
                  const char *key, char at[48])
{
    const struct guest_config *file = comparison->file;
    const json_t *id = json_object_get(of, list->id);
    unsigned count = !file ? 0 : list->nics ? file->n_nics : file->n_disks;

    for (unsigned i = 0; i < count; i++) {
        if (list->nics ? file->nic[i].devid != (unsigned)json_integer_value(id)
                       : strcmp(file->disk[i].vdev, json_string_value(id)) != 0)
            continue;
        snprintf(at, 48, "/%s/%u%s%s", list->key, i, key ? "/" : "", key ? key : "");
        return;
    }
    snprintf(at, 48, "/%s", list->key);
}

static bool apply_key(struct comparison *comparison, const struct list *list, const json_t *of,
                      const char *key, const char *at, json_t *from, json_t *to, bool *ret_later)
{
    const struct guest_config *now = comparison->now;
    const json_t *id = json_object_get(of, list->id);

    if (comparison->waiting || comparison->guest->state != GUEST_RUNNING)
        return comparison->waiting;
    for (unsigned i = 0; list->nics && i < now->n_nics; i++)
        if (now->nic[i].devid == (unsigned)json_integer_value(id))
            return apply_nic_key(comparison, &now->nic[i], key);
    for (unsigned i = 0; !list->nics && i < now->n_disks; i++)
        if (!strcmp(now->disk[i].vdev, json_string_value(id)))
            return apply_disk_key(comparison, &now->disk[i], key, at, from, to, ret_later);
    return false;
}

static void compare_key(struct comparison *comparison, const struct list *list, json_t *was,
                        const char *key, json_t *from, json_t *to)
{
    bool later = false, applied;
    char at[48];

    if (json_equal(from, to))
        return;
    place(comparison, list, was, key, at);
    applied = apply_key(comparison, list, was, key, at, from, to, &later);
    if (!later)
        reload_item(comparison->reload, comparison->path, at, from, to,
                    applied ? RELOAD_APPLIED : RELOAD_REATTACH, NULL);
    if (!applied || later)
        return;
    if (to)
        json_object_set(was, key, to);
    else
        json_object_del(was, key);
}

static void compare_elements(struct comparison *comparison, const struct list *list, json_t *was,
                             json_t *now)
{
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach(now, key, value)
    {
        json_t *from = json_object_get(was, key);

        json_incref(from);
        compare_key(comparison, list, was, key, from, value);
        json_decref(from);
    }
    json_object_foreach_safe(was, next, key, value)
    {
        if (json_object_get(now, key))
            continue;
        json_incref(value);
        compare_key(comparison, list, was, key, value, NULL);
        json_decref(value);
    }
}

static void compare_list(struct comparison *comparison, const struct list *list, json_t *now)
{
    json_t *was = json_object_get(comparison->given, list->key);
    const json_t *wanted = json_object_get(now, list->key);
    bool plug = list->nics && comparison->guest->state == GUEST_RUNNING;
    enum reload_result result = comparison->waiting ? RELOAD_APPLIED : RELOAD_REATTACH;
    char at[48];

    for (size_t i = 0; i < json_array_size(wanted); i++) {
        json_t *element = json_array_get(wanted, i), *before = find(was, list->id, element);

        if (before) {
            compare_elements(comparison, list, before, element);
            continue;
        }
        place(comparison, list, element, NULL, at);
        if (plug)
            add_nic(comparison, element, at);
        else
            reload_item(comparison->reload, comparison->path, at, NULL, element, result, NULL);
    }
    for (size_t i = 0; i < json_array_size(was); i++) {
        const json_t *element = json_array_get(was, i);

        snprintf(at, sizeof(at), "/%s", list->key);
        if (!find(wanted, list->id, element))
            reload_item(comparison->reload, comparison->path, at, element, NULL, result,
                        list->nics && !comparison->waiting ? "or ioemuctl nic-remove" : NULL);
    }
}

/* ---- the guest ------------------------------------------------------------------------------- */

static bool apply_guest_key(struct comparison *comparison, const char *key)
{
    struct guest *guest = comparison->guest;

    if (strcmp(key, "budget") != 0 || comparison->waiting || guest->state != GUEST_RUNNING)
        return comparison->waiting;
    comparison->live.set_budget = true;
    comparison->live.budget = guest->config.budget = comparison->now->budget;
    return comparison->any_live = true;
}

static void compare(struct comparison *comparison, json_t *now)
{
    const char *key;
    json_t *value;

    json_object_foreach(now, key, value)
    {
        const json_t *before = json_object_get(comparison->given, key);
        bool applied;
        char at[48];

        if (!strcmp(key, "disks") || !strcmp(key, "nics") || json_equal(before, value))
            continue;
        snprintf(at, sizeof(at), "/%s", key);
        applied = apply_guest_key(comparison, key);
        reload_item(comparison->reload, comparison->path, at, before, value,
                    applied ? RELOAD_APPLIED : RELOAD_REATTACH, NULL);
        if (applied)
            json_object_set(comparison->given, key, value);
    }
    json_object_foreach(comparison->given, key, value)
    {
        char at[48];

        if (json_object_get(now, key))
            continue;
        snprintf(at, sizeof(at), "/%s", key);
        reload_item(comparison->reload, comparison->path, at, value, NULL,
                    comparison->waiting ? RELOAD_APPLIED : RELOAD_REATTACH, NULL);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        compare_list(comparison, &lists[i], now);
}

/* The guest is described as `object` from now on. */
static void note_described(struct guest *guest, const json_t *object)
{
    char *described = json_dumps(object, JSON_COMPACT);

    if (!described)
        return; /* what was applied is reported once more */
    free(guest->described);
    guest->described = described;
}

static void change_live(struct comparison *comparison)
{
    struct reload *reload = comparison->reload;

    if (!comparison->any_live)
        return;
    reload_hold(reload);
    if (!guest_change_live(comparison->guest, &comparison->live, live_changed, reload))
        return;
    reload_item(reload, comparison->path, "/", NULL, NULL, RELOAD_FAILED, "out of memory");
    reload_let_go(reload);
}

void reload_guest(struct reload *reload, struct guest *guest, struct guest_config *now,
                  const struct guest_config *file, const char *path)
{
    struct comparison comparison = {
        .reload = reload,
        .guest = guest,
        .now = now,
        .file = file,
        .path = path,
        .given = json_loads(guest->described, 0, NULL),
        .waiting = guest->state == GUEST_WAITING,
    };
    json_t *wanted = guest_config_to_json(now);

    if (!wanted || !comparison.given) {
        reload_item(reload, path, "/", NULL, NULL, RELOAD_FAILED, "out of memory");
    } else if (!file && !guest->line) {
        reload_item(reload, path, "/", comparison.given, NULL, RELOAD_REATTACH,
                    "the file is gone: ioemuctl detach");
    } else {
        compare(&comparison, wanted);
        note_described(guest, comparison.waiting ? wanted : comparison.given);
        change_live(&comparison);
        if (comparison.waiting) {
            struct guest_config was = guest->config;

            guest->config = *now;
            *now = was;
        }
    }
    guest_config_finish(now);
    json_decref(wanted);
    json_decref(comparison.given);
}
