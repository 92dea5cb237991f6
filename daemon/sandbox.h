/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process that serves guests gives up before it looks at the first request of theirs:
 *
 *    sandbox_confine()  its user, its capabilities, the file system, being looked into by others
 *    sandbox_filter()   every system call that is not in the list of sandbox.c
 *
 * Neither can be undone. A call that is not in the list fails with EPERM, and whoever has the
 * listener is told of it: seccomp_unotify(2). That is the control side, so that what a captured
 * worker tried is written down by a process that it has not captured. The call waits for the
 * answer, hence sandbox_denied() has to be called whenever the listener is readable. When nobody
 * has it any more they fail with ENOSYS. The kernel's audit log has them as well.
 *
 * Data goes out by sockets as they are connected: sendto(2) names no address.
 *
 * Two exceptions: clone3(2) fails with ENOSYS at once, so that glibc takes clone(2), whose flags
 * can be looked at; it may make threads. And memory that is executable cannot be had.
 */
#ifndef IOEMUD_DAEMON_SANDBOX_H
#define IOEMUD_DAEMON_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

struct sandbox_params {
    /* An empty folder that becomes the root directory; NULL: as it is, for want of privileges. */
    const char *root;
    /* Who it is from now on, without further groups and capabilities; 0: who it was, likewise. */
    uid_t uid;
    gid_t gid;
};

/* Of all threads, but for no_new_privs, which sandbox_filter() gives to all. On failure the process
 * is to end: part of it may be done. `ret_why` says which part failed, a constant. */
int sandbox_confine(const struct sandbox_params *params, const char **ret_why);
/* Of all threads. `link` is the one socket that messages with descriptors may go out by, and it
 * cannot be closed, so that no other has its number: whoever is at another socket's end, and is not
 * confined, gets none of them (SCM_RIGHTS, unix(7)). *ret_listener is the caller's, to be handed to
 * who is to be told, and closed. */
int sandbox_filter(int link, int *ret_listener, const char **ret_why);

/* A system call that was refused. */
struct sandbox_attempt {
    pid_t tid;       /* who wanted it */
    int number;      /* as on this architecture; the name is its sandbox_call_name() */
    unsigned first;  /* its first argument, and its second: an ioctl's request, a mmap's size */
    unsigned second; /* ... the low 32 bits of each */
};

/* Takes one from a listener that is readable, and has it fail with EPERM. -ENOENT: the caller was
 * killed meanwhile; -EPIPE: nobody is left who could call; else 0. */
int sandbox_denied(int listener, struct sandbox_attempt *ret_attempt);
/* "openat", for the log; "?" if it has no name. `ret_name` has SANDBOX_NAME_SIZE bytes. */
#define SANDBOX_NAME_SIZE 32
void sandbox_call_name(int number, char ret_name[SANDBOX_NAME_SIZE]);

#endif
