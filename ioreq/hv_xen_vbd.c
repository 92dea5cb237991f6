/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <sys/stat.h>

#include "ioreq/hv_xen.h"

/* Device numbers of Linux, by which xen-vbd-interface(7) names places. */
#define MAJOR_IDE0 3u
#define MAJOR_IDE1 22u
#define MAJOR_XVD  202u
#define IDE_MINORS 64u /* of a disk */
#define XVD_MINORS 16u

/* Of a whole disk; -1: none of the four that have an emulated twin. */
static int place_of(unsigned devid)
{
    unsigned major = devid >> 8, minor = devid & 0xff;

    switch (major) {
    case MAJOR_IDE0:
    case MAJOR_IDE1:
        if (minor % IDE_MINORS || minor / IDE_MINORS > 1)
            return -1;
        return (int)(minor / IDE_MINORS + (major == MAJOR_IDE1 ? 2 : 0));
    case MAJOR_XVD:
        return minor % XVD_MINORS || minor / XVD_MINORS > 3 ? -1 : (int)(minor / XVD_MINORS);
    default:
        return -1;
    }
}

/* One file may have many names: links, /dev/mapper and /dev/VG. */
static bool same_image(const char *a, const char *b)
{
    struct stat sa, sb;

    if (!strcmp(a, b))
        return true;
    if (stat(a, &sa) || stat(b, &sb))
        return false;
    if (S_ISBLK(sa.st_mode) && S_ISBLK(sb.st_mode))
        return sa.st_rdev == sb.st_rdev;
    return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* libxl calls raw images "aio" when a device model is to serve them. */
static const char *path_of(const char *params)
{
    return strncmp(params, "aio:/", 5) && strncmp(params, "raw:/", 5) ? params : params + 4;
}

bool hv_xen_vbd_is(unsigned devid, const char *params, const struct hv_disk *disk)
{
    return place_of(devid) == (int)disk->place && params && disk->path &&
           same_image(path_of(params), disk->path);
}
