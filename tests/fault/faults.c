/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the daemon: see faults.h. The linker's --wrap brings the calls here. */
#include "tests/fault/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libaio.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ioreq/hv.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* the linker calls these */
#pragma GCC diagnostic ignored "-Wmissing-declarations"

extern const char __executable_start[];

static struct faults *faults; /* NULL: nobody wants any */

/* Whether the call of this number is one of those that are denied. */
static bool is_denied(unsigned seen)
{
    unsigned first = atomic_load(&faults->first), last = atomic_load(&faults->last);
    unsigned every = atomic_load(&faults->every);

    if (seen < first)
        return false;
    return (every ? (seen - first) % every : seen - first) <= last - first;
}

/* Whether this call is one that is denied. */
static bool denied(enum faults_class class, const char *name, const void *caller)
{
    unsigned seen;

    if (!faults || atomic_load(&faults->armed) != class + 1u)
        return false;
    seen = atomic_fetch_add(&faults->seen, 1) + 1;
    if (!is_denied(seen))
        return false;
    if (seen == atomic_load(&faults->first)) {
        snprintf(faults->name, sizeof(faults->name), "%s", name);
        faults->where = (uint64_t)((uintptr_t)caller - (uintptr_t)__executable_start) - 1;
    }
    atomic_fetch_add(&faults->denied, 1);
    return true;
}

#define DENIED(class, name) denied(class, name, __builtin_return_address(0))

/* Defines __wrap_NAME(), which fails with `error` in errno and returns `failure`. */
#define WRAP(class, type, name, parameters, arguments, error, failure)                             \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (DENIED(class, #name)) {                                                                \
            errno = (error);                                                                       \
            return (failure);                                                                      \
        }                                                                                          \
        return __real_##name arguments;                                                            \
    }
#define MEMORY(name, parameters, arguments)                                                        \
    WRAP(FAULTS_MEMORY, void *, name, parameters, arguments, ENOMEM, NULL)
#define CALL(name, parameters, arguments, error)                                                   \
    WRAP(FAULTS_CALLS, int, name, parameters, arguments, error, -1)
#define CALL_SIZE(name, parameters, arguments, error)                                              \
    WRAP(FAULTS_CALLS, ssize_t, name, parameters, arguments, error, -1)
#define CALL_POINTER(type, name, parameters, arguments, error, failure)                            \
    WRAP(FAULTS_CALLS, type, name, parameters, arguments, error, failure)

/* ---- memory ---------------------------------------------------------------------------------- */

MEMORY(malloc, (size_t size), (size))
MEMORY(calloc, (size_t count, size_t size), (count, size))
MEMORY(realloc, (void *old, size_t size), (old, size))
MEMORY(reallocarray, (void *old, size_t count, size_t size), (old, count, size))
WRAP(FAULTS_MEMORY, char *, strdup, (const char *text), (text), ENOMEM, NULL)
WRAP(FAULTS_MEMORY, char *, strndup, (const char *text, size_t size), (text, size), ENOMEM, NULL)
WRAP(FAULTS_MEMORY, int, posix_memalign, (void **ret, size_t alignment, size_t size),
     (ret, alignment, size), ENOMEM, ENOMEM)

/* jansson 2.14 does not look whether its lexer's buffer could grow, and copies beyond the end of
 * what it has instead (lex_save() in its load.c). That is not ours to mend, so there it can. */
static const void *json_grows;
static bool json_learns;

#define LEXER_BUFFER 16u /* at first; then twice as much */

static void *json_malloc(size_t size)
{
    const void *caller = __builtin_return_address(0);

    if (json_learns && !json_grows && size == 2 * LEXER_BUFFER)
        json_grows = caller;
    if (caller != json_grows && denied(FAULTS_MEMORY, "jansson", caller))
        return NULL;
    return __real_malloc(size);
}

