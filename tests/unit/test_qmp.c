/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/qmp.h"
#include "tests/unit/fake_loop.h"

#define VCPUS 4u

struct fixture {
    struct fake_loop *loop;
    struct qmp *qmp;
    char path[64];
    int client;
    bool running, prelaunch, destroy_in_callback;
    unsigned online; /* bit per vCPU */
    unsigned refusals;
    char refused[512];
    unsigned media; /* changes asked for */
    char medium[128];
    struct qmp_call *call;
    bool inline_answer;
};

static bool op_running(void *ctx)
{
    return ((struct fixture *)ctx)->running;
}

static bool op_prelaunch(void *ctx)
{
    return ((struct fixture *)ctx)->prelaunch;
}

static int op_set_running(void *ctx, bool running, char *ret_why)
{
    struct fixture *f = ctx;

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
    return VCPUS;
}

static bool op_vcpu_online(void *ctx, unsigned index)
{
    return ((struct fixture *)ctx)->online >> index & 1;
}

static int op_vcpu_add(void *ctx, unsigned index, char *ret_why)
{
    struct fixture *f = ctx;

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
    struct fixture *f = ctx;

    f->media++;
    snprintf(f->medium, sizeof(f->medium), "%s %s%s %s", id, path ? path : "(none)",
             fd >= 0 ? " fd" : "", force ? "force" : "gentle");
    f->call = call;
    if (f->inline_answer)
        qmp_finish(call, 0, "");
}

static void op_refused(void *ctx, const char *what)
{
    struct fixture *f = ctx;

    f->refusals++;
    snprintf(f->refused, sizeof(f->refused), "%s", what);
}

