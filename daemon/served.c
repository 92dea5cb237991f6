/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/served.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/hello.h"
#include "daemon/opener.h"

/* To the second attempt at an image that another program has not let go of yet; twice as long to
 * each further one, since each says in the journal that it failed. */
#define AGAIN_NS UINT64_C(200000000)

/* Attempts at an image that a program which is none of ours has: it may be about to end, as a
 * qemu-img(1) is. */
#define STRANGERS_ATTEMPTS 3u

/* SD_LISTEN_FDS_START of sd_listen_fds(3) */
#define LISTEN_FD 3

struct served {
    struct served *next; /* of the daemon's */
    struct daemon *daemon;
    struct served_params params;
    char *path;
    unsigned number;
    bool told; /* nobody waits any more */
    bool handed_over;
    bool ending; /* the image is about to be closed */
    bool killed;
    uint64_t pause_ns; /* to the next attempt */
    unsigned attempts;
    bool rival,
        locked; /* as the present attempt began: another of ours, or anybody, had the image */
    pid_t pid;  /* 0: none now, `again` is armed */
    int pid_fd;
    struct loop_watch *exit;
    struct loop_timer late, again;
    int fd;              /* of the connection until it is handed over; -1: there is none */
    struct hello *hello; /* NULL: it is not heard here */
};

static const struct loop *loop_of(const struct served *served)
{
    return &served->daemon->evloop.loop;
}

/* ---- what the program has to say --------------------------------------------------------------*/

static void end_hello(struct served *served)
{
    hello_end(served->hello);
    served->hello = NULL;
    if (served->fd >= 0) {
        shutdown(served->fd, SHUT_RDWR); /* somebody else may listen */
        close(served->fd);
    }
    served->fd = -1;
}

static void on_hello(void *arg);

/* `served->fd` is connected. */
static int begin_hello(struct served *served)
{
    const struct served_params *params = &served->params;
    int fd;

    if (!params->hear)
        return hello_begin(loop_of(served), served->fd, on_hello, served, &served->hello);
    fd = fcntl(served->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    return params->hear(params->ctx, fd);
}

static void stop_waiting(struct served *served)
{
    const struct loop *loop = loop_of(served);

    loop->ops->disarm(loop->ctx, &served->late);
    loop->ops->disarm(loop->ctx, &served->again);
}

static void forget_process(struct served *served)
{
    const struct loop *loop = loop_of(served);

    loop->ops->unwatch(loop->ctx, served->exit);
    served->exit = NULL;
    if (served->pid_fd >= 0)
        close(served->pid_fd);
    served->pid_fd = -1;
    served->pid = 0;
}

static void served_free(struct served *served)
{
    struct served **link = &served->daemon->served;

    while (*link != served)
        link = &(*link)->next;
    *link = served->next;
    stop_waiting(served);
    end_hello(served);
    forget_process(served);
    free(served->path);
    free(served);
}

/* The handle is the receiver's, or gone. */
static void tell_of(struct served *served, int err, const char *why, struct nbd_handle *handle,
                    const struct nbd_export *export)
{
    stop_waiting(served);
    if (served->told) {
        nbd_image_discard(handle); /* nobody has waited */
        return;
    }
    served->told = true;
    served->handed_over = !err;
    served->params.ready(served->params.ctx, err, why, handle, export);
}

static void tell(struct served *served, int err, const char *why)
{
    tell_of(served, err, why, NULL, NULL);
}

static void be_patient(struct served *served)
{
    const struct loop *loop = loop_of(served);

    loop->ops->arm(loop->ctx, &served->late,
                   loop->ops->now_ns(loop->ctx) + served->daemon->image_patience_ns);
}

/* The beginning of an image, which says what other files it goes with. */
#define HEAD_BYTES 80u

static uint64_t be64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return be64toh(value);
}

/* QEMU's docs/interop: qcow2.txt, "Header" (version 1, qcow's, has the backing file's name at the
 * same place), and qed_spec.rst, "Header". What a VHD differs from, the program does not open. */
