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
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/worker_process.h"

/* The hypervisor. */

struct hv_host {
    struct guest_rig *rig;
};

struct hv_worker {
    int unused;
};

struct hv_guest {
    struct guest_rig *rig;
    _Alignas(IOREQ_PAGE) struct ioreq_slot slots[IOREQ_SLOTS];
    _Alignas(IOREQ_PAGE) struct buf_ioreq_page buffered;
    uint8_t ram[4096];
    uint32_t server_id;
    struct hv_guest_info info;
    struct hv_counters counters;
    int fd;
    unsigned claimed;
    bool started, enabled, gone, stay_ready;
    bool stopped; /* asked to; nothing of the guest may be touched afterwards */
};

static struct hv_host hosts[WORKER_HVS];
static struct hv_worker workers;

static int step(struct guest_rig *rig, enum rig_step which)
{
    if (rig->fail != which || rig->fail_after--)
        return 0;
    rig->fail = RIG_NONE;
    return -ENXIO;
}

static int fake_worker_open(struct hv_host *host, struct hv_worker **ret_worker)
{
    *ret_worker = &workers;
    return 0;
}

static void fake_worker_close(struct hv_worker *worker)
{
}

static int fake_intend(struct hv_host *host, const struct hv_guest_params *params,
                       struct hv_record *ret_record)
{
    if (step(host->rig, RIG_INTEND))
        return -ENXIO;
    *ret_record = (struct hv_record){.domid = params->domid, .server_id = 1};
    return 0;
}

static int fake_create(struct hv_host *host, const struct hv_guest_params *params,
                       struct hv_guest **ret_guest)
{
    struct guest_rig *rig = host->rig;
    struct hv_guest *guest;

    /* A daemon that is killed right after this leaves a server that its successor finds. */
    if (!params->peer)
        assert_true(guest_rig_has_record(rig, params->name, params->domid, 1));
    if (step(rig, RIG_CREATE))
        return -ENXIO;
    guest = aligned_alloc(IOREQ_PAGE, sizeof(*guest));
    assert_non_null(guest);
    memset(guest, 0, sizeof(*guest));
    guest->rig = rig;
    guest->info.domid = params->domid;
    guest->server_id = rig->server_id;
    guest->info.vcpus = 2;
    guest->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (guest->fd < 0) {
        int err = -errno;

        free(guest);
        return err;
    }
    rig->hv_guests++;
    rig->last = guest;
    *ret_guest = guest;
    return 0;
}

static void fake_destroy(struct hv_guest *guest)
{
    if (guest->started)
        assert_true(guest->stopped);
    assert_int_equal(guest->claimed, 0); /* the machine gave its ranges back first */
    guest->rig->hv_guests--;
    close(guest->fd);
    free(guest);
}

static int fake_pause(struct hv_guest *guest, bool pause)
{
    guest->rig->paused += pause ? 1 : -1u;
    return 0;
}

static void fake_paused(struct hv_guest *guest, bool paused)
{
}

static void fake_record(const struct hv_guest *guest, struct hv_record *ret_record)
{
    *ret_record = (struct hv_record){.domid = guest->info.domid, .server_id = guest->server_id};
}

static int fake_domain(const struct hv_guest *guest, struct hv_domain *ret_domain)
{
    const struct rig_domain *domain = &guest->rig->domain[guest->info.domid];

    if (domain->gone)
        return -ESRCH;
    snprintf(ret_domain->name, sizeof(ret_domain->name), "%s", domain->name);
    ret_domain->over = domain->over;
    return 0;
}

static int fake_find_domain(struct hv_host *host, const char *name, uint32_t *ret_domid)
{
    for (uint32_t i = 1; i < RIG_DOMAINS; i++) {
        const struct rig_domain *domain = &host->rig->domain[i];

        if (domain->gone || strcmp(domain->name, name) != 0)
            continue;
        *ret_domid = i;
        return 0;
    }
    return -ENOENT;
}

static bool fake_disks_have_pv(struct hv_host *host, uint32_t domid, const struct hv_disk *disks,
                               unsigned n_disks, bool own)
{
    struct guest_rig *rig = host->rig;

    assert_true(n_disks <= CONFIG_DISKS);
    rig->n_pv = n_disks;
    rig->own_pv = own;
    for (unsigned i = 0; i < n_disks; i++) {
        rig->pv_place[i] = disks[i].place;
        snprintf(rig->pv_path[i], sizeof(rig->pv_path[i]), "%s",
                 disks[i].path ? disks[i].path : "");
    }
    return rig->have_pv;
}

static bool fake_nic_has_pv(struct hv_host *host, uint32_t domid, unsigned devid,
                            struct hv_nic_credit *ret_credit)
{
    *ret_credit = host->rig->credit;
    return host->rig->nics_have_pv;
}

static int fake_start(struct hv_guest *guest, struct hv_worker *worker)
{
    assert_ptr_equal(worker, &workers);
    guest->started = true;
    return step(guest->rig, RIG_START);
}

