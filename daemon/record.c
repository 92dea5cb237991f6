/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A leading dot, so that record_each() never sees half a record. */
static void record_path(char path[PATH_MAX], const char *run_dir, const char *dot,
                        const char *guest, uint32_t domid)
{
    snprintf(path, PATH_MAX, "%s/guests/%s%s-%u.json", run_dir, dot, guest, domid);
}

static int write_synced(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), err = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd))
        err = errno ? -errno : -EIO;
    close(fd);
    return err;
}

int record_write(const char *run_dir, const char *guest, const struct hv_record *record)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    json_t *object = json_pack("{s:I, s:I, s:s}", "domid", (json_int_t)record->domid, "server",
                               (json_int_t)record->server_id, "domain", record->domain_handle);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    int err = -ENOMEM;

    json_decref(object);
    if (!text)
        return err;
    record_path(temporary, run_dir, ".", guest, record->domid);
    record_path(path, run_dir, "", guest, record->domid);
    err = write_synced(temporary, text);
    if (!err && rename(temporary, path))
        err = -errno;
    if (err)
        unlink(temporary);
    free(text);
    return err;
}

void record_remove(const char *run_dir, const char *guest, uint32_t domid)
{
    char path[PATH_MAX];

    record_path(path, run_dir, "", guest, domid);
    unlink(path);
}

static bool record_read(const char *path, struct hv_record *ret_record)
{
    json_error_t error;
    json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    json_int_t domid, server;
    const char *domain;
    bool good = !json_unpack(object, "{s:I, s:I, s:s}", "domid", &domid, "server", &server,
                             "domain", &domain) &&
                domid >= 0 && domid < 0x7ff0 && server >= 0 && server <= UINT16_MAX &&
                strlen(domain) < sizeof(ret_record->domain_handle);

    if (good) {
        *ret_record = (struct hv_record){.domid = (uint32_t)domid, .server_id = (uint32_t)server};
        memcpy(ret_record->domain_handle, domain, strlen(domain) + 1);
    }
    json_decref(object);
    return good;
}

/* What the file is called is the guest's name and its domain; in `name` remains the former. */
static void strip_domid(char *name, uint32_t domid)
{
    char end[16];
    int len = snprintf(end, sizeof(end), "-%u", domid);
    size_t name_len = strlen(name);

    if (name_len > (size_t)len && !strcmp(name + name_len - (size_t)len, end))
        name[name_len - (size_t)len] = '\0';
}

int record_each(const char *run_dir,
                bool (*each)(void *ctx, const char *guest, const struct hv_record *record),
                void *ctx)
{
    char path[PATH_MAX], name[NAME_MAX + 1];
    struct hv_record record;
    struct dirent *entry;
    bool good;
    int removed = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/guests", run_dir);
    dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    while ((entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);

        if (entry->d_name[0] == '.' || len < 6 || strcmp(entry->d_name + len - 5, ".json"))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)len - 5, entry->d_name);
        snprintf(path, sizeof(path), "%s/guests/%s", run_dir, entry->d_name);
        good = record_read(path, &record);
        if (good)
            strip_domid(name, record.domid);
        if (each(ctx, name, good ? &record : NULL) && !unlink(path))
            removed++;
    }
    closedir(dir);
    return removed;
}
