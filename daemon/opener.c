/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static int failed(char *why, const char *what, const char *path)
{
    int err = errno;

    snprintf(why, OPENER_WHY_SIZE, "%s %s: %s", what, path, strerror(err));
    return -err;
}

void opener_hint(const char *path, int err, char *why)
{
    static const char *const hidden[] = {"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"};
    size_t length = strlen(why);

    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]) && err == -ENOENT; i++)
        if (!strncmp(path, hidden[i], strlen(hidden[i])))
            snprintf(why + length, OPENER_WHY_SIZE - length,
                     " (as a service the daemon does not see %s: images.conf of the examples)",
                     hidden[i]);
}

#define BUSY_TRIES   10u
#define BUSY_WAIT_US 10000u

#define CDROM_BLOCK 2048u

static int check_medium(const struct disk_config *disk, struct raw_image *image, char *why)
{
    if (image->bytes >= CDROM_BLOCK)
        return 0;
    raw_discard(image);
    snprintf(why, OPENER_WHY_SIZE, "%s is smaller than a block of a CD, %u bytes", disk->path,
             CDROM_BLOCK);
    return -EINVAL;
}

int opener_disk(const struct disk_config *disk, struct raw_image *ret_image, char *ret_why)
{
    struct raw_options options = {
        .read_only = disk->read_only || disk->type == DISK_CDROM,
        .direct = disk->direct,
        .write_through = disk->cache == DISK_WRITETHROUGH,
        .discard = disk->discard == DISK_DISCARD_UNMAP,
        .shared = disk->shared,
    };

    int err;

    /* A block device that a former guest held exclusively is free only when the kernel has let go
     * of its last request, a moment after the guest has drained. */
    for (unsigned tries = 0;; tries++) {
        err = raw_probe(disk->path, &options, ret_image, ret_why, OPENER_WHY_SIZE);
        if (!err && disk->type == DISK_CDROM)
            return check_medium(disk, ret_image, ret_why);
        if (err)
            opener_hint(disk->path, err, ret_why);
        if (err != -EBUSY || tries == BUSY_TRIES)
            return err;
        usleep(BUSY_WAIT_US);
    }
}

int opener_peek(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int opener_pty(int *ret_fd, char ret_path[OPENER_PATH_SIZE], char *ret_why)
{
    struct termios termios;
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), err;

    if (fd < 0)
        return failed(ret_why, "pseudo-terminal", "/dev/ptmx");
    if (grantpt(fd) || unlockpt(fd) || ptsname_r(fd, ret_path, OPENER_PATH_SIZE) ||
        tcgetattr(fd, &termios)) {
        err = failed(ret_why, "pseudo-terminal", "/dev/ptmx");
        goto close_fd;
    }
    cfmakeraw(&termios);
    if (tcsetattr(fd, TCSANOW, &termios)) {
        err = failed(ret_why, "pseudo-terminal", ret_path);
        goto close_fd;
    }
    *ret_fd = fd;
    return 0;

close_fd:
    close(fd);
    return err;
}

int opener_log_file(const char *path, int *ret_fd, char *ret_why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

    if (fd < 0)
        return failed(ret_why, "file", path);
    *ret_fd = fd;
    return 0;
}

int opener_next_log_file(const char *path, int *ret_fd, char *ret_why)
{
    char old[PATH_MAX];

    if (snprintf(old, sizeof(old), "%s.1", path) >= (int)sizeof(old)) {
        snprintf(ret_why, OPENER_WHY_SIZE, "file %s: the name is too long for one with .1", path);
        return -ENAMETOOLONG;
    }
    if (rename(path, old) && errno != ENOENT)
        return failed(ret_why, "renaming file", path);
    return opener_log_file(path, ret_fd, ret_why);
}

int opener_directory(const char *path, char *ret_why)
{
    mode_t old_umask = umask(0022); /* who may read statistics must get to the socket */
    int err = mkdir(path, 0755) && errno != EEXIST ? failed(ret_why, "directory", path) : 0;

    umask(old_umask);
    return err;
}

int opener_lock(const char *path, int *ret_fd, char *ret_why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), err;

    if (fd < 0)
        return failed(ret_why, "lock", path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        err = -errno;
        if (err == -EWOULDBLOCK)
            snprintf(ret_why, OPENER_WHY_SIZE, "another ioemud is running: it holds %s", path);
        else
            snprintf(ret_why, OPENER_WHY_SIZE, "lock %s: %s", path, strerror(-err));
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}