static int fake_enable(struct hv_guest *guest)
{
    assert_true(guest->started && !guest->stopped);
    guest->enabled = true;
    return step(guest->rig, RIG_ENABLE);
}

static void fake_stop(struct hv_guest *guest)
{
    assert_true(guest->started && !guest->stopped);
    guest->stopped = true;
}

static const struct hv_guest_info *fake_info(const struct hv_guest *guest)
{
    return &guest->info;
}

static const struct hv_counters *fake_counters(const struct hv_guest *guest)
{
    return &guest->counters;
}

static int fake_claim(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last)
{
    assert_true(guest->started && !guest->stopped);
    if (step(guest->rig, RIG_CLAIM))
        return -ENXIO;
    guest->claimed++;
    return 0;
}

static void fake_release(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last)
{
    assert_true(guest->claimed > 0);
    guest->claimed--;
}

static int fake_fd(const struct hv_guest *guest)
{
    return guest->fd;
}

static int fake_pending(struct hv_guest *guest, struct hv_pending *ret_pending)
{
    uint64_t count;

    assert_true(guest->enabled && !guest->stopped);
    *ret_pending = (struct hv_pending){
        .gone = __atomic_load_n(&guest->gone, __ATOMIC_ACQUIRE),
    };
    ret_pending->slots[0] = 1;
    if (!__atomic_load_n(&guest->stay_ready, __ATOMIC_ACQUIRE) &&
        read(guest->fd, &count, sizeof(count)) < 0)
        ret_pending->slots[0] = 0;
    return 0;
}

static void fake_rearm(struct hv_guest *guest)
{
    assert_false(guest->stopped);
}

static struct ioreq_slot *fake_slots(struct hv_guest *guest)
{
    assert_false(guest->stopped);
    return guest->slots;
}

static struct buf_ioreq_page *fake_buffered(struct hv_guest *guest)
{
    return &guest->buffered;
}

static void fake_notify(struct hv_guest *guest, uint32_t vcpu)
{
}

static int fake_pin(struct hv_guest *guest, uint64_t gpa, size_t len, bool write, struct iovec *iov,
                    size_t *ret_len)
{
    int err = __atomic_load_n(&guest->rig->pin_error, __ATOMIC_ACQUIRE);

    assert_false(guest->stopped);
    if (err)
        return err;
    iov[0] = (struct iovec){.iov_base = guest->ram, .iov_len = len < 4096 ? len : 4096};
    *ret_len = iov[0].iov_len;
    return 1;
}

static void fake_unpin(struct hv_guest *guest, uint64_t gpa, size_t len)
{
}

static void fake_invalidate(struct hv_guest *guest)
{
}

static void fake_dirty(struct hv_guest *guest, uint64_t gpa, size_t len)
{
}

static void fake_isa(struct hv_guest *guest, unsigned irq, bool level)
{
}

static void fake_intx(struct hv_guest *guest, unsigned slot, unsigned pin, bool level)
{
}

static void fake_link(struct hv_guest *guest, unsigned link, unsigned irq)
{
}

static void *fake_bufpio(struct hv_guest *guest)
{
    return NULL;
}

static void fake_msi(struct hv_guest *guest, uint64_t address, uint32_t data)
{
}

static void fake_shutdown(struct hv_guest *guest, enum hv_shutdown reason)
{
}

static int fake_pack(struct hv_guest *guest, struct hv_packed *ret_packed)
{
    int fd = dup(guest->fd);

    assert_false(guest->started); /* that is the other process's */
    if (fd < 0)
        return -errno;
    *ret_packed = (struct hv_packed){.count = 1, .fds = {fd}, .bytes = sizeof(guest->info)};
    memcpy(ret_packed->data, &guest->info, sizeof(guest->info));
    return 0;
}

/* The process is a copy of this one, without what it is not to have. */
static int fake_bare(struct hv_host **ret_host)
{
    *ret_host = &hosts[0];
    return 0;
}

static int fake_unpack(struct hv_host *host, const struct hv_packed *packed,
                       struct hv_guest **ret_guest)
{
    struct hv_guest *guest = aligned_alloc(IOREQ_PAGE, sizeof(*guest));

    assert_non_null(guest);
    memset(guest, 0, sizeof(*guest));
    guest->rig = host->rig;
    memcpy(&guest->info, packed->data, sizeof(guest->info));
    guest->fd = packed->fds[0];
    *ret_guest = guest;
    return 0;
}

static void fake_let_go(struct hv_guest *guest)
{
    assert_int_equal(guest->claimed, 0);
    close(guest->fd);
    free(guest);
}

