/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/dm/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/dm/qemu_args.h"

#define ANSWER_MAX (64u * 1024)
#define WHY_SIZE   1024

struct dm {
    const struct dm_env *env;
    struct qemu_args args;
    int signals; /* signalfd */
    int conn;    /* to the daemon; -1 */
    int qmp[QEMU_ARGS_QMPS];
    unsigned n_qmps;
};

__attribute__((format(printf, 2, 3))) static void say(const struct dm_env *env, const char *format,
                                                      ...)
{
    char line[WHY_SIZE + 256];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (len < 0)
        return;
    if ((size_t)len > sizeof(line) - 2)
        len = sizeof(line) - 2;
    for (int i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = '?';
    line[len++] = '\n';
    if (write(env->log_fd, line, (size_t)len) < 0)
        return; /* nowhere to complain */
}

static void warn(void *ctx, const char *text)
{
    say(ctx, "ioemu-dm: warning: %s", text);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 1: `fd` has one of `events`; 0: the time is over; -EINTR: we are asked to end. */
static int await(const struct dm *dm, int fd, short events, int64_t until_ms)
{
    struct pollfd fds[] = {{dm->signals, POLLIN, 0}, {fd, events, 0}};

    for (;;) {
        int64_t left = until_ms - now_ms();
        int timeout = until_ms == INT64_MAX ? -1
                      : left < 0            ? 0
                      : left > INT_MAX      ? INT_MAX
                                            : (int)left;
        int n = poll(fds, 2, timeout);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && fds[0].revents)
            return -EINTR;
        if (n > 0)
            return 1;
        if (n == 0 && timeout == 0)
            return 0;
    }
}

static int fill_address(const char *path, struct sockaddr_un *ret_address)
{
    size_t len = strlen(path);

    if (len >= sizeof(ret_address->sun_path))
        return -ENAMETOOLONG;
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->sun_family = AF_UNIX;
    memcpy(ret_address->sun_path, path, len);
    return 0;
}

/* A listening socket at `path`. libxl removes it when the guest is destroyed, and had the domain id
 * been used before, what is still there is dead. */
static int listen_at(const char *path)
{
    struct sockaddr_un address;
    struct stat st;
    mode_t mask;
    int err = fill_address(path, &address), fd;

    if (err)
        return err;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
        unlink(path);
    mask = umask(0077);
    err = bind(fd, (const struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
    umask(mask);
    if (!err && listen(fd, 8))
        err = -errno;
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

static int open_monitors(struct dm *dm)
{
    for (unsigned i = 0; i < dm->args.n_qmps; i++) {
        const struct qemu_args_qmp *qmp = &dm->args.qmp[i];
        int listening = 0, fd = qmp->path ? listen_at(qmp->path) : qmp->fd;
        socklen_t len = sizeof(listening);

        if (fd < 0) {
            say(dm->env, "ioemu-dm: cannot listen on %s: %s", qmp->path, strerror(-fd));
            return fd;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) || !listening) {
            say(dm->env, "ioemu-dm: descriptor %d is not a listening socket", fd);
            return -EINVAL;
        }
        dm->qmp[dm->n_qmps++] = fd;
    }
    return 0;
}

static int dial(struct dm *dm, int64_t until_ms)
{
    struct sockaddr_un address;
    int err = fill_address(dm->env->control_socket, &address), fd;

    if (err)
        return err;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    while (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
        int64_t later = now_ms() + DM_RETRY_FIRST_MS;

        err = -errno;
        /* EAGAIN: many dial at once, and the daemon has not got to us yet. */
        if (err == -EAGAIN)
            err = later >= until_ms ? -ETIMEDOUT : await(dm, -1, 0, later);
        if (err < 0) {
            close(fd);
            return err;
        }
    }
    dm->conn = fd;
    return 0;
}

static int send_all(struct dm *dm, const char *text, size_t len, int64_t until_ms)
{
    union {
        char bytes[CMSG_SPACE(QEMU_ARGS_QMPS * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    size_t sent = 0;

    while (sent < len) {
        struct iovec iov = {(char *)(uintptr_t)text + sent, len - sent};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;
        int err;

        if (sent == 0 && dm->n_qmps > 0) {
            struct cmsghdr *cmsg = &control.align;

            cmsg->cmsg_level = SOL_SOCKET;
            cmsg->cmsg_type = SCM_RIGHTS;
            cmsg->cmsg_len = CMSG_LEN(dm->n_qmps * sizeof(int));
            memcpy(CMSG_DATA(cmsg), dm->qmp, dm->n_qmps * sizeof(int));
            msg.msg_control = control.bytes;
            msg.msg_controllen = CMSG_SPACE(dm->n_qmps * sizeof(int));
        }
        n = sendmsg(dm->conn, &msg, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += (size_t)n;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        err = await(dm, dm->conn, POLLOUT, until_ms);
        if (err <= 0)
            return err ? err : -ETIMEDOUT;
    }
    return 0;
}

/* One line of the daemon's, to be freed. */
static int receive_line(struct dm *dm, int64_t until_ms, char **ret_line)
{
    char *line = malloc(ANSWER_MAX);
    size_t len = 0;
    int err = line ? 0 : -ENOMEM;

    while (!err) {
        ssize_t n = recv(dm->conn, line + len, ANSWER_MAX - 1 - len, 0);

        if (n > 0) {
            char *end = memchr(line + len, '\n', (size_t)n);

            len += (size_t)n;
            if (end) {
                *end = '\0';
                *ret_line = line;
                return 0;
            }
            err = len == ANSWER_MAX - 1 ? -EMSGSIZE : 0;
        } else if (n == 0) {
            err = -ECONNRESET;
        } else if (errno != EAGAIN && errno != EINTR) {
            err = -errno;
        } else {
            err = await(dm, dm->conn, POLLIN, until_ms);
            err = err == 0 ? -ETIMEDOUT : err < 0 ? err : 0;
        }
    }
    free(line);
    return err;
}

/* -EREMOTEIO: the daemon says no, with its reason in `ret_why`. */
static int read_answer(const char *line, char *ret_why)
{
    json_t *answer = json_loads(line, 0, NULL);
    const char *message = "it does not speak our protocol";
    int err = 0;

    if (!json_is_object(json_object_get(answer, "result"))) {
        json_unpack(answer, "{s:{s:s}}", "error", "message", &message);
        snprintf(ret_why, WHY_SIZE, "%s", message);
        err = -EREMOTEIO;
    }
    json_decref(answer);
    return err;
}

static char *request(const struct dm *dm, bool again)
{
    json_t *qmp = json_array(), *json;
    char *text = NULL, *line = NULL;

    for (unsigned i = 0; i < dm->n_qmps; i++)
        json_array_append_new(qmp, json_string("listen"));
    json = json_pack("{s:s, s:i, s:s, s:{s:i, s:O, s:o, s:i, s:b, s:b}}", "jsonrpc", "2.0", "id", 1,
                     "method", "dm-attach", "params", "domid", (int)dm->args.domid, "config",
                     dm->args.config, "qmp", qmp, "vcpus", (int)dm->args.vcpus, "prelaunch",
                     dm->args.stopped && !again, "again", again);
    if (json)
        text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

/* One try, all of it: 0 and dm->conn is the lease; -EINTR; else -errno with a reason. */
static int attach(struct dm *dm, bool again, int64_t until_ms, char *ret_why)
{
    char *line = request(dm, again), *answer = NULL;
    int err = line ? dial(dm, until_ms) : -ENOMEM;

    *ret_why = '\0';
    if (err && err != -EINTR)
        snprintf(ret_why, WHY_SIZE, "no ioemud answers on %s (%s); is ioemud.service running?",
                 dm->env->control_socket, strerror(-err));
    if (!err)
        err = send_all(dm, line, strlen(line), until_ms);
    if (!err)
        err = receive_line(dm, until_ms, &answer);
    if (!err)
        err = read_answer(answer, ret_why);
    if (err && !*ret_why)
        snprintf(ret_why, WHY_SIZE, "ioemud did not attach it: %s",
                 err == -ETIMEDOUT ? "no answer in time" : strerror(-err));
    if (err && dm->conn >= 0) {
        close(dm->conn);
        dm->conn = -1;
    }
    free(answer);
    free(line);
    return err;
}

/* Until the connection ends. What the daemon says meanwhile is not for us. */
static int hold_lease(struct dm *dm)
{
    char scrap[256];
    int err;

    while ((err = await(dm, dm->conn, POLLIN, INT64_MAX)) == 1) {
        ssize_t n = recv(dm->conn, scrap, sizeof(scrap), 0);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            break;
    }
    close(dm->conn);
    dm->conn = -1;
    return err < 0 ? err : 0;
}

/* The daemon has gone: the guest's devices come back when it does. */
static int attach_again(struct dm *dm)
{
    char why[WHY_SIZE], said[WHY_SIZE] = "";
    int64_t pause = DM_RETRY_FIRST_MS;
    int err;

    say(dm->env, "ioemu-dm: the connection to ioemud is gone; waiting for it to come back");
    do {
        err = await(dm, -1, 0, now_ms() + pause);
        if (!err)
            err = attach(dm, true, now_ms() + DM_START_TIMEOUT_MS, why);
        if (err && err != -EINTR && strcmp(why, said) != 0) {
            say(dm->env, "ioemu-dm: domain %u is not attached yet: %s", dm->args.domid, why);
            memcpy(said, why, sizeof(said));
        }
        pause = pause * 2 < DM_RETRY_LAST_MS ? pause * 2 : DM_RETRY_LAST_MS;
    } while (err && err != -EINTR);
    if (!err)
        say(dm->env, "ioemu-dm: domain %u is attached to ioemud again", dm->args.domid);
    return err;
}

/* dm_restrict=: libxl ends the device model by its user id, so we must have it; but we hold no
 * guest's data, and the way back to the daemon's socket is root's. */
static int take_user(const struct dm *dm)
{
    const char *user = dm->args.runas;
    const struct passwd *entry;
    unsigned long uid;
    char *end;

    if (!user || geteuid() != 0)
        return 0;
    errno = 0;
    uid = strtoul(user, &end, 10);
    if (errno || end == user || (*end && *end != ':')) {
        entry = getpwnam(user);
        if (!entry) {
            say(dm->env, "ioemu-dm: -runas: there is no user %s", user);
            return -ENOENT;
        }
        uid = entry->pw_uid;
    }
    if (uid == 0 || uid >= UINT32_MAX || setresuid((uid_t)uid, 0, 0)) {
        say(dm->env, "ioemu-dm: -runas: cannot become the user %s", user);
        return -EPERM;
    }
    return 0;
}

static int start(struct dm *dm)
{
    char why[WHY_SIZE];
    int err;

    if (dm->args.incoming) {
        say(dm->env, "ioemu-dm: restoring a saved guest is not supported by ioemud yet");
        return -EOPNOTSUPP;
    }
    err = take_user(dm);
    if (!err)
        err = open_monitors(dm);
    if (err)
        return err;
    err = attach(dm, false, now_ms() + DM_START_TIMEOUT_MS, why);
    if (err) {
        if (err != -EINTR)
            say(dm->env, "ioemu-dm: domain %u: %s", dm->args.domid, why);
        return err;
    }
    err = dm->args.stopped ? 0 : dm->env->running(dm->env->ctx, dm->args.domid);
    if (err)
        say(dm->env, "ioemu-dm: domain %u: cannot tell xl through xenstore that it runs: %s",
            dm->args.domid, strerror(-err));
    return err;
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP); /* what libxl sends at the guest's end */
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -errno;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int dm_run(int argc, char *const argv[], const struct dm_env *env)
{
    struct dm dm = {.env = env, .signals = -1, .conn = -1};
    char why[QEMU_ARGS_WHY_SIZE];
    int err = qemu_args_parse(argc, argv, warn, (void *)(uintptr_t)env, &dm.args, why);

    if (err) {
        say(env, "ioemu-dm: %s", why);
        return 1;
    }
    dm.signals = open_signals();
    err = dm.signals < 0 ? -errno : start(&dm);
    while (!err) {
        err = hold_lease(&dm);
        if (!err)
            err = attach_again(&dm);
    }
    if (dm.conn >= 0)
        close(dm.conn);
    for (unsigned i = 0; i < dm.n_qmps; i++)
        close(dm.qmp[i]);
    if (dm.signals >= 0)
        close(dm.signals);
    qemu_args_finish(&dm.args);
    return err == -EINTR ? 0 : 1;
}
