/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/shm/rig_worker.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

pid_t rig_worker(struct rig *rig, const char *name)
{
    json_t *stats = rig_call(rig, "stats", NULL, NULL), *guest, *worker;
    size_t i, j;
    pid_t pid = 0;

    json_array_foreach(json_object_get(stats, "guests"), i, guest)
    {
        json_array_foreach(json_object_get(json_object_get(stats, "daemon"), "workers"), j, worker)
        {
            if (!strcmp(json_string_value(json_object_get(guest, "name")), name) &&
                json_integer_value(json_object_get(guest, "worker")) ==
                    json_integer_value(json_object_get(worker, "id")))
                pid = (pid_t)json_integer_value(json_object_get(worker, "pid"));
        }
    }
    json_decref(stats);
    assert_true(pid > 1);
    assert_int_not_equal(pid, rig->pid);
    return pid;
}

unsigned rig_descriptors_without(pid_t pid, const char *what)
{
    char path[64], from[384], to[256];
    const struct dirent *entry;
    unsigned count = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        ssize_t n;

        snprintf(from, sizeof(from), "%s/%s", path, entry->d_name);
        n = readlink(from, to, sizeof(to) - 1);
        if (n < 0)
            continue;
        to[n] = '\0';
        count += !strstr(to, what);
    }
    closedir(dir);
    return count;
}

/* Of what the process has of its own and can write to, but for a sanitizer's terabytes. */
#define MAPPING_MAX (1ul << 30)
bool rig_memory_has(pid_t pid, const char *text)
{
    char path[64], line[512];
    FILE *maps;
    bool found = false;
    int mem;

    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    mem = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    maps = fopen(path, "re");
    assert_true(mem >= 0);
    assert_non_null(maps);
    while (!found && fgets(line, sizeof(line), maps)) {
        unsigned long first, end;
        char mode[8] = "", *bytes;
        ssize_t n;

        if (sscanf(line, "%lx-%lx %7s", &first, &end, mode) != 3 || strncmp(mode, "rw-p", 4) != 0 ||
            end - first > MAPPING_MAX)
            continue;
        bytes = malloc(end - first);
        assert_non_null(bytes);
        n = pread(mem, bytes, end - first, (off_t)first);
        found = n > 0 && memmem(bytes, (size_t)n, text, strlen(text));
        free(bytes);
    }
    fclose(maps);
    close(mem);
    return found;
}

bool rig_log_has(struct rig *rig, const char *text)
{
    for (unsigned i = 0; i < 500; i++) {
        char *log = rig_log(rig);
        bool has = strstr(log, text);

        free(log);
        if (has)
            return true;
        usleep(10000);
    }
    return false;
}
