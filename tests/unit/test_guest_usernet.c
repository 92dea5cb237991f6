/* SPDX-License-Identifier: GPL-2.0-or-later */
/* User networks of guests whose workers are processes: they come, go and start anew with them. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/guest_nics.h"
#include "daemon/usernet.h"
#include "tests/unit/free_port.h"
#include "tests/unit/json_text.h"
#include "tests/unit/worker_rig.h"

struct fixture {
    struct guest_rig *rig;
    pid_t networks; /* who has them */
    uint16_t port;
    char json[256];
};

/* As systemd does with Accept=yes. */
__attribute__((noreturn)) static void serve_networks(int listener)
{
    struct log log;

    signal(SIGCHLD, SIG_IGN);
    log_init(&log, LOG_EMERG);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0 && !fork())
            _exit(usernet_serve(fd, &log));
        close(fd);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char **path, why[OPENER_WHY_SIZE];
    void *rig;
    int fd;

    worker_rig_setup(&rig);
    f->rig = rig;
    path = &f->rig->daemon.config.user_network_socket;
    free(*path);
    assert_true(asprintf(path, "%s/usernet.sock", f->rig->dir) > 0);
    assert_int_equal(opener_listen(*path, SOCK_SEQPACKET, 0600, "", &fd, why), 0);
    fcntl(fd, F_SETFL, 0);
    f->networks = fork();
    if (!f->networks)
        serve_networks(fd);
    assert_true(f->networks > 0);
    close(fd);
    f->port = free_port(SOCK_STREAM);
    snprintf(f->json, sizeof(f->json),
             "{'name': 'a', 'nics': [{'devid': 0, 'backend': 'user', 'forward': [{'port': %u, "
             "'guest_port': 22}]}]}",
             f->port);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *rig = f->rig;

    kill(f->networks, SIGTERM);
    waitpid(f->networks, NULL, 0);
    unlink(f->rig->daemon.config.user_network_socket);
    worker_rig_teardown(&rig);
    free(f);
    return 0;
}

/* Whether somebody listens there. */
static bool has_port(const struct fixture *f)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = !connect(fd, (struct sockaddr *)&address, sizeof(address));

    close(fd);
    return has;
}

static bool loses_port(const struct fixture *f)
{
    for (unsigned i = 0; i < 500 && has_port(f); i++)
        usleep(10000);
    return !has_port(f);
}

static void a_network_comes_and_goes_with_its_guest(void **state)
{
    struct fixture *f = *state;
    struct guest_rig *rig = f->rig;
    unsigned descriptors = guest_rig_descriptors();

    for (unsigned i = 0; i < 3; i++) { /* one right behind the other, as at a reboot */
        worker_rig_start(rig, f->json);
        assert_true(has_port(f));
        guest_detach(rig->daemon.guests, NULL, NULL);
        guest_rig_settle(rig, 0);
    }
    assert_true(loses_port(f));
    while (rig->daemon.processes)
        ev_run(rig->daemon.ev, EVRUN_ONCE);
    worker_rig_none_stays(descriptors);
}

static void a_domain_whose_worker_dies_has_its_network_and_its_port_again(void **state)
{
    struct fixture *f = *state;
    struct worker_was was = {worker_rig_start(f->rig, f->json)};

    assert_true(has_port(f));
    kill(was.pid, SIGKILL);
    guest_rig_run(f->rig, worker_rig_has_another, &was);
    assert_true(has_port(f));
}

static void on_answer(void *ctx, int err, const char *why)
{
    if (err)
        fail_msg("%s", why);
    *(bool *)ctx = true;
}

static bool is_told(struct guest_rig *rig, void *arg)
{
    return *(bool *)arg;
}

static void a_nic_that_is_added_has_a_network_and_takes_it_along(void **state)
{
    struct fixture *f = *state;
    bool told = false;
    struct config_error error;
    struct nic_config nic;
    char text[128];
    json_t *object;

    worker_rig_start(f->rig, "{'name': 'a'}");
    snprintf(text, sizeof(text),
             "{'devid': 3, 'backend': 'user', 'forward': [{'port': %u, 'guest_port': 22}]}",
             f->port);
    object = json_text(text);
    assert_int_equal(nic_config_from_json(object, &nic, &error), 0);
    json_decref(object);
    guest_nic_add(f->rig->daemon.guests, &nic, on_answer, &told);
    guest_rig_run(f->rig, is_told, &told);
    assert_true(has_port(f));
    told = false;
    guest_nic_remove(f->rig->daemon.guests, 3, true, on_answer, &told);
    guest_rig_run(f->rig, is_told, &told);
    assert_true(loses_port(f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_network_comes_and_goes_with_its_guest),
        TEST(a_domain_whose_worker_dies_has_its_network_and_its_port_again),
        TEST(a_nic_that_is_added_has_a_network_and_takes_it_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
