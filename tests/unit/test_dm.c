/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioemu-dm against a daemon that the test plays: it runs in a child process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/dm/dm.h"

#define PATIENCE_MS 10000

struct fixture {
    char dir[64], control[96], qmp[96];
    int listener; /* the daemon's; -1 */
    int log;      /* what ioemu-dm says */
    int word;     /* a byte when it says "running" */
    pid_t pid;
};

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    *f = (struct fixture){.dir = "/tmp/test_dm.XXXXXX", .listener = -1, .log = -1, .word = -1};
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->control, sizeof(f->control), "%s/control", f->dir);
    snprintf(f->qmp, sizeof(f->qmp), "%s/qmp", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->pid > 0) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
    }
    for (int *fd = (int[]){f->listener, f->log, f->word, -2}; *fd != -2; fd++)
        if (*fd >= 0)
            close(*fd);
    unlink(f->control);
    unlink(f->qmp);
    rmdir(f->dir);
    return 0;
}

static int say_running(void *ctx, uint32_t domid)
{
    uint8_t byte = (uint8_t)domid;

    return write(*(int *)ctx, &byte, 1) == 1 ? 0 : -EIO;
}

static void start(struct fixture *f, const char *const *more)
{
    char chardev[160];
    char *argv[32] = {"-xen-domid", "7",          "-name", "g",
                      "-chardev",   chardev,      "-mon",  "chardev=libxl-cmd,mode=control",
                      "-smp",       "2,maxcpus=4"};
    int argc = 10, log[2], word[2];

    snprintf(chardev, sizeof(chardev), "socket,id=libxl-cmd,path=%s,server=on,wait=off", f->qmp);
    while (more && *more)
        argv[argc++] = (char *)(uintptr_t)*more++;
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    assert_int_equal(pipe2(word, O_CLOEXEC), 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        struct dm_env env = {f->control, say_running, &word[1], log[1]};

        close(log[0]);
        close(word[0]);
        if (f->listener >= 0)
            close(f->listener);
        _exit(dm_run(argc, argv, &env));
    }
    close(log[1]);
    close(word[1]);
    f->log = log[0];
    f->word = word[0];
}

static bool comes(int fd, int timeout_ms)
{
    struct pollfd poller = {fd, POLLIN, 0};

    return poll(&poller, 1, timeout_ms) == 1;
}