static const char *names_another(const uint8_t head[HEAD_BYTES])
{
    const uint8_t version_3 = 3, data_file = 0x04, qed_backing_file = 0x01;

    if (!memcmp(head, "QFI\xfb\0\0\0", 7)) {
        if (be64(head + 8))
            return "backing";
        if (head[7] >= version_3 && head[79] & data_file) /* incompatible_features, big-endian */
            return "data";
    }
    if (!memcmp(head, "QED", 4) && head[16] & qed_backing_file) /* features, little-endian */
        return "backing";
    return NULL;
}

/* Any file of the host may be named there, by whoever made the image. */
static int look_at(const struct served *served, char *why)
{
    uint8_t head[HEAD_BYTES] = {0};
    const char *other;
    int fd, err = opener_peek(served->path, &fd);
    ssize_t n;

    if (err) {
        snprintf(why, OPENER_WHY_SIZE, "cannot open %s: %s", served->path, strerror(-err));
        opener_hint(served->path, err, why);
        return err;
    }
    n = pread(fd, head, sizeof(head), 0);
    if (n < 0) {
        err = -errno;
        snprintf(why, OPENER_WHY_SIZE, "cannot read %s: %s", served->path, strerror(-err));
    }
    close(fd);
    other = names_another(head);
    if (err || !other || served->daemon->config.pv_backing_files)
        return err;
    snprintf(why, OPENER_WHY_SIZE,
             "%s has a %s file, which its guest would reach, too: \"pv_backing_files\" in "
             "ioemud.json allows that",
             served->path, other);
    return -EPERM;
}

static bool has_rival(const struct served *served)
{
    const struct served *other = served->daemon->served;

    while (other && (other == served || strcmp(other->path, served->path)))
        other = other->next;
    return other;
}

/* By whoever: the program's own locks are some bytes at the image's beginning, ours all of it. */
static bool is_locked(const struct served *served)
{
    struct flock any = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool locked;
    int fd;

    if (opener_peek(served->path, &fd))
        return false;
    locked = !fcntl(fd, F_OFD_GETLK, &any) && any.l_type != F_UNLCK;
    close(fd);
    return locked;
}

/* ---- the process ------------------------------------------------------------------------------*/

/* What ends the daemon, a service manager's SIGTERM to all of its processes or an interrupt from
 * its terminal, is not to end programs under guests that it is still letting go. */
static void stand_apart(void)
{
    sigset_t ends;
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    setsid();
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* which it leaves as it is */
    /* The unit spares the daemon since it serves all guests; this serves one. */
    if (fd < 0)
        return;
    (void)!write(fd, "0", 1);
    close(fd);
}

/* In the new process, of which only this thread is there: no memory is taken, no lock. */
static void become(char *const argv[], char *env[], char *pid_text, int listener)
{
    char digits[12];
    unsigned n = 0;

    for (unsigned pid = (unsigned)getpid(); pid; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    while (n)
        *pid_text++ = digits[--n];
    /* Of what the unit lets the daemon keep it needs CAP_DAC_OVERRIDE only: images are whosever. */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0);
    stand_apart();
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    if (listener == LISTEN_FD ? fcntl(listener, F_SETFD, 0) < 0 : dup2(listener, LISTEN_FD) < 0)
        _exit(127);
    syscall(SYS_close_range, LISTEN_FD + 1, ~0U, 0); /* whatever is not closed by itself */
    execve(argv[0], argv, env);
    _exit(127);
}

static int start(struct served *served, int listener)
{
    const struct served_params *params = &served->params;
    char format[32],
        pid_text[24] = "LISTEN_PID=", *env[] = {pid_text, (char *)"LISTEN_FDS=1", NULL};
    const char *argv[8] = {served->daemon->image_program, format,
                           params->discard ? "--discard=unmap" : "--discard=ignore"};
    unsigned n = 3;
    pid_t pid;

    snprintf(format, sizeof(format), "--format=%s", params->format);
    if (params->read_only)
        argv[n++] = "--read-only";
    argv[n++] = "--";
    argv[n++] = params->path;
    if (access(argv[0], X_OK))
        return -errno;
    pid = fork();
    if (pid < 0)
        return -errno;
    if (!pid)
        become((char *const *)(uintptr_t)argv, env, pid_text + strlen(pid_text), listener);
    served->pid = pid;
    served->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return served->pid_fd < 0 ? -errno : 0;
}