/* Where it does: what this text takes first that is 32 bytes. */
static void json_learn(void)
{
    json_set_alloc_funcs(json_malloc, free);
    json_learns = true;
    json_decref(json_loads("[\"twenty characters...\"]", 0, NULL));
    json_learns = false;
    if (!json_grows) {
        fputs("faults: this jansson is not the one that was meant\n", stderr);
        abort();
    }
}

/* ---- system calls ---------------------------------------------------------------------------- */

CALL(socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE)
CALL(accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags), (fd, addr, len, flags),
     EMFILE)
CALL(bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len), EADDRINUSE)
CALL(listen, (int fd, int backlog), (fd, backlog), EADDRINUSE)
CALL(connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len), ECONNREFUSED)
CALL_SIZE(send, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags), ENOBUFS)
CALL_SIZE(sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags), ENOBUFS)
CALL_SIZE(recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags), ENOMEM)
CALL(eventfd, (unsigned count, int flags), (count, flags), EMFILE)
CALL(timerfd_create, (int clock, int flags), (clock, flags), EMFILE)
CALL(epoll_create1, (int flags), (flags), EMFILE)
CALL(inotify_init1, (int flags), (flags), EMFILE)
CALL(inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), ENOSPC)
CALL(mlock, (const void *at, size_t len), (at, len), ENOMEM)
CALL(mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC)
CALL(rename, (const char *from, const char *to), (from, to), ENOSPC)
CALL(flock, (int fd, int operation), (fd, operation), ENOLCK)
CALL(fstat64, (int fd, struct stat *st), (fd, st), EIO)
CALL(stat64, (const char *path, struct stat *st), (path, st), EIO)
CALL(lstat64, (const char *path, struct stat *st), (path, st), EIO)
CALL(fstatfs64, (int fd, struct statfs *fs), (fd, fs), EIO)
CALL(fsync, (int fd), (fd), EIO)
CALL(fdatasync, (int fd), (fd), EIO)
CALL_SIZE(pread64, (int fd, void *data, size_t len, off_t at), (fd, data, len, at), EIO)
CALL_SIZE(preadv64, (int fd, const struct iovec *iov, int count, off_t at), (fd, iov, count, at),
          EIO)
CALL_SIZE(pwritev64v2, (int fd, const struct iovec *iov, int count, off_t at, int flags),
          (fd, iov, count, at, flags), EIO)
CALL_POINTER(void *, mmap64, (void *at, size_t len, int prot, int flags, int fd, off_t offset),
             (at, len, prot, flags, fd, offset), ENOMEM, MAP_FAILED)
CALL_POINTER(FILE *, fopen64, (const char *path, const char *mode), (path, mode), EMFILE, NULL)
CALL_POINTER(DIR *, opendir, (const char *path), (path), EMFILE, NULL)
CALL(scandir64,
     (const char *path, struct dirent ***ret, int (*filter)(const struct dirent *),
      int (*compare)(const struct dirent **, const struct dirent **)),
     (path, ret, filter, compare), ENOMEM)
WRAP(FAULTS_CALLS, int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg),
     (thread, attr, run, arg), EAGAIN, EAGAIN)
WRAP(FAULTS_CALLS, int, io_setup, (int events, io_context_t *ctx), (events, ctx), EAGAIN, -EAGAIN)
WRAP(FAULTS_CALLS, int, io_getevents,
     (io_context_t ctx, long least, long most, struct io_event *events, struct timespec *timeout),
     (ctx, least, most, events, timeout), EINTR, -EINTR)

int __real_io_submit(io_context_t ctx, long count, struct iocb **iocbs);

/* Short of memory, by turns for a while and for good. */
int __wrap_io_submit(io_context_t ctx, long count, struct iocb **iocbs)
{
    if (DENIED(FAULTS_CALLS, "io_submit"))
        return atomic_load(&faults->first) & 1 ? -EAGAIN : -EIO;
    return __real_io_submit(ctx, count, iocbs);
}