/* Its connection, and its request with the descriptors that came. */
static int serve(struct fixture *f, json_t **ret_request, int *ret_fd)
{
    char text[4096], control[CMSG_SPACE(4 * sizeof(int))];
    struct iovec iov = {text, sizeof(text) - 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *cmsg;
    ssize_t n;
    int conn;

    assert_true(comes(f->listener, PATIENCE_MS));
    conn = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(conn >= 0 && comes(conn, PATIENCE_MS));
    n = recvmsg(conn, &msg, MSG_CMSG_CLOEXEC);
    assert_true(n > 0 && text[n - 1] == '\n');
    cmsg = CMSG_FIRSTHDR(&msg);
    assert_true(cmsg && cmsg->cmsg_type == SCM_RIGHTS && cmsg->cmsg_len == CMSG_LEN(sizeof(int)));
    memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
    *ret_request = json_loadb(text, (size_t)n, 0, NULL);
    assert_non_null(*ret_request);
    return conn;
}

static void answer(int conn, const char *text)
{
    assert_int_equal(send(conn, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static const char agreed[] = "{\"jsonrpc\":\"2.0\",\"result\":{\"name\":\"g\"},\"id\":1}\n";

/* A guest attached, the request looked through. */
static int attached(struct fixture *f, bool want_again)
{
    const char *method = "", *name = "";
    int domid = 0, vcpus = 0, again = -1, qmp = -1, conn;
    json_t *request;

    conn = serve(f, &request, &qmp);
    assert_int_equal(json_unpack(request, "{s:s, s:{s:i, s:i, s:b, s:{s:s}, s:[s!]}}", "method",
                                 &method, "params", "domid", &domid, "vcpus", &vcpus, "again",
                                 &again, "config", "name", &name, "qmp", &method),
                     0);
    assert_int_equal(domid, 7);
    assert_int_equal(vcpus, 2);
    assert_int_equal(again, want_again);
    assert_string_equal(name, "g");
    json_decref(request);
    close(qmp);
    answer(conn, agreed);
    return conn;
}

/* Waits for its end. */
static int status(struct fixture *f)
{
    int status;

    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        if (waitpid(f->pid, &status, WNOHANG) == f->pid) {
            f->pid = 0;
            assert_true(WIFEXITED(status));
            return WEXITSTATUS(status);
        }
        usleep(10000);
    }
    fail_msg("it does not end");
    return -1;
}

static const char *heard(struct fixture *f)
{
    static char text[4096];
    size_t len = 0;
    ssize_t n;

    while (comes(f->log, 50) && (n = read(f->log, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}

static void it_says_running_when_the_guest_is_attached_and_not_before(void **state)
{
    struct fixture *f = *state;
    json_t *request;
    int qmp, conn;
    uint8_t domid = 0;

    f->listener = listen_on(f->control);
    start(f, NULL);
    conn = serve(f, &request, &qmp);
    assert_false(comes(f->word, 100));
    answer(conn, "{\"jsonrpc\":\"2.0\",");
    assert_false(comes(f->word, 50));
    answer(conn, "\"result\":{},\"id\":1}\n");
    assert_true(comes(f->word, PATIENCE_MS));
    assert_int_equal(read(f->word, &domid, 1), 1);
    assert_int_equal(domid, 7);
    json_decref(request);
    close(qmp);
    close(conn);
}

static void the_monitor_listens_where_libxl_looks_and_is_handed_over(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int stale = listen_on(f->qmp), qmp, conn, client = socket(AF_UNIX, SOCK_STREAM, 0);
    json_t *request;

    close(stale); /* of a former guest with this id */
    f->listener = listen_on(f->control);
    start(f, NULL);
    conn = serve(f, &request, &qmp);
    strcpy(address.sun_path, f->qmp);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(comes(qmp, PATIENCE_MS));
    json_decref(request);
    close(client);
    close(qmp);
    close(conn);
}

static void without_a_daemon_it_fails_at_once_with_one_line(void **state)
{
    struct fixture *f = *state;
    const char *said;

    start(f, NULL);
    assert_int_equal(status(f), 1);
    said = heard(f);
    assert_non_null(strstr(said, "no ioemud answers"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    assert_false(comes(f->word, 0) && read(f->word, (char[1]){0}, 1) > 0);
}

static void a_refusal_of_the_daemon_is_passed_on(void **state)
{
    struct fixture *f = *state;
    json_t *request;
    int qmp, conn;

    f->listener = listen_on(f->control);
    start(f, NULL);
    conn = serve(f, &request, &qmp);
    answer(conn, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"disk hda: /x is in "
                 "use\\nreally\"},\"id\":1}\n");
    assert_int_equal(status(f), 1);
    assert_string_equal(heard(f), "ioemu-dm: domain 7: disk hda: /x is in use?really\n");
    json_decref(request);
    close(qmp);
    close(conn);
}

static void a_daemon_that_talks_nonsense_is_a_refusal(void **state)
{
    static const char *const answers[] = {"hello\n", "{}\n", "[]\n", "{\"result\":1}\n",
                                          "{\"error\":\"x\"}\n"};

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct fixture *f = *state;
        json_t *request;
        int qmp, conn;

        f->listener = listen_on(f->control);
        start(f, NULL);
        conn = serve(f, &request, &qmp);
        answer(conn, answers[i]);
        assert_int_equal(status(f), 1);
        assert_non_null(strstr(heard(f), "protocol"));
        json_decref(request);
        for (int *fd = (int[]){qmp, conn, f->listener, f->log, f->word, -1}; *fd >= 0; fd++)
            close(*fd);
        f->listener = f->log = f->word = -1;
    }
}

static void a_bad_line_never_reaches_the_daemon(void **state)
{
    struct fixture *f = *state;
    static const char *const more[] = {"-frobnicate", NULL};

    f->listener = listen_on(f->control);
    start(f, more);
    assert_int_equal(status(f), 1);
    assert_non_null(strstr(heard(f), "-frobnicate"));
    assert_false(comes(f->listener, 0));
}

static void a_restore_is_refused_before_anything_is_done(void **state)
{
    struct fixture *f = *state;
    static const char *const more[] = {"-incoming", "fd:9", NULL};

    f->listener = listen_on(f->control);
    start(f, more);
    assert_int_equal(status(f), 1);
    assert_non_null(strstr(heard(f), "restoring"));
    assert_int_not_equal(access(f->qmp, F_OK), 0);
}

static void destroy_ends_it_and_so_the_lease(void **state)
{
    static const int signals[] = {SIGHUP, SIGTERM};

    for (size_t i = 0; i < 2; i++) {
        struct fixture *f = *state;
        int conn;
        char c;

        f->listener = listen_on(f->control);
        start(f, NULL);
        conn = attached(f, false);
        assert_true(comes(f->word, PATIENCE_MS));
        kill(f->pid, signals[i]);
        assert_int_equal(status(f), 0);
        assert_int_equal(read(conn, &c, 1), 0);
        for (int *fd = (int[]){conn, f->listener, f->log, f->word, -1}; *fd >= 0; fd++)
            close(*fd);
        f->listener = f->log = f->word = -1;
    }
}

static void a_signal_ends_it_while_the_daemon_is_slow(void **state)
{
    struct fixture *f = *state;
    json_t *request;
    int qmp, conn;

    f->listener = listen_on(f->control);
    start(f, NULL);
    conn = serve(f, &request, &qmp);
    kill(f->pid, SIGTERM);
    assert_int_equal(status(f), 0);
    json_decref(request);
    close(qmp);
    close(conn);
}

static void it_comes_back_when_the_daemon_does(void **state)
{
    struct fixture *f = *state;
    int conn;

    f->listener = listen_on(f->control);
    start(f, NULL);
    conn = attached(f, false);
    assert_true(comes(f->word, PATIENCE_MS));
    assert_int_equal(read(f->word, (char[1]){0}, 1), 1);

    close(f->listener); /* killed */
    unlink(f->control);
    close(conn);
    usleep(300000);
    f->listener = listen_on(f->control);
    conn = attached(f, true);
    assert_false(comes(f->word, 100)); /* libxl heard it once */
    assert_non_null(strstr(heard(f), "attached to ioemud again"));

    close(conn); /* again, with a daemon that is there */
    conn = attached(f, true);
    kill(f->pid, SIGHUP);
    assert_int_equal(status(f), 0);
    close(conn);
}

static void it_does_not_fill_the_log_while_it_waits(void **state)
{
    struct fixture *f = *state;
    int conn;
    unsigned lines = 0;

    f->listener = listen_on(f->control);
    start(f, NULL);
    conn = attached(f, false);
    close(f->listener);
    f->listener = -1;
    unlink(f->control);
    close(conn);
    usleep(1200000); /* three tries */
    for (const char *c = heard(f); *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 2);
    kill(f->pid, SIGHUP);
    assert_int_equal(status(f), 0);
}

static void a_restricted_guest_is_not_called_running(void **state)
{
    struct fixture *f = *state;
    static const char *const more[] = {"-S", NULL};
    int conn;

    f->listener = listen_on(f->control);
    start(f, more);
    conn = attached(f, false);
    assert_false(comes(f->word, 200));
    kill(f->pid, SIGTERM);
    assert_int_equal(status(f), 0);
    close(conn);
}

/* libxl ends such a device model by kill(-1) from its user id, and counts on real or saved ids. */
static void a_restricted_guest_has_its_user_and_keeps_the_way_back(void **state)
{
    struct fixture *f = *state;
    static const char *const more[] = {"-S", "-runas", "65534:65534", NULL};
    char path[64], line[256];
    unsigned real = 0, effective = 1;
    FILE *file;
    int conn;

    if (geteuid() != 0)
        skip();
    f->listener = listen_on(f->control);
    start(f, more);
    conn = attached(f, false);
    snprintf(path, sizeof(path), "/proc/%d/status", f->pid);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "Uid: %u %u", &real, &effective) == 2)
            break;
    fclose(file);
    assert_int_equal(real, 65534);
    assert_int_equal(effective, 0);
    close(conn);
    conn = attached(f, true);
    close(conn);
}

static void a_user_that_is_not_there_is_an_error(void **state)
{
    struct fixture *f = *state;
    static const char *const users[] = {"no-such-user", "0:0", "4294967295"};

    if (geteuid() != 0)
        skip();
    f->listener = listen_on(f->control);
    for (size_t i = 0; i < 3; i++) {
        const char *const more[] = {"-runas", users[i], NULL};

        start(f, more);
        assert_int_equal(status(f), 1);
        assert_non_null(strstr(heard(f), "-runas"));
        close(f->log);
        close(f->word);
        f->log = f->word = -1;
    }
    assert_false(comes(f->listener, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_says_running_when_the_guest_is_attached_and_not_before),
        TEST(the_monitor_listens_where_libxl_looks_and_is_handed_over),
        TEST(without_a_daemon_it_fails_at_once_with_one_line),
        TEST(a_refusal_of_the_daemon_is_passed_on),
        TEST(a_daemon_that_talks_nonsense_is_a_refusal),
        TEST(a_bad_line_never_reaches_the_daemon),
        TEST(a_restore_is_refused_before_anything_is_done),
        TEST(destroy_ends_it_and_so_the_lease),
        TEST(a_signal_ends_it_while_the_daemon_is_slow),
        TEST(it_comes_back_when_the_daemon_does),
        TEST(it_does_not_fill_the_log_while_it_waits),
        TEST(a_restricted_guest_is_not_called_running),
        TEST(a_restricted_guest_has_its_user_and_keeps_the_way_back),
        TEST(a_user_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
