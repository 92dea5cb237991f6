/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guests_dir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "daemon/guest.h"

#define SUFFIX ".json"
#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |    \
     IN_ONLYDIR)
/* In the folder around it, while it does not exist. */
#define PARENT_EVENTS (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)

struct described_file {
    struct described_file *next;
    char *name;
    char *error;             /* NULL: it is good */
    uint32_t tried_domid;    /* attached by itself, or tried to be; 0: none */
    uint32_t detached_domid; /* by somebody */
    uint32_t orphan_domid;   /* served by a former daemon */
    bool alone;              /* a secondary's of Xen: it needs no xl */
    bool seen;               /* while all are looked at */
};

static void path_of(const struct daemon *daemon, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s" SUFFIX, daemon->config.guests_dir, name);
}

static struct described_file *find(const struct daemon *daemon, const char *name)
{
    struct described_file *file = daemon->guests_dir.files;

    while (file && strcmp(file->name, name))
        file = file->next;
    return file;
}

/* NULL when memory is short. */
static struct described_file *find_or_add(struct daemon *daemon, const char *name)
{
    struct described_file *file = find(daemon, name);

    if (file)
        return file;
    file = calloc(1, sizeof(*file));
    if (file)
        file->name = strdup(name);
    if (!file || !file->name) {
        free(file);
        return NULL;
    }
    file->next = daemon->guests_dir.files;
    daemon->guests_dir.files = file;
    return file;
}

static void forget(struct daemon *daemon, struct described_file *file)
{
    for (struct described_file **at = &daemon->guests_dir.files; *at; at = &(*at)->next) {
        if (*at != file)
            continue;
        *at = file->next;
        break;
    }
    free(file->name);
    free(file->error);
    free(file);
}

/* ---- files ----------------------------------------------------------------------------------- */

static size_t stem_length(const char *name)
{
    size_t length = strlen(name), suffix = strlen(SUFFIX);

    return name[0] != '.' && length > suffix && !strcmp(name + length - suffix, SUFFIX)
               ? length - suffix
               : 0;
}

static int is_guest_file(const struct dirent *entry)
{
    return stem_length(entry->d_name) > 0;
}

int guests_dir_names(const char *dir, char ***ret_names)
{
    struct dirent **entry = NULL;
    int count = scandir(dir, &entry, is_guest_file, alphasort), err = 0;
    char **names;

    if (count < 0) {
        if (errno != ENOENT)
            return -errno;
        count = 0;
    }
    names = calloc((size_t)count + 1, sizeof(*names));
    for (int i = 0; i < count; i++) {
        if (names)
            names[i] = strndup(entry[i]->d_name, stem_length(entry[i]->d_name));
        if (!names || !names[i])
            err = -ENOMEM;
        free(entry[i]);
    }
    free(entry);
    if (!names || err) {
        for (int i = 0; names && i < count; i++)
            free(names[i]);
        free(names);
        return -ENOMEM;
    }
    *ret_names = names;
    return count;
}

int guests_dir_load(const char *path, struct guest_config *ret_config,
                    struct config_error *ret_error)
{
    struct guest_config config;
    int err = guest_config_load(path, &config, ret_error);

    if (err)
        return err;
    if (config.hypervisor == GUEST_SHM || config.role != GUEST_PRIMARY)
        err = guest_config_check(&config, path, ret_error);
    if (err)
        guest_config_finish(&config);
    else
        *ret_config = config;
    return err;
}

/* A guest of the file that is attached by itself, when its domain is there. */
static void attach_if_wanted(struct daemon *daemon, struct described_file *file,
                             struct guest_config *config)
{
    struct guest_attach attach = {.config = *config, .origin = GUEST_OF_FILE, .by_itself = true};
    const struct hv_ops *hv = daemon->hv[DAEMON_XEN];
    struct hv_host *host = daemon->host[DAEMON_XEN];