static const struct qmp_ops ops = {
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

static int dial(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(addr.sun_path, f->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    fake_loop_settle(f->loop, 20, 10000);
    return fd;
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* blocking, as it may be inherited */

    *f = (struct fixture){.loop = fake_loop_create(), .running = true, .online = 1};
    snprintf(f->path, sizeof(f->path), "/tmp/test_qmp.%d", getpid());
    unlink(f->path);
    strcpy(addr.sun_path, f->path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 16) ||
        qmp_create(fd, fake_loop(f->loop), &ops, f, &f->qmp))
        return -1;
    f->client = dial(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    qmp_destroy(f->qmp);
    if (f->client >= 0)
        close(f->client);
    unlink(f->path);
    fake_loop_destroy(f->loop);
    return 0;
}

/* What has come for `fd`, in a buffer that the next call reuses; NULL: disconnected. */
static const char *hear(struct fixture *f, int fd)
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

static const char *talk(struct fixture *f, const char *text)
{
    assert_int_equal(send(f->client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    return hear(f, f->client);
}

static void negotiate(struct fixture *f)
{
    hear(f, f->client);
    assert_string_equal(talk(f, "{\"execute\":\"qmp_capabilities\",\"id\":1}\r\n"),
                        "{\"return\":{},\"id\":1}\r\n");
}

/* The answer to one command as JSON, checked to be one line that ends as libxl wants it. */
static json_t *ask(struct fixture *f, const char *command)
{
    const char *answer = talk(f, command);
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

static void assert_fails(struct fixture *f, const char *command, const char *class,
                         const char *desc)
{
    json_t *json = ask(f, command);
    const char *got_class = "", *got_desc = "";

    assert_int_equal(
        json_unpack(json, "{s:{s:s, s:s}}", "error", "class", &got_class, "desc", &got_desc), 0);
    assert_string_equal(got_class, class);
    if (!strstr(got_desc, desc))
        fail_msg("\"%s\" is not in \"%s\"", desc, got_desc);
    json_decref(json);
}

static void the_greeting_has_an_integer_version(void **state)
{
    struct fixture *f = *state;
    json_t *json = json_loads(hear(f, f->client), 0, NULL);
    int major = -1, minor = -1, micro = -1;
    json_t *capabilities;

    assert_int_equal(json_unpack(json, "{s:{s:{s:{s:i, s:i, s:i}}, s:o}}", "QMP", "version", "qemu",
                                 "major", &major, "minor", &minor, "micro", &micro, "capabilities",
                                 &capabilities),
                     0);
    assert_true(major > 2); /* libxl knows new forms of its commands by it */
    assert_true(minor >= 0 && micro >= 0 && json_is_array(capabilities));
    json_decref(json);
}

static void nothing_is_done_before_negotiation(void **state)
{
    struct fixture *f = *state;

    hear(f, f->client);
    assert_fails(f, "{\"execute\":\"stop\"}\r\n", "CommandNotFound", "qmp_capabilities");
    assert_true(f->running);
    negotiate(f);
    assert_fails(f, "{\"execute\":\"qmp_capabilities\"}\r\n", "CommandNotFound", "already");
}

static void the_id_comes_back_whatever_it_is(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    assert_string_equal(talk(f, "{\"execute\":\"cont\",\"id\":2020372736}\r\n"),
                        "{\"return\":{},\"id\":2020372736}\r\n");
    assert_string_equal(talk(f, "{\"execute\":\"cont\",\"id\":{\"a\":[1]}}"),
                        "{\"return\":{},\"id\":{\"a\":[1]}}\r\n");
    assert_non_null(
        strstr(talk(f, "{\"execute\":\"nonsense\",\"id\":\"x\"}"), "\"id\":\"x\"}\r\n"));
}

static void commands_need_no_line_ends_and_may_come_in_pieces(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    assert_string_equal(talk(f, "{\"execute\":\"query-"), "");
    assert_string_equal(talk(f, "block\"}{\"execute\":\"query-blockstats\"}"),
                        "{\"return\":[]}\r\n{\"return\":[]}\r\n");
    assert_string_equal(talk(f, "{\"execute\":\"cont\",\"id\":\"}\\\"{\"} \r\n\n"),
                        "{\"return\":{},\"id\":\"}\\\"{\"}\r\n");
}

static void nonsense_is_an_error_and_not_the_end(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    assert_fails(f, "hello\n", "GenericError", "JSON object");
    assert_fails(f, "{\"execute\":}\n", "GenericError", "invalid JSON");
    assert_fails(f, "{\"execute\":1}\n", "GenericError", "execute");
    assert_fails(f, "{\"execute\":\"cont\",\"execute\":\"stop\"}\n", "GenericError", "duplicate");
    assert_fails(f, "{\"execute\":\"cont\",\"arguments\":[]}\n", "GenericError", "arguments");
    assert_fails(f, "{\"execute\":\"\xc3\xa4\"}\n", "CommandNotFound", "\xc3\xa4");
    /* 63 letters and half of one: the quotation is cut inside a UTF-8 sequence */
    assert_fails(f,
                 "{\"execute\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "\xc3\xa4\"}\n",
                 "CommandNotFound", "xxx?");
    assert_fails(f, "{\"execute\":\"a\\nb\"}\n", "CommandNotFound", "a\nb");
    assert_null(strchr(f->refused, '\n'));
    assert_string_equal(talk(f, "{\"execute\":\"cont\"}"), "{\"return\":{}}\r\n");
}

static void a_serial_port_is_found_as_xl_console_needs_it(void **state)
{
    struct fixture *f = *state;
    json_t *json;
    const char *label = "", *filename = "";

    negotiate(f);
    json = ask(f, "{\"execute\":\"query-chardev\",\"id\":1}\r\n");
    assert_int_equal(json_array_size(json_object_get(json, "return")), 2);
    assert_int_equal(
        json_unpack(json, "{s:[{s:s, s:s}, {}]}", "return", "label", &label, "filename", &filename),
        0);
    assert_string_equal(label, "serial0");
    assert_string_equal(filename, "pty:/dev/pts/7");
    json_decref(json);
}

static void there_is_no_display_and_its_password_does_not_matter(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    assert_string_equal(talk(f, "{\"execute\":\"query-vnc\"}"),
                        "{\"return\":{\"enabled\":false}}\r\n");
    assert_string_equal(
        talk(f, "{\"execute\":\"change-vnc-password\",\"arguments\":{\"password\":\"x\"}}"),
        "{\"return\":{}}\r\n");
}

static void assert_status(struct fixture *f, const char *want, bool running)
{
    json_t *json = ask(f, "{\"execute\":\"query-status\"}");
    const char *status = "";
    int got;

    assert_int_equal(
        json_unpack(json, "{s:{s:s, s:b}}", "return", "status", &status, "running", &got), 0);
    assert_string_equal(status, want);
    assert_int_equal(got, running);
    json_decref(json);
}

static void the_status_follows_stop_and_cont(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    f->running = false;
    f->prelaunch = true;
    assert_status(f, "prelaunch", false);
    assert_string_equal(talk(f, "{\"execute\":\"cont\"}"), "{\"return\":{}}\r\n");
    assert_status(f, "running", true);
    assert_string_equal(talk(f, "{\"execute\":\"stop\"}"), "{\"return\":{}}\r\n");
    assert_status(f, "paused", false);
}

static void vcpus_are_listed_and_plugged_in_as_vcpu_set_does(void **state)
{
    struct fixture *f = *state;
    char command[256];
    const char *driver = "";
    json_t *json;
    int index = -1;

    negotiate(f);
    json = ask(f, "{\"execute\":\"query-cpus-fast\",\"id\":1}\r\n");
    assert_int_equal(json_array_size(json_object_get(json, "return")), 1);
    assert_int_equal(json_unpack(json, "{s:[{s:i}]}", "return", "cpu-index", &index), 0);
    assert_int_equal(index, 0);
    json_decref(json);

    json = ask(f, "{\"execute\":\"query-hotpluggable-cpus\",\"id\":2}\r\n");
    assert_int_equal(json_array_size(json_object_get(json, "return")), VCPUS);
    assert_int_equal(
        json_unpack(json_array_get(json_object_get(json, "return"), 0), "{s:s}", "type", &driver),
        0);
    snprintf(command, sizeof(command),
             "{\"execute\":\"device_add\",\"id\":3,\"arguments\":{\"id\":\"cpu-2\",\"driver\":"
             "\"%s\",\"socket-id\":2,\"core-id\":0,\"thread-id\":0}}\r\n",
             driver);
    json_decref(json);
    assert_string_equal(talk(f, command), "{\"return\":{},\"id\":3}\r\n");
    assert_int_equal(f->online, 5);
    assert_fails(f, command, "GenericError", "already");

    json = ask(f, "{\"execute\":\"query-cpus-fast\"}");
    assert_int_equal(json_array_size(json_object_get(json, "return")), 2);
    json_decref(json);
}

static void a_vcpu_that_cannot_be_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const arguments[] = {
        "\"socket-id\":4",          "\"socket-id\":-1",
        "\"socket-id\":\"1\"",      "\"socket-id\":1,\"core-id\":1",
        "\"socket-id\":4294967297", "\"core-id\":0",
    };

    negotiate(f);
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
        char command[256];

        snprintf(command, sizeof(command),
                 "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"ioemud-vcpu\",%s}}",
                 arguments[i]);
        assert_fails(f, command, "GenericError", "no such vCPU");
    }
    assert_fails(f,
                 "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"ioemud-vcpu\","
                 "\"socket-id\":3}}",
                 "GenericError", "going away");
    assert_fails(f, "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"usb-host\"}}",
                 "GenericError", "usb-host");
    assert_int_equal(f->online, 1);
}

/* libxl's order: xen-set-global-dirty-log, stop, add-fd, xen-save-devices-state, and after a
 * failure cont, from libxl_domain_resume(). */
static void a_save_fails_with_a_reason_and_the_guest_goes_on(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    assert_string_equal(talk(f, "{\"execute\":\"stop\"}\r\n"), "{\"return\":{}}\r\n");
    assert_fails(f,
                 "{\"execute\":\"xen-save-devices-state\",\"arguments\":{\"live\":false,"
                 "\"filename\":\"/dev/fdset/0\"}}\r\n",
                 "GenericError", "not supported by ioemud yet; the guest keeps running");
    assert_int_equal(f->refusals, 1);
    assert_string_equal(talk(f, "{\"execute\":\"cont\"}\r\n"), "{\"return\":{}}\r\n");
    assert_status(f, "running", true);
}

static void a_save_or_migration_fails_at_its_first_step(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    assert_fails(f, "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":true}}",
                 "GenericError", "saving and migrating a guest are not supported");
    assert_string_equal(
        talk(f, "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":false}}"),
        "{\"return\":{}}\r\n");
}

