/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whose types the others need. */
#include <xenctrl.h>

#include <xen/sys/evtchn.h>
#include <xen/sys/privcmd.h>

/* ---- who it is --------------------------------------------------------------------------------*/

static int change_root(const char *root)
{
    if (chroot(root) || chdir("/"))
        return -errno;
    return 0;
}

/* Of all threads, which glibc's calls for users see to, none for capabilities. The kernel takes
 * these away with the user 0 (capabilities(7)), so who had some without being root becomes that
 * first. */
static int change_user(uid_t uid, gid_t gid)
{
    if (setgroups(0, NULL) || setresgid(gid, gid, gid))
        return -errno;
    if ((geteuid() && setresuid(0, 0, 0)) || setresuid(uid, uid, uid))
        return -errno;
    /* Unless it was told not to by a securebits that somebody has set. */
    return setuid(0) == 0 ? -EPERM : 0;
}

int sandbox_confine(const struct sandbox_params *params, const char **ret_why)
{
    int err = 0;

    *ret_why = "its root directory";
    if (params->root)
        err = change_root(params->root);
    if (err)
        return err;
    *ret_why = "its user";
    if (params->uid)
        err = change_user(params->uid, params->gid);
    if (err)
        return err;
    /* No other process of this user can trace it or read its memory, and it leaves no core. */
    *ret_why = "PR_SET_DUMPABLE";
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        return -errno;
    *ret_why = "no_new_privs";
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

/* ---- system calls -----------------------------------------------------------------------------*/

#define IF_EQUAL(arg, value)  SCMP_CMP32(arg, SCMP_CMP_EQ, value)
#define IF_BITS(arg, mask, v) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, v)
#define IF_NULL(arg)          SCMP_CMP64(arg, SCMP_CMP_EQ, 0)

/* Whatever the arguments: on descriptors that it has, on its own memory, or nothing at all. */
static const int calls[] = {
    /* data */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwritev2),
    SCMP_SYS(lseek),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fallocate),
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(io_submit),
    SCMP_SYS(io_getevents),
    SCMP_SYS(io_pgetevents),
    SCMP_SYS(io_cancel),
    SCMP_SYS(io_destroy),
    /* sockets that it was given */
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(accept4),
    SCMP_SYS(shutdown),
    /* the loop */
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(nanosleep),
    SCMP_SYS(time),
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    /* itself */
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction), /* the first pthread_create(3) */
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getrandom),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* Requests of ioctl(2). Those of Xen's devices are for descriptors that the control side has
 * restricted to one domain; IOCTL_PRIVCMD_HYPERCALL, the open door, is not among them, and nothing
 * of gntdev, which cannot be restricted. */
static const uint32_t requests[] = {
    BLKDISCARD,
    TUNSETOFFLOAD,
    TUNSETCARRIER,
    FIONBIO,
    TCGETS,
    TCSETS,
    TIOCGPTN,
    TIOCGPTPEER,
    IOCTL_PRIVCMD_DM_OP,
    IOCTL_PRIVCMD_MMAP_RESOURCE,
    IOCTL_PRIVCMD_MMAPBATCH_V2,
    IOCTL_EVTCHN_BIND_INTERDOMAIN,
    IOCTL_EVTCHN_UNBIND,
    IOCTL_EVTCHN_NOTIFY,
    IOCTL_EVTCHN_RESET,
};