    file->alone = config->hypervisor == GUEST_XEN && config->role != GUEST_PRIMARY;
    if (!file->alone || daemon->stopping || !host ||
        hv->find_domain(host, file->name, &attach.domid) || attach.domid == file->tried_domid ||
        attach.domid == file->detached_domid) {
        guest_config_finish(config);
        return;
    }
    file->tried_domid = attach.domid;
    if (guest_is_attached(daemon, config, attach.domid)) {
        guest_config_finish(config);
        return;
    }
    attach.reset = attach.domid == file->orphan_domid;
    log_write(&daemon->log, LOG_INFO, file->name, "event=attaching-by-itself domid=%u",
              attach.domid);
    guest_attach(daemon, &attach);
}

static void note_error(struct daemon *daemon, struct described_file *file, const char *error)
{
    free(file->error);
    file->error = strdup(error);
    log_write(&daemon->log, LOG_ERR, file->name, "event=guest-file-bad why=\"%s\"", error);
}

/* A file that is new, or may have changed. */
static void look_at(struct daemon *daemon, const char *name, bool tell)
{
    struct described_file *file = find_or_add(daemon, name);
    struct guest_config config;
    struct config_error error;
    char path[PATH_MAX];
    int err;

    if (!file)
        return;
    file->seen = true;
    path_of(daemon, name, path);
    err = guests_dir_load(path, &config, &error);
    if (err == -ENOENT) {
        forget(daemon, file);
        return;
    }
    if (tell)
        file->tried_domid = 0; /* it may do now */
    if (err) {
        file->alone = false;
        note_error(daemon, file, error.text);
        return;
    }
    free(file->error);
    file->error = NULL;
    if (tell)
        log_write(&daemon->log, LOG_INFO, name, "event=guest-file-good path=%s", path);
    for (struct guest *guest = tell ? daemon->guests : NULL; guest; guest = guest->next)
        if (!guest_leaves(guest) && !strcmp(guest->config.name, name) &&
            guest->origin != GUEST_OF_REQUEST)
            guest_log(guest, LOG_NOTICE, "event=guest-file-changed hint=\"ioemuctl reload\"");
    attach_if_wanted(daemon, file, &config);
}

/* All of them. `tell`: of those that are good, too. */
static void look_at_all(struct daemon *daemon, bool tell)
{
    struct described_file *next;
    char **names = NULL;
    int count = guests_dir_names(daemon->config.guests_dir, &names);

    if (count < 0) {
        log_write(&daemon->log, LOG_ERR, NULL, "event=guests-dir-unreadable path=%s error=\"%s\"",
                  daemon->config.guests_dir, strerror(-count));
        return;
    }
    for (struct described_file *file = daemon->guests_dir.files; file; file = file->next)
        file->seen = false;
    for (int i = 0; i < count; i++) {
        look_at(daemon, names[i], tell);
        free(names[i]);
    }
    free(names);
    for (struct described_file *file = daemon->guests_dir.files; file; file = next) {
        next = file->next;
        if (!file->seen)
            forget(daemon, file);
    }
}

/* ---- the folder ------------------------------------------------------------------------------ */

/* The folder, or the one around it while it does not exist. */
static void watch_folder(struct daemon *daemon)
{
    struct guests_dir *dir = &daemon->guests_dir;
    const char *path = daemon->config.guests_dir;
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];

    dir->wd = inotify_add_watch(dir->fd, path, EVENTS);
    if (dir->wd >= 0)
        return;
    log_write(&daemon->log, errno == ENOENT ? LOG_NOTICE : LOG_ERR, NULL,
              "event=guests-dir-not-watched path=%s error=\"%s\"", path, strerror(errno));
    snprintf(parent, sizeof(parent), "%.*s", slash > path ? (int)(slash - path) : 1, path);
    if (errno == ENOENT)
        inotify_add_watch(dir->fd, parent, PARENT_EVENTS);
}

static bool is_the_folder(const struct daemon *daemon, const struct inotify_event *event)
{
    const char *slash = strrchr(daemon->config.guests_dir, '/');

    return event->len && slash && !strcmp(event->name, slash + 1);
}