#define CHANGE(file, format)                                                                       \
    "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"ide-5632\",\"filename\":"     \
    "\"" file "\",\"format\":\"" format "\"}}"

static void the_medium_commands_say_what_is_missing(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    assert_fails(f, "{\"execute\":\"eject\"}", "GenericError", "\"id\"");
    assert_fails(f, "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"ide-832\"}}",
                 "GenericError", "filename");
    assert_fails(f, CHANGE("/dev/fdset/7", "raw"), "GenericError", "descriptor set");
    assert_fails(f, CHANGE("iso", "raw"), "GenericError", "absolute");
    assert_fails(f, CHANGE("/iso", "qcow2"), "GenericError", "raw images only");
    assert_int_equal(f->media, 0);
}

static void send_fds(int sock, const char *text, const int *fds, unsigned n)
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

#define assert_silent(answer) assert_string_equal(answer, "")

/* `xl cd-eject` and `cd-insert`, as libxl_cdrom_insert() sends them. */
static void a_medium_is_ejected_and_another_inserted_by_its_descriptor(void **state)
{
    struct fixture *f = *state;
    int fd = open("/dev/null", O_RDONLY);

    negotiate(f);
    talk(f, "{\"execute\":\"query-version\",\"id\":1}");
    assert_silent(talk(f, "{\"execute\":\"eject\",\"id\":2,\"arguments\":{\"id\":\"ide-5632\"}}"));
    assert_string_equal(f->medium, "ide-5632 (none) gentle");
    qmp_finish(f->call, 0, ""); /* not before it is done */
    assert_string_equal(hear(f, f->client), "{\"return\":{},\"id\":2}\r\n");
    send_fds(f->client, "{\"execute\":\"add-fd\",\"arguments\":{\"opaque\":\"raw:/srv/a.iso\"}}",
             &fd, 1);
    assert_non_null(hear(f, f->client));
    assert_silent(talk(f, CHANGE("/dev/fdset/0", "raw")));
    assert_string_equal(f->medium, "ide-5632 /srv/a.iso fd gentle");
    qmp_finish(f->call, 0, "");
    assert_non_null(hear(f, f->client));
    assert_silent(talk(f,
                       "{\"execute\":\"change\",\"arguments\":{\"device\":\"ide-5632\",\"target\":"
                       "\"/b.iso\",\"arg\":\"raw\",\"force\":true}}"));
    assert_string_equal(f->medium, "ide-5632 /b.iso force");
    qmp_finish(f->call, -EBUSY, "the tray is locked");
    assert_non_null(strstr(hear(f, f->client), "the tray is locked"));
    assert_int_equal(f->refusals, 1);
    close(fd);
}