static const uint32_t fcntls[] = {
    F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS, F_OFD_SETLK,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int allow_each(scmp_filter_ctx filter)
{
    int err = 0;

    for (size_t i = 0; i < COUNT(calls) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    for (size_t i = 0; i < COUNT(requests) && !err; i++)
        err =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, IF_EQUAL(1, requests[i]));
    for (size_t i = 0; i < COUNT(fcntls) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, IF_EQUAL(1, fcntls[i]));
    return err;
}

/* What depends on arguments. */
static int allow_some(scmp_filter_ctx filter)
{
    static const int mappers[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    int err = 0;

    for (size_t i = 0; i < COUNT(mappers) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mappers[i], 1, IF_BITS(2, PROT_EXEC, 0));
    /* fstat() of glibc 2.33 and later; with a name it would find files. */
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                               IF_EQUAL(3, AT_EMPTY_PATH));
    if (!err)
        err =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, IF_EQUAL(0, PR_SET_NAME));
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                               IF_BITS(0, thread, thread));
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    /* abort() and assert(), of itself. */
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                               IF_EQUAL(0, (uint32_t)getpid()));
    return err;
}

/* Any descriptor but `link`: it differs in one of its bits. The kernel looks at 32 of them, a rule
 * at all 64, where "not equal" would be true of the link's number with a bit set above those. */
static int allow_closing(scmp_filter_ctx filter, uint32_t link)
{
    const uint64_t above = UINT64_C(0xffffffff) << 32;
    int err = 0;

    for (unsigned i = 0; i < 32 && !err; i++) {
        const uint64_t bit = UINT64_C(1) << i;

        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(close), 1,
                               IF_BITS(0, above | bit, ~(uint64_t)link & bit));
    }
    return err;
}

/* Where data and descriptors go out. */
static int allow_sending(scmp_filter_ctx filter, int link)
{
    const uint32_t number = (uint32_t)link;
    int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1, IF_NULL(4));

    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), 1, IF_EQUAL(0, number));
    return err ? err : allow_closing(filter, number);
}

int sandbox_filter(int link, int *ret_listener, const char **ret_why)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_NOTIFY);
    int err, fd;

    *ret_why = "memory for the list of system calls";
    if (!filter)
        return -ENOMEM;
    *ret_why = "the list of system calls";
    err = allow_each(filter);
    if (!err)
        err = allow_some(filter);
    if (!err)
        err = allow_sending(filter, link);
    /* The threads that there are, too. Those to come inherit it. */
    if (!err)
        err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!err)
        err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    if (!err)
        err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    if (err)
        goto release;
    *ret_why = "seccomp (Linux 5.7 or later, CONFIG_SECCOMP_FILTER)";
    err = seccomp_load(filter);
    if (err)
        goto release;
    fd = seccomp_notify_fd(filter);
    if (fd < 0)
        err = fd;
    else
        *ret_listener = fd;

release:
    seccomp_release(filter);
    return err;
}

/* ---- who is told ------------------------------------------------------------------------------*/

/* Of the size that the kernel writes, which grows with its versions. */
static int receive(int listener, struct seccomp_notif **ret_notification)
{
    struct seccomp_notif *notification;
    int err = seccomp_notify_alloc(&notification, NULL);

    if (err)
        return -ENOMEM;
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification)) {
        err = errno == ENOENT || errno == EINTR || errno == EAGAIN ? -ENOENT : -EPIPE;
        seccomp_notify_free(notification, NULL);
        return err;
    }
    *ret_notification = notification;
    return 0;
}

int sandbox_denied(int listener, struct sandbox_attempt *ret_attempt)
{
    struct seccomp_notif_resp response = {.error = -EPERM};
    struct seccomp_notif *notification;
    int err = receive(listener, &notification);

    if (err)
        return err;
    *ret_attempt = (struct sandbox_attempt){
        .tid = (pid_t)notification->pid,
        .number = notification->data.nr,
        .first = (unsigned)notification->data.args[0],
        .second = (unsigned)notification->data.args[1],
    };
    response.id = notification->id;
    seccomp_notify_free(notification, NULL);
    /* Fails when it does not wait any more: it was killed. */
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) ? -ENOENT : 0;
}

void sandbox_call_name(int number, char ret_name[SANDBOX_NAME_SIZE])
{
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

    snprintf(ret_name, SANDBOX_NAME_SIZE, "%s", name ? name : "?");
    free(name);
}
