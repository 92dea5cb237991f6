/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/guest_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/worker_process.h"
#include "ioreq/hv_shm_reaper.h"
#include "tests/unit/guest_rig_hv.h"
#include "tests/unit/json_text.h"

static struct hv_host hosts[WORKER_HVS];

void guest_rig_start(struct guest_rig *rig)
{
    struct daemon *daemon = &rig->daemon;
    struct worker_params params = {.pool_pages = 256,
                                   .aio_depth = 16,
                                   .poll_us = 50,
                                   .log = &daemon->log,
                                   .control = &daemon->mailbox};
    char path[64];
    const char *why;

    *rig = (struct guest_rig){.domid = 5, .pin_error = -ESRCH, .server_id = 1};
    strcpy(rig->dir, "/tmp/test_guest.XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(path, sizeof(path), "%s/guests", rig->dir);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(daemon_config_defaults(&daemon->config), 0);
    daemon->config.isolation = ISOLATION_THREAD; /* worker_rig.c makes it processes */
    free(daemon->config.run_dir);
    daemon->config.run_dir = strdup(rig->dir);
    log_init(&daemon->log, -1); /* quiet: failures are what the tests are about */
    daemon->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    evloop_init(&daemon->evloop, daemon->ev);
    mailbox_init(&daemon->mailbox, daemon->ev);
    subscriptions_init(&daemon->subscriptions, &daemon->evloop.loop, daemon_sample, daemon);
    for (unsigned i = 0; i < WORKER_HVS; i++) {
        hosts[i].rig = rig;
        daemon->hv[i] = params.hv[i] = &guest_rig_hv_ops;
        daemon->host[i] = params.host[i] = &hosts[i];
    }
    assert_int_equal(worker_create(&params, &daemon->worker[0], &why), 0);
    daemon->n_workers = 1;
    sem_init(&rig->held, 0, 0);
    sem_init(&rig->release, 0, 0);
}

void guest_rig_stop(struct guest_rig *rig)
{
    struct daemon *daemon = &rig->daemon;
    char command[64];

    subscriptions_finish(&rig->daemon.subscriptions);
    rpc_server_destroy(rig->rpc);
    daemon_stop(daemon);
    guest_rig_settle(rig, 0);
    if (daemon->worker[0])
        assert_int_equal(daemon->worker[0]->guests, 0);
    assert_int_equal(rig->hv_guests, 0);
    assert_int_equal(guest_rig_records(rig), 0);
    worker_destroy(daemon->worker[0]);
    worker_process_forget(daemon);
    hv_shm_reaper_destroy(daemon->reaper);
    mailbox_finish(&daemon->mailbox);
    evloop_finish(&daemon->evloop);
    ev_loop_destroy(daemon->ev);
    daemon_config_finish(&daemon->config);
    snprintf(command, sizeof(command), "rm -rf %s", rig->dir);
    assert_int_equal(system(command), 0);
}

void guest_rig_run(struct guest_rig *rig, bool (*done)(struct guest_rig *rig, void *arg), void *arg)
{
    for (unsigned i = 0; i < 10000; i++) {
        ev_run(rig->daemon.ev, EVRUN_NOWAIT);
        if (done(rig, arg))
            return;
        usleep(1000);
    }
    fail_msg("nothing came of it in 10 s");
}

static bool settled(struct guest_rig *rig, void *arg)
{
    unsigned count = 0;

    for (const struct guest *guest = rig->daemon.guests; guest; guest = guest->next, count++)
        if (guest->state == GUEST_STARTING || guest->state == GUEST_STOPPING)
            return false;
    return count == *(unsigned *)arg;
}

void guest_rig_settle(struct guest_rig *rig, unsigned guests)
{
    guest_rig_run(rig, settled, &guests);
}

static void hold(struct mail *mail) /* worker */
{
    struct guest_rig *rig = (struct guest_rig *)((char *)mail - offsetof(struct guest_rig, hold));

    sem_post(&rig->held);
    sem_wait(&rig->release);
}

void guest_rig_hold_worker(struct guest_rig *rig)
{
    rig->hold.run = hold;
    mailbox_post(&rig->daemon.worker[0]->mailbox, &rig->hold);
    sem_wait(&rig->held);
}

void guest_rig_release_worker(struct guest_rig *rig)
{
    sem_post(&rig->release);
}

static void on_done(void *ctx, struct guest *guest, int err, const char *why)
{
    struct rig_outcome *outcome = ctx;

    outcome->told++;
    outcome->err = err;
    snprintf(outcome->why, sizeof(outcome->why), "%s", why);
}

static void attach_with(struct guest_rig *rig, const char *text, void *peer,
                        struct rig_outcome *outcome)
{
    struct guest_attach attach = {
        .domid = rig->domid++, .peer = peer, .done = on_done, .ctx = outcome};
    struct config_error error;
    json_t *object = json_text(text);

    if (guest_config_from_json(object, "(test)", &attach.config, &error))
        fail_msg("%s", error.text);
    json_decref(object);
    if (attach.config.hypervisor == GUEST_SHM)
        attach.domid = 0;
    assert_true(attach.domid < RIG_DOMAINS);
    if (!rig->domain[attach.domid].name[0])
        snprintf(rig->domain[attach.domid].name, sizeof(rig->domain[0].name), "%s",
                 attach.config.name);
    *outcome = (struct rig_outcome){0};
    guest_attach(&rig->daemon, &attach);
}

void guest_rig_attach(struct guest_rig *rig, const char *text, struct rig_outcome *outcome)
{
    attach_with(rig, text, NULL, outcome);
}

void guest_rig_attach_peer(struct guest_rig *rig, const char *text, struct rig_outcome *outcome)
{
    attach_with(rig, text, rig, outcome);
}

void guest_rig_image(struct guest_rig *rig, const char *name)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
}