static void commands_wait_for_the_answer_of_the_one_before(void **state)
{
    struct fixture *f = *state;
    const char *answers;

    negotiate(f);
    assert_silent(talk(f, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}"
                          "{\"execute\":\"query-status\",\"id\":7}"));
    assert_silent(talk(f, "{\"execute\":\"query-vnc\",\"id\":8}"));
    qmp_finish(f->call, 0, "");
    answers = hear(f, f->client);
    assert_non_null(strstr(answers, "{}}"));
    assert_true(strstr(answers, "\"id\":7}") < strstr(answers, "\"id\":8}"));
    f->inline_answer = true; /* and at once is fine, too */
    answers = talk(f, "{\"execute\":\"eject\",\"id\":9,\"arguments\":{\"id\":\"ide-5632\"}}"
                      "{\"execute\":\"query-vnc\",\"id\":10}");
    assert_true(strstr(answers, "\"id\":9}") < strstr(answers, "\"id\":10}"));
}

static void who_hangs_up_misses_his_answer(void **state)
{
    struct fixture *f = *state;
    struct qmp_call *first, *second;

    negotiate(f);
    talk(f, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}");
    first = f->call;
    for (unsigned i = 0; i < QMP_CLIENTS; i++) /* the one that waits is silent longest */
        close(dial(f));
    qmp_finish(first, 0, "");
    close(f->client);
    f->client = dial(f);
    negotiate(f);
    talk(f, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}");
    second = f->call;
    qmp_destroy(f->qmp);
    f->qmp = NULL;
    qmp_finish(second, 0, "");
}