/* In the middle of something that failed: it has nothing yet that could keep it. */
static void end_process(struct served *served)
{
    if (!served->pid)
        return;
    kill(served->pid, SIGKILL);
    waitpid(served->pid, NULL, 0);
    forget_process(served);
}

/* Whether it failed for a lock. Who has let go since had it when the attempt began. */
static bool was_in_use(const struct served *served)
{
    return !served->told && (served->locked || is_locked(served));
}

/* A disk that was detached, a domain that was rebooted: the program of before has heard that its
 * connection is over, and still has the image's lock. */
static bool try_again(struct served *served)
{
    const struct loop *loop = loop_of(served);

    if (!served->rival && !has_rival(served) && served->attempts >= STRANGERS_ATTEMPTS)
        return false;
    forget_process(served);
    end_hello(served);
    loop->ops->arm(loop->ctx, &served->again, loop->ops->now_ns(loop->ctx) + served->pause_ns);
    served->pause_ns *= 2;
    return true;
}

/* It ends by itself when its connection has, and with status 0. */
static void on_exit_io(void *arg, unsigned events)
{
    struct served *served = arg;
    char why[OPENER_WHY_SIZE];
    bool in_use;
    int status;

    if (waitpid(served->pid, &status, WNOHANG) != served->pid)
        return;
    in_use = was_in_use(served);
    if (in_use && try_again(served))
        return;
    if (in_use)
        snprintf(why, sizeof(why), "%s is in use", served->path);
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof(why), "%s ended by signal %d", served->daemon->image_program,
                 WTERMSIG(status));
    else
        snprintf(why, sizeof(why), "%s ended with status %d; it has said why before this",
                 served->daemon->image_program, WEXITSTATUS(status));
    if (served->handed_over && !served->killed && (status || !served->ending))
        log_write(&served->daemon->log, LOG_ERR, NULL,
                  "event=image-program-ended path=%s why=\"%s\"", served->path, why);
    tell(served, in_use ? -EBUSY : -EIO, why);
    served_free(served);
}

/* The end of a process that could not open the image says more than its connection's. */
static bool has_hung_up(const struct served *served)
{
    struct pollfd socket = {.fd = served->fd, .events = POLLRDHUP};

    return poll(&socket, 1, 0) == 1;
}

static void heard(struct served *served, int err, const char *what, struct nbd_handle *handle,
                  const struct nbd_export *export)
{
    char why[OPENER_WHY_SIZE] = "";

    if (err && has_hung_up(served))
        return;
    hello_end(served->hello);
    served->hello = NULL;
    close(served->fd); /* the connection's own is left */
    served->fd = -1;
    if (err)
        snprintf(why, sizeof(why), "%s: %s", served->path, what);
    tell_of(served, err, why, handle, export);
    if (err)
        kill(served->pid, SIGKILL);
}

static void on_hello(void *arg)
{
    struct served *served = arg;
    struct nbd_handle *handle = NULL;
    struct nbd_export export;
    char why[NBD_WHY_SIZE] = "";
    int err = hello_take(served->hello, &handle, &export, why);

    heard(served, err, why, handle, &export);
}

void served_heard(struct served *served, int err, const char *why, const struct nbd_export *export)
{
    if (served->fd >= 0 && served->pid)
        heard(served, err, why, NULL, export);
}

/* Its socket ends with it, and so does what the image was asked for. */
static void kill_hanging(struct served *served)
{
    log_write(&served->daemon->log, LOG_ERR, NULL,
              "event=image-program-hangs path=%s pid=%d why=\"it has neither ended nor answered "
              "since its disk was to close\" effect=killed",
              served->path, (int)served->pid);
    served->killed = true;
    kill(served->pid, SIGKILL);
}

