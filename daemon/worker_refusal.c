/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether there can be worker processes, and for whom. */
#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/opener.h"
#include "daemon/worker_process.h"
#include "ioreq/hv_shm_reaper.h"

/* What it takes to give a process another user and another root directory. */
#define WANTED (1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_SYS_CHROOT)

/* Those that are in effect, of the first 32, and whether there are any at all. */
static uint32_t capabilities(bool *ret_any)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (syscall(SYS_capget, &header, has)) /* it cannot fail */
        has[0].effective = 0;
    *ret_any = has[0].effective || has[1].effective;
    return has[0].effective;
}

int worker_process_prepare(struct daemon *daemon, char *ret_why)
{
    const char *name = daemon->config.worker_user;
    char path[OPENER_PATH_SIZE];
    struct passwd *user;
    bool any;

    if (hv_shm_reaper_create(&daemon->reaper)) {
        snprintf(ret_why, OPENER_WHY_SIZE, "out of memory");
        return -ENOMEM;
    }
    if ((capabilities(&any) & WANTED) != WANTED) {
        if (any || !geteuid()) {
            snprintf(ret_why, OPENER_WHY_SIZE,
                     "\"isolation\": \"process\" takes CAP_SETUID, CAP_SETGID and "
                     "CAP_SYS_CHROOT, which a drop-in of ioemud.service has taken away "
                     "(systemctl cat ioemud); or threads.conf of the examples goes with "
                     "\"isolation\": \"thread\"");
            return -EPERM;
        }
        log_write(&daemon->log, LOG_WARNING, NULL,
                  "event=workers-keep-user hint=\"only root can give worker processes another user "
                  "and an empty root directory; system calls are filtered all the same\"");
        return 0;
    }
    user = getpwnam(name);
    if (!user || !user->pw_uid) {
        snprintf(ret_why, OPENER_WHY_SIZE,
                 user ? "\"worker_user\": %s is root"
                      : "\"worker_user\": there is no user %s (systemd-sysusers makes it)",
                 name);
        return -EINVAL;
    }
    snprintf(path, sizeof(path), "%s/empty", daemon->config.run_dir);
    daemon->worker_uid = user->pw_uid;
    daemon->worker_gid = user->pw_gid;
    return opener_directory(path, ret_why);
}

int worker_process_refusal(const struct guest *guest, char *ret_why, size_t size)
{
    if (!guest->hv->guest_pack) {
        snprintf(ret_why, size, "%s: no worker processes", guest->hv->name);
        return -EOPNOTSUPP;
    }
    return 0;
}