int __real_epoll_ctl(int fd, int operation, int of, struct epoll_event *event);

int __wrap_epoll_ctl(int fd, int operation, int of, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && DENIED(FAULTS_CALLS, "epoll_ctl")) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(fd, operation, of, event);
}

int __real_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list args;

    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (DENIED(FAULTS_CALLS, "open")) {
        errno = EMFILE;
        return -1;
    }
    return __real_open64(path, flags, mode);
}

int __real_fcntl64(int fd, int command, ...);

/* Only what asks for something. */
int __wrap_fcntl64(int fd, int command, ...)
{
    va_list args;
    void *arg;

    va_start(args, command);
    arg = va_arg(args, void *); /* of a call without one it is never looked at */
    va_end(args);
    if (command == F_OFD_SETLK && ((const struct flock *)arg)->l_type != F_UNLCK &&
        DENIED(FAULTS_CALLS, "fcntl")) {
        errno = ENOLCK;
        return -1;
    }
    return __real_fcntl64(fd, command, arg);
}

/* ---- the hypervisor -------------------------------------------------------------------------- */

extern const struct hv_ops __real_hv_shm_ops;
struct hv_ops __wrap_hv_shm_ops; /* what the daemon takes for hv_shm's */

#define HV(name, parameters, arguments, failure)                                                   \
    static int hv_##name parameters                                                                \
    {                                                                                              \
        return DENIED(FAULTS_HV, #name) ? (failure) : __real_hv_shm_ops.name arguments;            \
    }

HV(host_open, (const struct hv_host_params *params, struct hv_host **ret_host), (params, ret_host),
   -ENOMEM)
HV(worker_open, (struct hv_host * host, struct hv_worker **ret_worker), (host, ret_worker), -EMFILE)
HV(guest_intend,
   (struct hv_host * host, const struct hv_guest_params *params, struct hv_record *ret_record),
   (host, params, ret_record), -ENOSPC)
HV(guest_create,
   (struct hv_host * host, const struct hv_guest_params *params, struct hv_guest **ret_guest),
   (host, params, ret_guest), -ENOSPC)
HV(guest_start, (struct hv_guest * guest, struct hv_worker *worker), (guest, worker), -ENOMEM)
HV(guest_enable, (struct hv_guest * guest), (guest), -EPERM)
HV(guest_pending, (struct hv_guest * guest, struct hv_pending *ret_pending), (guest, ret_pending),
   -EIO)
HV(claim, (struct hv_guest * guest, enum hv_range type, uint64_t first, uint64_t last),
   (guest, type, first, last), -ENOSPC)
HV(pin,
   (struct hv_guest * guest, uint64_t gpa, size_t len, bool write, struct iovec *iov,
    size_t *ret_len),
   (guest, gpa, len, write, iov, ret_len), -ENOMEM)

__attribute__((constructor)) static void faults_begin(void)
{
    const char *path = getenv(FAULTS_VARIABLE);
    int fd = path ? __real_open64(path, O_RDWR | O_CLOEXEC) : -1;
    void *shared = MAP_FAILED;

    __wrap_hv_shm_ops = __real_hv_shm_ops;
    __wrap_hv_shm_ops.host_open = hv_host_open;
    __wrap_hv_shm_ops.worker_open = hv_worker_open;
    __wrap_hv_shm_ops.guest_intend = hv_guest_intend;
    __wrap_hv_shm_ops.guest_create = hv_guest_create;
    __wrap_hv_shm_ops.guest_start = hv_guest_start;
    __wrap_hv_shm_ops.guest_enable = hv_guest_enable;
    __wrap_hv_shm_ops.guest_pending = hv_guest_pending;
    __wrap_hv_shm_ops.claim = hv_claim;
    __wrap_hv_shm_ops.pin = hv_pin;
    json_learn();
    if (fd >= 0) {
        shared = __real_mmap64(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    }
    if (shared != MAP_FAILED)
        faults = shared;
}