/* The other end of the pipe has gone: whoever held `fd` closed it. */
static bool closed_by_peer(int fd)
{
    char c;

    return read(fd, &c, 1) == 0;
}

static void a_descriptor_is_kept_in_its_set_until_removed(void **state)
{
    struct fixture *f = *state;
    int pipes[2];

    negotiate(f);
    assert_fails(f, "{\"execute\":\"add-fd\"}", "GenericError", "SCM_RIGHTS");
    assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
    send_fds(f->client, "{\"execute\":\"add-fd\",\"id\":1}\r\n", &pipes[1], 1);
    close(pipes[1]);
    assert_non_null(strstr(hear(f, f->client), "{\"return\":{\"fdset-id\":0,\"fd\":"));
    assert_false(closed_by_peer(pipes[0]));
    assert_fails(f, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":1}}", "GenericError",
                 "no such descriptor set");
    assert_string_equal(talk(f, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":0}}"),
                        "{\"return\":{}}\r\n");
    assert_true(closed_by_peer(pipes[0]));
    close(pipes[0]);
}

static void descriptors_go_with_their_client(void **state)
{
    struct fixture *f = *state;
    int pipes[2];

    negotiate(f);
    assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
    send_fds(f->client, "{\"execute\":\"add-fd\"}{\"execute\":\"cont\"}", &pipes[1], 1);
    send_fds(f->client, " ", &pipes[1], 1);
    close(pipes[1]);
    hear(f, f->client);
    assert_false(closed_by_peer(pipes[0]));
    close(f->client);
    f->client = -1;
    fake_loop_settle(f->loop, 20, 100);
    assert_true(closed_by_peer(pipes[0]));
    close(pipes[0]);
}

static void a_hoard_of_descriptors_disconnects(void **state)
{
    struct fixture *f = *state;
    int fds[QMP_FDS + 1];

    negotiate(f);
    for (unsigned i = 0; i <= QMP_FDS; i++)
        fds[i] = 0;
    send_fds(f->client, " ", fds, QMP_FDS);
    assert_non_null(hear(f, f->client));
    send_fds(f->client, " ", fds, 1);
    assert_null(hear(f, f->client));

    close(f->client);
    f->client = dial(f);
    negotiate(f);
    send_fds(f->client, " ", fds, QMP_FDS + 1); /* more than fits the control buffer */
    assert_null(hear(f, f->client));
}

static void an_endless_command_disconnects(void **state)
{
    struct fixture *f = *state;
    char junk[4096];
    unsigned sent = 0;

    negotiate(f);
    memset(junk, 'x', sizeof(junk));
    junk[0] = '{';
    while (sent <= QMP_LINE_MAX && send(f->client, junk, sizeof(junk), MSG_NOSIGNAL) > 0) {
        sent += sizeof(junk);
        junk[0] = 'x';
        fake_loop_settle(f->loop, 5, 100);
    }
    assert_true(sent >= QMP_LINE_MAX - sizeof(junk) && sent <= QMP_LINE_MAX + 2 * sizeof(junk));
    recv(f->client, junk, sizeof(junk), MSG_DONTWAIT);
    assert_true(recv(f->client, junk, sizeof(junk), MSG_DONTWAIT) <= 0 && errno != EAGAIN);
}

static void a_deeply_nested_command_disconnects(void **state)
{
    struct fixture *f = *state;
    char junk[64];

    negotiate(f);
    memset(junk, '[', sizeof(junk) - 1);
    junk[0] = '{';
    junk[sizeof(junk) - 1] = '\0';
    assert_null(talk(f, junk));
}