static const struct hv_ops fake_ops = {
    .name = "fake",
    .worker_open = fake_worker_open,
    .worker_close = fake_worker_close,
    .guest_create = fake_create,
    .guest_destroy = fake_destroy,
    .guest_intend = fake_intend,
    .guest_pause = fake_pause,
    .guest_record = fake_record,
    .guest_domain = fake_domain,
    .find_domain = fake_find_domain,
    .disks_have_pv = fake_disks_have_pv,
    .nic_has_pv = fake_nic_has_pv,
    .guest_pack = fake_pack,
    .host_bare = fake_bare,
    .guest_unpack = fake_unpack,
    .guest_let_go = fake_let_go,
    .guest_start = fake_start,
    .guest_enable = fake_enable,
    .guest_stop = fake_stop,
    .guest_info = fake_info,
    .guest_counters = fake_counters,
    .claim = fake_claim,
    .release = fake_release,
    .guest_fd = fake_fd,
    .guest_pending = fake_pending,
    .guest_rearm = fake_rearm,
    .slots = fake_slots,
    .buffered = fake_buffered,
    .bufpio = fake_bufpio,
    .notify = fake_notify,
    .pin = fake_pin,
    .unpin = fake_unpin,
    .invalidate = fake_invalidate,
    .mark_dirty = fake_dirty,
    .isa_irq = fake_isa,
    .pci_intx = fake_intx,
    .pci_link_route = fake_link,
    .msi = fake_msi,
    .shutdown = fake_shutdown,
    .paused = fake_paused,
};

void guest_rig_kick(struct hv_guest *guest, bool stay_ready)
{
    const uint64_t one = 1;

    __atomic_store_n(&guest->stay_ready, stay_ready, __ATOMIC_RELEASE);
    assert_int_equal(write(guest->fd, &one, sizeof(one)), sizeof(one));
}

void guest_rig_lose(struct hv_guest *guest)
{
    __atomic_store_n(&guest->gone, true, __ATOMIC_RELEASE);
    guest_rig_kick(guest, false);
}

static void ask(struct hv_guest *guest, uint32_t vcpu, uint16_t port, uint32_t count, uint8_t flags)
{
    struct ioreq_slot *slot = &guest->slots[vcpu];

    __atomic_store_n(&slot->addr, port, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->count, count, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->size, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->type, IOREQ_PIO, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->flags, flags | IOREQ_STATE_READY, __ATOMIC_RELEASE);
}

void guest_rig_ask(struct hv_guest *guest, uint32_t vcpu, uint16_t port)
{
    ask(guest, vcpu, port, 1, IOREQ_READ);
}

void guest_rig_tell(struct hv_guest *guest, uint16_t port, uint32_t size, uint32_t value)
{
    struct ioreq_slot *slot = &guest->slots[0];

    __atomic_store_n(&slot->data, value, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->addr, port, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->count, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->size, size, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->type, IOREQ_PIO, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->flags, IOREQ_STATE_READY, __ATOMIC_RELEASE);
}

void guest_rig_ask_nonsense(struct hv_guest *guest, uint32_t vcpu)
{
    ask(guest, vcpu, 0, 0, IOREQ_READ);
}

void guest_rig_ask_string(struct hv_guest *guest, uint32_t vcpu, uint16_t port, uint32_t count,
                          bool read)
{
    ask(guest, vcpu, port, count, (uint8_t)(read ? IOREQ_READ : 0) | IOREQ_DATA_IS_PTR);
}

bool guest_rig_answered(struct hv_guest *guest, uint32_t vcpu)
{
    uint8_t flags = __atomic_load_n(&guest->slots[vcpu].flags, __ATOMIC_ACQUIRE);

    return (flags & IOREQ_STATE_MASK) == IOREQ_STATE_RESP_READY;
}

uint8_t guest_rig_answer(struct hv_guest *guest, uint32_t vcpu)
{
    return (uint8_t)__atomic_load_n(&guest->slots[vcpu].data, __ATOMIC_RELAXED);
}

/* The daemon around it. */

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
    free(daemon->config.run_dir);
    daemon->config.run_dir = strdup(rig->dir);
    log_init(&daemon->log, -1); /* quiet: failures are what the tests are about */
    daemon->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    evloop_init(&daemon->evloop, daemon->ev);
    mailbox_init(&daemon->mailbox, daemon->ev);
    subscriptions_init(&daemon->subscriptions, &daemon->evloop.loop, daemon_sample, daemon);
    for (unsigned i = 0; i < WORKER_HVS; i++) {
        hosts[i].rig = rig;
        daemon->hv[i] = params.hv[i] = &fake_ops;
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
    char json[2048];
    struct config_error error;
    json_t *object;

    snprintf(json, sizeof(json), "%s", text);
    for (char *c = json; *c; c++)
        if (*c == '\'')
            *c = '"';
    object = json_loads(json, 0, NULL);
    assert_non_null(object);
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
    for (const char *c = text; *c; c++)
        fputc(*c == '\'' ? '"' : *c, file);
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

    for (char *c = line; *c; c++)
        if (*c == '\'')
            *c = '"';
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
