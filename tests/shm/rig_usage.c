/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon and its workers have: processes, descriptors, memory, threads. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/shm/rig.h"

#define PROCESSES 1025 /* a worker for each of very many guests */

static char *proc_file(pid_t pid, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return rig_read_file(path);
}

/* The daemon, and worker processes after it. Returns how many. */
static unsigned processes(const struct rig *rig, pid_t ret_pids[PROCESSES])
{
    char name[32], *children, *at, *end;
    unsigned n = 1;

    ret_pids[0] = rig->pid;
    snprintf(name, sizeof(name), "task/%d/children", (int)rig->pid);
    children = at = proc_file(rig->pid, name);
    for (long pid; n < PROCESSES && (pid = strtol(at, &end, 10)); at = end)
        ret_pids[n++] = (pid_t)pid;
    free(children);
    return n;
}

unsigned rig_workers(struct rig *rig)
{
    pid_t pids[PROCESSES];

    return processes(rig, pids) - 1;
}

bool rig_wait_workers(struct rig *rig, unsigned count, int ms)
{
    for (int i = 0; i <= ms / 10; i++) {
        if (rig_workers(rig) == count)
            return true;
        usleep(10000);
    }
    return false;
}

/* Of all processes; one that ends meanwhile has nothing. */
static unsigned long sum(struct rig *rig, unsigned long (*of)(pid_t pid))
{
    pid_t pids[PROCESSES];
    unsigned n = processes(rig, pids);
    unsigned long total = 0;

    for (unsigned i = 0; i < n; i++)
        total += of(pids[i]);
    return total;
}

static unsigned long descriptors_of(pid_t pid)
{
    unsigned long n = 0;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

unsigned rig_descriptors(struct rig *rig)
{
    return (unsigned)sum(rig, descriptors_of);
}

bool rig_wait_descriptors(struct rig *rig, unsigned most, int ms)
{
    for (int i = 0; i <= ms / 10; i++) {
        if (rig_descriptors(rig) <= most)
            return true;
        usleep(10000);
    }
    return false;
}

unsigned long rig_memfd_mappings_of(pid_t pid)
{
    char *maps = proc_file(pid, "maps");
    unsigned long n = 0;

    for (const char *at = maps; (at = strstr(at, "/memfd:")); at++)
        n += strncmp(at, "/memfd:ioemud-", strlen("/memfd:ioemud-")) != 0; /* its own: no guest's */
    free(maps);
    return n;
}

unsigned rig_memfd_mappings(struct rig *rig)
{
    return (unsigned)sum(rig, rig_memfd_mappings_of);
}

static unsigned long field(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

/* What daemon and workers share, counters, is nobody else's: of each its part. */
static unsigned long own_shared_kib(const char *smaps)
{
    unsigned long kib = 0;

    for (const char *at = smaps; (at = strstr(at, "/memfd:ioemud-")); at++)
        if (field(at, "\nShared_Dirty:"))
            kib += field(at, "\nPss:");
    return kib;
}

static unsigned long private_kib_of(pid_t pid)
{
    char *rollup = proc_file(pid, "smaps_rollup"), *smaps = proc_file(pid, "smaps");
    unsigned long kib = field(rollup, "Private_Dirty:") + own_shared_kib(smaps);

    free(rollup);
    free(smaps);
    return kib;
}

unsigned long rig_private_kib(struct rig *rig)
{
    return sum(rig, private_kib_of);
}

static unsigned long threads_of(pid_t pid)
{
    char *status = proc_file(pid, "status");
    unsigned long threads = field(status, "Threads:");

    free(status);
    return threads;
}

unsigned rig_threads(struct rig *rig)
{
    return (unsigned)sum(rig, threads_of);
}

static unsigned long wakeups_of(pid_t pid)
{
    unsigned long wakeups = 0;
    struct dirent *entry;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char *status;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "task/%.16s/status", entry->d_name);
        status = proc_file(pid, path);
        wakeups += field(status, "\nvoluntary_ctxt_switches:");
        free(status);
    }
    if (dir)
        closedir(dir);
    return wakeups;
}

unsigned long rig_wakeups(struct rig *rig)
{
    return sum(rig, wakeups_of);
}
