/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/unit/qmp_rig.h"

static bool op_running(void *ctx)
{
    return ((struct qmp_rig *)ctx)->running;
}

static bool op_prelaunch(void *ctx)
{
    return ((struct qmp_rig *)ctx)->prelaunch;
}

static int op_set_running(void *ctx, bool running, char *ret_why)
{
    struct qmp_rig *f = ctx;

    f->running = running;
    f->prelaunch = false;
    if (f->destroy_in_callback) {
        qmp_destroy(f->qmp);
        f->qmp = NULL;
    }
    return 0;
}

static unsigned op_vcpus(void *ctx)
{
    return QMP_RIG_VCPUS;
}

static bool op_vcpu_online(void *ctx, unsigned index)
{
    return ((struct qmp_rig *)ctx)->online >> index & 1;
}

static int op_vcpu_add(void *ctx, unsigned index, char *ret_why)
{
    struct qmp_rig *f = ctx;

    if (index == 3) {
        snprintf(ret_why, QMP_WHY_SIZE, "the guest is going away");
        return -ESHUTDOWN;
    }
    f->online |= 1u << index;
    return 0;
}

static bool op_serial(void *ctx, unsigned index, char *ret_where, size_t size)
{
    snprintf(ret_where, size, "%s", index ? "null" : "pty:/dev/pts/7");
    return index < 2;
}

static void op_medium(void *ctx, const char *id, const char *path, int fd, bool force,
                      struct qmp_call *call)
{
    struct qmp_rig *f = ctx;

    f->media++;
    snprintf(f->medium, sizeof(f->medium), "%s %s%s %s", id, path ? path : "(none)",
             fd >= 0 ? " fd" : "", force ? "force" : "gentle");
    f->call = call;
    if (f->inline_answer)
        qmp_finish(call, 0, "");
}

static void op_refused(void *ctx, const char *what)
{
    struct qmp_rig *f = ctx;

    f->refusals++;
    snprintf(f->refused, sizeof(f->refused), "%s", what);
}

const struct qmp_ops qmp_rig_ops = {
    .running = op_running,
    .prelaunch = op_prelaunch,
    .set_running = op_set_running,
    .vcpus = op_vcpus,
    .vcpu_online = op_vcpu_online,
    .vcpu_add = op_vcpu_add,
    .serial = op_serial,
    .medium = op_medium,
    .refused = op_refused,
};

int qmp_rig_dial(struct qmp_rig *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(addr.sun_path, f->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    fake_loop_settle(f->loop, 20, 10000);
    return fd;
}

int qmp_rig_setup(void **state)
{
    static struct qmp_rig qmp_rig;
    struct qmp_rig *f = &qmp_rig;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* blocking, as it may be inherited */

    *f = (struct qmp_rig){.loop = fake_loop_create(), .running = true, .online = 1};
    snprintf(f->path, sizeof(f->path), "/tmp/test_qmp.%d", getpid());
    unlink(f->path);
    strcpy(addr.sun_path, f->path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 16) ||
        qmp_create(fd, fake_loop(f->loop), &qmp_rig_ops, f, &f->qmp))
        return -1;
    f->client = qmp_rig_dial(f);
    *state = f;
    return 0;
}

int qmp_rig_teardown(void **state)
{
    struct qmp_rig *f = *state;

    qmp_destroy(f->qmp);
    if (f->client >= 0)
        close(f->client);
    unlink(f->path);
    fake_loop_destroy(f->loop);
    return 0;
}

const char *qmp_rig_hear(struct qmp_rig *f, int fd)
{
    static char answer[65536];
    size_t len = 0;
    ssize_t n;

    fake_loop_settle(f->loop, 20, 10000);
    while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, MSG_DONTWAIT)) > 0)
        len += (size_t)n;
    answer[len] = '\0';
    return n == 0 ? NULL : answer;
}

const char *qmp_rig_talk(struct qmp_rig *f, const char *text)
{
    assert_int_equal(send(f->client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    return qmp_rig_hear(f, f->client);
}

void qmp_rig_negotiate(struct qmp_rig *f)
{
    qmp_rig_hear(f, f->client);
    assert_string_equal(qmp_rig_talk(f, "{\"execute\":\"qmp_capabilities\",\"id\":1}\r\n"),
                        "{\"return\":{},\"id\":1}\r\n");
}

json_t *qmp_rig_ask(struct qmp_rig *f, const char *command)
{
    const char *answer = qmp_rig_talk(f, command);
    size_t len;
    json_t *json;

    assert_non_null(answer);
    len = strlen(answer);
    assert_true(len > 2);
    assert_ptr_equal(strstr(answer, "\r\n"), answer + len - 2);
    json = json_loads(answer, 0, NULL);
    assert_non_null(json);
    return json;
}

void assert_fails(struct qmp_rig *f, const char *command, const char *class, const char *desc)
{
    json_t *json = qmp_rig_ask(f, command);
    const char *got_class = "", *got_desc = "";

    assert_int_equal(
        json_unpack(json, "{s:{s:s, s:s}}", "error", "class", &got_class, "desc", &got_desc), 0);
    assert_string_equal(got_class, class);
    if (!strstr(got_desc, desc))
        fail_msg("\"%s\" is not in \"%s\"", desc, got_desc);
    json_decref(json);
}

void qmp_rig_send_fds(int sock, const char *text, const int *fds, unsigned n)
{
    char control[CMSG_SPACE(16 * sizeof(int))] = {0};
    struct iovec iov = {(char *)(uintptr_t)text, strlen(text)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
    assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL), strlen(text));
}