static void on_late(void *arg)
{
    struct served *served = arg;
    char why[OPENER_WHY_SIZE];

    if (served->told) {
        kill_hanging(served);
    } else if (served->pid) {
        snprintf(why, sizeof(why), "%s does not answer for %s", served->daemon->image_program,
                 served->path);
        kill(served->pid, SIGKILL);
        tell(served, -ETIMEDOUT, why);
    } else {
        snprintf(why, sizeof(why), "%s is in use", served->path);
        tell(served, -EBUSY, why);
        served_free(served);
    }
}

/* ---- life -------------------------------------------------------------------------------------*/

/* A socket that nobody else can get at, and our end of it. */
static int make_socket(struct served *served, int *ret_listener, char *why)
{
    char path[PATH_MAX];
    int err;

    snprintf(path, sizeof(path), "%s/image-%u.sock", served->daemon->config.run_dir,
             served->number);
    err = opener_listen(path, SOCK_STREAM, 0600, "", ret_listener, why);
    if (err)
        return err;
    err = opener_connect(path, &served->fd, why);
    unlink(path);
    if (err)
        close(*ret_listener);
    return err;
}

static int begin(struct served *served, char *why)
{
    const struct loop *loop = loop_of(served);
    int listener, err;

    served->rival = has_rival(served);
    served->locked = is_locked(served);
    served->attempts++;
    err = make_socket(served, &listener, why);
    if (err)
        return err;
    err = start(served, listener);
    close(listener);
    if (!err)
        err = loop->ops->watch(loop->ctx, served->pid_fd, LOOP_READ, on_exit_io, served,
                               &served->exit);
    if (!err)
        err = begin_hello(served);
    if (!err)
        return 0;
    end_process(served);
    end_hello(served);
    snprintf(why, OPENER_WHY_SIZE, "%s cannot be started for %s: %s", served->daemon->image_program,
             served->path, strerror(-err));
    return err;
}

static void on_again(void *arg)
{
    struct served *served = arg;
    char why[OPENER_WHY_SIZE];
    int err = begin(served, why);

    if (!err)
        return;
    tell(served, err, why);
    served_free(served);
}

int served_start(struct daemon *daemon, const struct served_params *params,
                 struct served **ret_served, char *ret_why)
{
    struct served *served = calloc(1, sizeof(*served));
    char *path = strdup(params->path);
    int err;

    if (!served || !path) {
        free(served);
        free(path);
        snprintf(ret_why, OPENER_WHY_SIZE, "out of memory");
        return -ENOMEM;
    }
    *served = (struct served){.next = daemon->served,
                              .daemon = daemon,
                              .number = ++daemon->images_served,
                              .params = *params,
                              .path = path,
                              .pid_fd = -1,
                              .fd = -1,
                              .late = {.expire = on_late, .arg = served},
                              .again = {.expire = on_again, .arg = served}};
    served->params.path = path;
    daemon->served = served;
    served->pause_ns = AGAIN_NS;
    err = look_at(served, ret_why);
    if (!err)
        err = begin(served, ret_why);
    if (err) {
        served_free(served);
        return err;
    }
    be_patient(served);
    *ret_served = served;
    return 0;
}

unsigned served_number(const struct served *served)
{
    return served->number;
}

/* Of one that was handed over, and has not ended. */
static struct served *find(struct daemon *daemon, unsigned number)
{
    struct served *served = daemon->served;

    while (served && (served->number != number || !served->told || !served->pid))
        served = served->next;
    return served;
}

void served_expect_end(struct daemon *daemon, unsigned number)
{
    struct served *served = find(daemon, number);

    if (!served || served->ending)
        return;
    served->ending = true;
    be_patient(served);
}

void served_stay(struct daemon *daemon, unsigned number)
{
    struct served *served = find(daemon, number);

    if (!served || served->killed)
        return;
    served->ending = false;
    daemon->evloop.loop.ops->disarm(daemon->evloop.loop.ctx, &served->late);
}

void served_cancel(struct served *served)
{
    if (!served)
        return;
    served->told = true;
    stop_waiting(served);
    if (served->pid)
        kill(served->pid, SIGKILL); /* it has not been asked for anything yet */
    else
        served_free(served);
}

void served_forget(struct daemon *daemon)
{
    while (daemon->served)
        served_free(daemon->served);
}
