/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/opener.h"

static int failed(char *why, const char *what, const char *path)
{
    int err = errno;

    snprintf(why, OPENER_WHY_SIZE, "%s %s: %s", what, path, strerror(err));
    return -err;
}

/* A socket file that nobody listens on is left over from a daemon that died. What is no socket is
 * somebody's: connect() refuses that with the same error. */
static bool is_stale(const struct sockaddr_un *addr, int type)
{
    struct stat status;
    bool stale;
    int fd;

    if (lstat(addr->sun_path, &status) || !S_ISSOCK(status.st_mode))
        return false;
    /* Not to wait for one whose queue is full: that one is alive. */
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int set_group(const char *path, const char *group, char *why)
{
    struct group *entry = getgrnam(group);
    struct stat status;

    if (!entry) {
        snprintf(why, OPENER_WHY_SIZE, "socket %s: there is no group %s", path, group);
        return -EINVAL;
    }
    /* Who is not root has made it with his own group, and may be kept from asking for it. */
    if (!lstat(path, &status) && status.st_gid == entry->gr_gid)
        return 0;
    if (!chown(path, (uid_t)-1, entry->gr_gid))
        return 0;
    if (errno != EPERM)
        return failed(why, "group of socket", path);
    snprintf(why, OPENER_WHY_SIZE,
             "socket %s: no group but its own can be given to it; Group=%s in the unit "
             "(systemctl edit ioemud) makes %s that",
             path, group, group);
    return -EPERM;
}

int opener_listen(const char *path, int type, mode_t mode, const char *group, int *ret_fd,
                  char *ret_why)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t old_umask;
    int fd, err;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        snprintf(ret_why, OPENER_WHY_SIZE, "socket %s: the path is longer than %zu bytes", path,
                 sizeof(addr.sun_path) - 1);
        return -ENAMETOOLONG;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    if (is_stale(&addr, type))
        unlink(path);
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return failed(ret_why, "socket", path);
    old_umask = umask(0777 & ~mode);
    err = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
    umask(old_umask);
    if (err) {
        err = -errno;
        if (err == -EADDRINUSE)
            snprintf(ret_why, OPENER_WHY_SIZE,
                     "socket %s: another program listens there, or it is no socket", path);
        else
            err = failed(ret_why, "socket", path);
        goto close_fd;
    }
    err = *group ? set_group(path, group, ret_why) : 0;
    if (!err && listen(fd, 64))
        err = failed(ret_why, "socket", path);
    if (err)
        goto unlink_path;
    *ret_fd = fd;
    return 0;

unlink_path:
    unlink(path);
close_fd:
    close(fd);
    return err;
}