static void who_does_not_read_is_disconnected(void **state)
{
    struct fixture *f = *state;
    static const char command[] = "{\"execute\":\"query-hotpluggable-cpus\"}";
    unsigned i;

    negotiate(f);
    for (i = 0;
         i < 100000 && send(f->client, command, strlen(command), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
         i++)
        if (i % 16 == 0)
            fake_loop_turn(f->loop, 0);
    assert_true(i < 100000);
    assert_int_not_equal(errno, EAGAIN);
}

static void the_client_that_sat_longest_makes_room(void **state)
{
    struct fixture *f = *state;
    int fd[QMP_CLIENTS];

    negotiate(f);
    fake_loop_set_clock(f->loop, UINT64_C(1000000000000000));
    for (unsigned i = 0; i + 1 < QMP_CLIENTS; i++) {
        fake_loop_set_clock(f->loop, UINT64_C(2000000000000000) + i);
        fd[i] = dial(f);
    }
    fake_loop_set_clock(f->loop, UINT64_C(3000000000000000));
    assert_string_equal(talk(f, "{\"execute\":\"cont\"}"), "{\"return\":{}}\r\n");
    fd[QMP_CLIENTS - 1] = dial(f);
    assert_non_null(strstr(hear(f, fd[QMP_CLIENTS - 1]), "QMP"));
    assert_null(hear(f, fd[0]));
    assert_non_null(hear(f, fd[1]));
    assert_string_equal(talk(f, "{\"execute\":\"cont\"}"), "{\"return\":{}}\r\n");
    for (unsigned i = 0; i < QMP_CLIENTS; i++)
        close(fd[i]);
}

static void a_client_that_leaves_does_not_make_the_loop_spin(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    send(f->client, "{\"execute\":\"co", 14, MSG_NOSIGNAL);
    close(f->client);
    f->client = -1;
    assert_true(fake_loop_settle(f->loop, 20, 100) < 10);
    assert_int_equal(fake_loop_watches(f->loop), 1);
}

static void the_monitor_may_end_inside_a_command(void **state)
{
    struct fixture *f = *state;

    negotiate(f);
    f->destroy_in_callback = true;
    assert_null(talk(f, "{\"execute\":\"stop\"}{\"execute\":\"cont\"}"));
    assert_false(f->running);
    assert_int_equal(fake_loop_watches(f->loop), 0);
}

static void only_a_listening_socket_will_do(void **state)
{
    struct fixture *f = *state;
    struct qmp *qmp = NULL;

    assert_int_equal(qmp_create(f->client, fake_loop(f->loop), &ops, f, &qmp), -EINVAL);
    assert_null(qmp);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_greeting_has_an_integer_version),
        TEST(nothing_is_done_before_negotiation),
        TEST(the_id_comes_back_whatever_it_is),
        TEST(commands_need_no_line_ends_and_may_come_in_pieces),
        TEST(nonsense_is_an_error_and_not_the_end),
        TEST(a_serial_port_is_found_as_xl_console_needs_it),
        TEST(there_is_no_display_and_its_password_does_not_matter),
        TEST(the_status_follows_stop_and_cont),
        TEST(vcpus_are_listed_and_plugged_in_as_vcpu_set_does),
        TEST(a_vcpu_that_cannot_be_is_refused),
        TEST(a_save_fails_with_a_reason_and_the_guest_goes_on),
        TEST(a_save_or_migration_fails_at_its_first_step),
        TEST(the_medium_commands_say_what_is_missing),
        TEST(a_medium_is_ejected_and_another_inserted_by_its_descriptor),
        TEST(commands_wait_for_the_answer_of_the_one_before),
        TEST(who_hangs_up_misses_his_answer),
        TEST(a_descriptor_is_kept_in_its_set_until_removed),
        TEST(descriptors_go_with_their_client),
        TEST(a_hoard_of_descriptors_disconnects),
        TEST(an_endless_command_disconnects),
        TEST(a_deeply_nested_command_disconnects),
        TEST(who_does_not_read_is_disconnected),
        TEST(the_client_that_sat_longest_makes_room),
        TEST(a_client_that_leaves_does_not_make_the_loop_spin),
        TEST(the_monitor_may_end_inside_a_command),
        TEST(only_a_listening_socket_will_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
