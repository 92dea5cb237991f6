/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ctl_metrics.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(char *why, const char *path)
{
    int error = errno;

    snprintf(why, CTL_WHY_SIZE, "%s: %s", path, strerror(error));
    return -error;
}

static int write_all(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left) {
        ssize_t n = write(fd, text, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text += n;
        left -= (size_t)n;
    }
    return 0;
}

int ctl_write_textfile(const char *path, const char *text, char ret_why[CTL_WHY_SIZE])
{
    char other[PATH_MAX];
    int fd, err = 0;

    /* In the same folder, by a name that does not end with ".prom". */
    if (snprintf(other, sizeof(other), "%s.XXXXXX", path) >= (int)sizeof(other)) {
        errno = ENAMETOOLONG;
        return failed(ret_why, path);
    }
    fd = mkostemp(other, 0);
    if (fd < 0)
        return failed(ret_why, path);
    if (write_all(fd, text) || fchmod(fd, 0644))
        err = failed(ret_why, path);
    if (close(fd) && !err)
        err = failed(ret_why, path);
    if (!err && rename(other, path))
        err = failed(ret_why, path);
    if (err)
        unlink(other);
    return err;
}
