/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/resources.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

uint64_t resources_raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return UINT64_MAX;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit)) /* as good as it gets */
        getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

int resources_check_descriptors(uint64_t limit, unsigned workers, char ret_why[RESOURCES_WHY_SIZE])
{
    uint64_t own = RESOURCES_FDS_OWN + (uint64_t)workers * RESOURCES_FDS_WORKER;
    uint64_t wanted = own + RESOURCES_GUESTS * RESOURCES_FDS_GUEST;

    if (limit >= wanted)
        return 0;
    if (limit < own) {
        snprintf(ret_why, RESOURCES_WHY_SIZE,
                 "RLIMIT_NOFILE is %" PRIu64 ", %u workers take %" PRIu64 " without any guest: "
                 "raise LimitNOFILE= of the unit, or ulimit -n",
                 limit, workers, own);
        return -EMFILE;
    }
    snprintf(ret_why, RESOURCES_WHY_SIZE,
             "RLIMIT_NOFILE is %" PRIu64 ", enough for %" PRIu64 " guests or so: raise "
             "LimitNOFILE= of the unit, or ulimit -n",
             limit, (limit - own) / RESOURCES_FDS_GUEST);
    return -ENOSPC;
}

static bool read_number(const char *dir, const char *name, uint64_t *ret_value)
{
    char path[PATH_MAX];
    FILE *file;
    bool good;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "re");
    if (!file)
        return false;
    good = fscanf(file, "%" SCNu64, ret_value) == 1;
    fclose(file);
    return good;
}

int resources_check_aio(const char *sysctl_dir, unsigned workers, unsigned depth, char *ret_why,
                        size_t size)
{
    uint64_t most, used, wanted = (uint64_t)workers * depth;

    if (!read_number(sysctl_dir, "aio-max-nr", &most) ||
        !read_number(sysctl_dir, "aio-nr", &used) || used + wanted <= most)
        return 0;
    snprintf(ret_why, size,
             "fs.aio-max-nr is %" PRIu64 ", %" PRIu64 " of it are in use, and %u workers with an "
             "aio_depth of %u take %" PRIu64 ": sysctl fs.aio-max-nr=%" PRIu64 ", or fewer in "
             "ioemud.json",
             most, used, workers, depth, wanted, used + wanted);
    return -EAGAIN;
}