/* True: all must be looked at anew. */
static bool take_event(struct daemon *daemon, const struct inotify_event *event)
{
    struct guests_dir *dir = &daemon->guests_dir;
    char name[NAME_MAX + 1];
    size_t length;

    if (event->mask & IN_Q_OVERFLOW)
        return true;
    if (dir->wd < 0 && is_the_folder(daemon, event))
        return true;
    if (dir->wd < 0 || event->wd != dir->wd)
        return false;
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
        return true;
    length = event->len ? stem_length(event->name) : 0;
    if (!length)
        return false;
    snprintf(name, sizeof(name), "%.*s", (int)length, event->name);
    if (event->mask & (IN_MOVED_FROM | IN_DELETE) && find(daemon, name))
        log_write(&daemon->log, LOG_INFO, name, "event=guest-file-gone");
    look_at(daemon, name, true);
    return false;
}

static void close_watch(struct daemon *daemon)
{
    struct guests_dir *dir = &daemon->guests_dir;
    const struct loop *loop = &daemon->evloop.loop;

    if (!dir->watch)
        return;
    loop->ops->unwatch(loop->ctx, dir->watch);
    close(dir->fd);
    dir->watch = NULL;
}

static void on_events(void *arg, unsigned events)
{
    struct daemon *daemon = arg;
    _Alignas(struct inotify_event) char buf[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
    ssize_t length = read(daemon->guests_dir.fd, buf, sizeof(buf));
    bool anew = false;

    for (ssize_t at = 0; at < length && !anew;) {
        const struct inotify_event *event = (const struct inotify_event *)(void *)(buf + at);

        anew = take_event(daemon, event);
        at += (ssize_t)(sizeof(*event) + event->len);
    }
    if (anew)
        guests_dir_refresh(daemon);
}

static void open_watch(struct daemon *daemon)
{
    struct guests_dir *dir = &daemon->guests_dir;
    const struct loop *loop = &daemon->evloop.loop;
    int err;

    dir->wd = -1;
    dir->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    err = dir->fd < 0
              ? -errno
              : loop->ops->watch(loop->ctx, dir->fd, LOOP_READ, on_events, daemon, &dir->watch);
    if (err) {
        log_write(&daemon->log, LOG_ERR, NULL,
                  "event=guests-dir-not-watched path=%s error=\"%s\" hint=\"ioemuctl reload\"",
                  daemon->config.guests_dir, strerror(-err));
        if (dir->fd >= 0)
            close(dir->fd);
        return;
    }
    watch_folder(daemon);
}

void guests_dir_open(struct daemon *daemon)
{
    open_watch(daemon); /* before looking, so that nothing is missed */
    look_at_all(daemon, false);
}

void guests_dir_close(struct daemon *daemon)
{
    close_watch(daemon);
    while (daemon->guests_dir.files)
        forget(daemon, daemon->guests_dir.files);
}

void guests_dir_refresh(struct daemon *daemon)
{
    close_watch(daemon);
    open_watch(daemon);
    look_at_all(daemon, false);
}

/* ---- domains --------------------------------------------------------------------------------- */

void guests_dir_domains(struct daemon *daemon)
{
    struct described_file *next;

    for (struct described_file *file = daemon->guests_dir.files; file; file = next) {
        struct guest_config config;
        struct config_error error;
        char path[PATH_MAX];

        next = file->next;
        if (!file->alone)
            continue;
        path_of(daemon, file->name, path);
        if (!guests_dir_load(path, &config, &error))
            attach_if_wanted(daemon, file, &config);
    }
}

void guests_dir_orphan(struct daemon *daemon, const char *name, uint32_t domid)
{
    struct described_file *file = find(daemon, name);

    if (file)
        file->orphan_domid = domid;
}

void guests_dir_detached(struct daemon *daemon, const struct guest *guest)
{
    struct described_file *file = find(daemon, guest->config.name);

    if (file)
        file->detached_domid = guest->domid;
}

json_t *guests_dir_list(const struct daemon *daemon)
{
    json_t *list = json_array();
    bool all = list;

    for (const struct described_file *file = daemon->guests_dir.files; list && file;
         file = file->next) {
        char path[PATH_MAX];

        path_of(daemon, file->name, path);
        all &= !json_array_insert_new(list, 0,
                                      json_pack("{s:s, s:s, s:b, s:s*}", "name", file->name, "path",
                                                path, "good", !file->error, "error", file->error));
    }
    if (all)
        return list;
    json_decref(list);
    return NULL;
}