const char *guest_rig_everything(struct guest_rig *rig)
{
    static char json[1024];

    guest_rig_image(rig, "a.img");
    snprintf(json, sizeof(json),
             "{'name': 'a', 'disks': [" GUEST_RIG_DISK ", {'vdev': 'hdc', 'path': '%s/a.img'}],"
             "'serial': [{'type': 'pty'}, {'type': 'unix', 'path': '%s/com2'}]}",
             rig->dir, rig->dir);
    return json;
}

bool guest_rig_socket_gone(struct guest_rig *rig)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof(path), "%s/com2", rig->dir);
    return stat(path, &st) && errno == ENOENT;
}

void guest_rig_folder(struct guest_rig *rig)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/guests.d", rig->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    free(rig->daemon.config.guests_dir);
    rig->daemon.config.guests_dir = strdup(path);
}

void guest_rig_file(struct guest_rig *rig, const char *name, const char *text)
{
    char path[128], fresh[64];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s.json", rig->daemon.config.guests_dir, name);
    if (!text) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    snprintf(fresh, sizeof(fresh), "%s/fresh", rig->dir);
    file = fopen(fresh, "w");
    assert_non_null(file);
    json_text_write(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

static unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

unsigned guest_rig_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1; /* the folder's own */
}

bool guest_rig_has_record(struct guest_rig *rig, const char *name, uint32_t domid,
                          unsigned server_id)
{
    char path[128], text[256] = "", wanted[32];
    FILE *file;

    snprintf(path, sizeof(path), "%s/guests/%s-%u.json", rig->dir, name, domid);
    snprintf(wanted, sizeof(wanted), "\"server\":%u", server_id);
    file = fopen(path, "re");
    if (!file)
        return false;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return strstr(text, wanted) != NULL;
}

unsigned guest_rig_records(struct guest_rig *rig)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/guests", rig->dir);
    return count_entries(path);
}

/* The control socket. */

int guest_rig_dial(struct guest_rig *rig)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char why[OPENER_WHY_SIZE];
    int fd;

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/rpc", rig->dir);
    if (!rig->rpc) {
        assert_int_equal(opener_listen(addr.sun_path, SOCK_STREAM, 0600, "", &fd, why), 0);
        assert_int_equal(rpc_server_create(fd, &rig->daemon.evloop.loop, daemon_control_methods,
                                           &rig->daemon, 64, &rig->rpc),
                         0);
    }
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

void guest_rig_say(int fd, const char *text)
{
    char line[1024];
    int len = snprintf(line, sizeof(line), "%s\n", text);

    json_text_quote(line);
    assert_int_equal(write(fd, line, (size_t)len), len);
}

static bool readable(struct guest_rig *rig, void *arg)
{
    struct pollfd poll_fd = {.fd = *(int *)arg, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

const char *guest_rig_hear(struct guest_rig *rig, int fd)
{
    static char line[4096];
    ssize_t n;

    guest_rig_run(rig, readable, &fd);
    n = read(fd, line, sizeof(line) - 1);
    line[n > 0 ? n : 0] = '\0';
    return line;
}
