/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Peers that send anything, in any order, against hv_shm: control side and worker side.
 *
 * Input: a script. Each step is an action byte and a connection byte; HELLOs and later messages
 * start out good and are spoilt by what follows in the script, descriptors are good or bad ones.
 * Invariants:
 *  - a guest is only made of a HELLO whose bounds hold; what can be pinned can be touched
 *  - a pin covers what it says, never more than was asked
 *  - of granted pages no byte beside the segment is copied; what was mapped, or taken to be
 *    swapped, can be touched until it is given back, also when its guest is gone and whatever is in
 *    the tables; a swap that fails changes nothing, and no page is had twice
 *  - after the host is closed as many descriptors are open as before
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ioreq/hv.h"
#include "ioreq/hv_shm_proto.h"
#include "tests/peer/peer.h"

#define CONNS     20u
#define GUESTS    4u
#define STEPS_MAX 200u
#define FDS       7u
#define PAGES     (HV_SHM_PAGES + HV_SHM_GRANT_PAGES)
#define TAKEN     6u
#define MAPS      3u

/* The region of frames that is good. */
#define FRAMES_PAGES  8u
#define FRAMES_SPARES 4u
#define FRAMES        (FRAMES_PAGES + FRAMES_SPARES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct hv_ops *const hv = &hv_shm_ops;

/* What is had of a guest's, of the time before it ended too. */
struct had {
    const struct grants *grants;
    uint8_t *page; /* taken; NULL: none */
};

struct had_map {
    const struct grants *grants; /* NULL: none */
    struct grant_map map;
    uint32_t refs[4];
};

struct fuzz {
    const uint8_t *data;
    size_t size;
    struct hv_host *host;
    struct hv_worker *worker;
    struct hv_guest *guest[GUESTS];
    int conn[CONNS];
    struct sockaddr_un addr;
    socklen_t addr_len;
    int fds[FDS];               /* pages, RAM, unsealed, read-only, eventfd, pages again, frames */
    struct hv_shm_grant *table; /* of the pages */
    struct hv_shm_frames *frames; /* with its table in the next page */
    struct had had[TAKEN];
    struct had_map maps[MAPS];
    uint8_t mood; /* what the `peer` event does */
};

static uint64_t take(struct fuzz *f, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && f->size; i++, f->size--)
        value = value << 8 | *f->data++;
    return value;
}

static int on_peer(void *ctx, const char *name, void *peer)
{
    struct fuzz *f = ctx;
    struct hv_guest_params params = {.name = name, .peer = peer};

    assert(strlen(name) >= 1 && strlen(name) <= HV_NAME_MAX);
    if (f->mood == 1)
        return -EACCES;
    if (f->mood == 2)
        return 0; /* later, or never */
    for (unsigned i = 0; i < GUESTS; i++) {
        int rc;

        if (f->guest[i])
            continue;
        rc = hv->guest_create(f->host, &params, &f->guest[i]);
        if (rc == 0) {
            const struct hv_guest_info *info = hv->guest_info(f->guest[i]);

            assert(info->vcpus >= 1 && info->vcpus <= HV_MAX_VCPUS);
            assert(hv->guest_start(f->guest[i], f->worker) == 0);
            hv->claim(f->guest[i], HV_RANGE_PORT, 0x1f0, 0x1f7);
            hv->guest_enable(f->guest[i]);
        }
        if (rc == 0 && f->mood == 3) { /* changed its mind */
            hv->guest_stop(f->guest[i]);
            hv->guest_destroy(f->guest[i]);
            f->guest[i] = NULL;
            return -EIO;
        }
        return rc;
    }
    return -ENOSPC;
}

static void guest_end(struct fuzz *f, unsigned i)
{
    if (!f->guest[i])
        return;
    hv->guest_stop(f->guest[i]);
    hv->guest_destroy(f->guest[i]);
    f->guest[i] = NULL;
}

static void on_gone(void *ctx, struct hv_guest *guest)
{
    struct fuzz *f = ctx;
    unsigned found = 0;

    for (unsigned i = 0; i < GUESTS; i++) {
        if (f->guest[i] != guest)
            continue;
        found++;
        guest_end(f, i);
    }
    assert(found == 1);
}

static void on_log(void *ctx, int priority, const char *line)
{
    assert(!strchr(line, '\n'));
}

static const struct hv_host_events events = {.guest_gone = on_gone, .peer = on_peer, .log = on_log};

static void act_connect(struct fuzz *f, unsigned c)
{
    if (f->conn[c] >= 0)
        return;
    f->conn[c] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(f->conn[c], (const struct sockaddr *)&f->addr, f->addr_len) < 0) {
        close(f->conn[c]);
        f->conn[c] = -1;
    }
}

/* Overwrites up to eight places. */
static void spoil(struct fuzz *f, uint8_t *message, size_t length)
{
    unsigned places = (unsigned)take(f, 1) % 9;

    for (unsigned i = 0; i < places; i++) {
        size_t at = take(f, 1) % length;
        uint64_t value = take(f, 1);

        /* a byte, or a whole field of ones or of a great number */
        if (value < 250 || at + 8 > length)
            message[at] = (uint8_t)value;
        else
            memset(message + (at & ~(size_t)7), value == 250 ? 0 : 0xff, 8);
    }
}

static void send_with_fds(struct fuzz *f, unsigned c, const void *message, size_t length,
                          unsigned usual)
{
    int fds[24];
    unsigned choice = (unsigned)take(f, 1), count = choice < 200 ? usual : choice % 24;

    for (unsigned i = 0; i < count; i++) {
        unsigned which = choice < 150 ? (i == 2 ? 6
                                         : i    ? 1
                                                : usual == 1)
                                      : (unsigned)take(f, 1) % FDS;

        fds[i] = f->fds[which];
    }
    if (f->conn[c] >= 0)
        peer_send_raw(f->conn[c], message, length, fds, count);
}

static void act_hello(struct fuzz *f, unsigned c)
{
    struct {
        struct hv_shm_hello hello;
        struct hv_shm_region region[4];
    } m = {.hello = {.header = {HV_SHM_MAGIC, HV_SHM_HELLO, 3, 0, 0},
                     .version = 1,
                     .features = 0xff,
                     .vcpus = 1 + (uint32_t)take(f, 1) % 4,
                     .regions = (uint32_t)take(f, 1) % 5,
                     .name = "guest"}};
    size_t length = sizeof(m.hello) + m.hello.regions * sizeof(m.region[0]);

    for (unsigned i = 0; i < 4; i++)
        m.region[i] = (struct hv_shm_region){
            .gpa = i * 0x10000, .size = 0x2000, .offset = i * 0x1000, .fd = 1};
    if (take(f, 1) & 1)
        m.region[0] = (struct hv_shm_region){
            .size = FRAMES_PAGES * 4096, .fd = 2, .flags = HV_SHM_REGION_FRAMES};
    m.hello.header.length = (uint32_t)length;
    spoil(f, (uint8_t *)&m, length);
    send_with_fds(f, c, &m, length, 3);
}

static void act_message(struct fuzz *f, unsigned c)
{
    union {
        struct hv_shm_header header;
        struct hv_shm_memory memory;
        struct hv_shm_dirty dirty;
        uint8_t bytes[64];
    } m = {0};
    static const uint16_t types[] = {HV_SHM_MEMORY_ADD, HV_SHM_MEMORY_REMOVE, HV_SHM_DIRTY_START,
                                     HV_SHM_DIRTY_STOP};
    unsigned which = (unsigned)take(f, 1) % 4;
    size_t length = which < 2 ? sizeof(m.memory) : sizeof(m.dirty);

    m.header =
        (struct hv_shm_header){HV_SHM_MAGIC, types[which], which % 2 == 0, (uint32_t)length, 7};
    if (which < 2)
        m.memory.region = (struct hv_shm_region){.gpa = take(f, 1) << 12, .size = 0x2000};
    else
        m.dirty.gpa = 0x1000, m.dirty.size = 0x10000;
    spoil(f, m.bytes, length);
    send_with_fds(f, c, &m, length, which % 2 == 0);
}

static void act_pin(struct fuzz *f, unsigned c)
{
    struct hv_guest *guest = f->guest[c % GUESTS];
    struct iovec iov[HV_PIN_IOV];
    uint64_t gpa = take(f, 1) == 255 ? take(f, 8) : take(f, 3) << 4;
    size_t len = 1 + take(f, 2), covered = 0, pinned = 0;
    bool write = take(f, 1) & 1;
    int n;

    if (!guest)
        return;
    n = hv->pin(guest, gpa, len, write, iov, &pinned);
    assert(n >= 1 && n <= HV_PIN_IOV && pinned >= 1 && pinned <= len);
    for (int i = 0; i < n; i++) {
        covered += iov[i].iov_len;
        if (iov[i].iov_base && write)
            memset(iov[i].iov_base, 0x11, iov[i].iov_len);
        else if (iov[i].iov_base)
            assert(memchr(iov[i].iov_base, 0xee, iov[i].iov_len) == NULL);
    }
    assert(covered == pinned);
    hv->mark_dirty(guest, gpa, pinned);
    hv->unpin(guest, gpa, pinned);
}

/* The peer writes to its tables. */
static void act_tables(struct fuzz *f)
{
    uint32_t *frame = (uint32_t *)(void *)((uint8_t *)f->frames + 4096);
    unsigned ref = (unsigned)take(f, 1) % 8;

    if (take(f, 1) & 1) {
        f->table[ref] = (struct hv_shm_grant){.flags = take(f, 1) & 1 ? HV_SHM_GRANT_ACCESS
                                                                      : (uint16_t)take(f, 2),
                                              .domid = take(f, 1) == 255,
                                              .frame = (uint32_t)take(f, 1)};
        if (take(f, 1) == 255)
            f->table[ref].frame = (uint32_t)take(f, 4);
    } else {
        uint32_t value = (uint32_t)take(f, 1);

        frame[take(f, 1) % FRAMES] = value == 255 ? (uint32_t)take(f, 4) : value % (FRAMES + 2);
    }
    if (take(f, 1) == 0) /* as it was */
        for (uint32_t i = 0; i < FRAMES; i++)
            frame[i] = i;
}

static uint32_t take_ref(struct fuzz *f)
{
    uint32_t ref = (uint32_t)take(f, 1);

    return ref < 240 ? ref % 8 : (uint32_t)take(f, 4);
}

static void act_copy(struct fuzz *f, const struct grants *grants)
{
    uint8_t local[3][4096 + 2];
    struct grant_copy copies[3];

    memset(local, 0xc3, sizeof(local));
    for (unsigned i = 0; i < 3; i++)
        copies[i] = (struct grant_copy){.local = local[i] + 1,
                                        .ref = take_ref(f),
                                        .offset = (uint16_t)take(f, 2),
                                        .len = (uint16_t)take(f, 2),
                                        .to_guest = take(f, 1) & 1,
                                        .status = 1};
    grants_copy(grants, copies, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert(copies[i].status <= 0);
        assert(copies[i].status || copies[i].offset + copies[i].len <= 4096);
        assert(local[i][0] == 0xc3);
        for (unsigned at = copies[i].status || copies[i].to_guest ? 0 : copies[i].len; at < 4096;
             at++)
            assert(local[i][1 + at] == 0xc3);
    }
}

static void act_map(struct fuzz *f, const struct grants *grants)
{
    struct had_map *had = &f->maps[take(f, 1) % MAPS];

    if (had->grants) {
        for (unsigned i = 0; i < had->map.count; i++) {
            volatile uint8_t *byte = had->map.base + i * 4096 + 4095;

            if (had->map.writable)
                *byte = 0x11;
            (void)*byte;
        }
        grants_unmap(had->grants, &had->map);
        had->grants = NULL;
    } else if (grants) {
        for (unsigned i = 0; i < 4; i++)
            had->refs[i] = take_ref(f);
        had->map = (struct grant_map){
            .refs = had->refs, .count = 1 + (uint32_t)take(f, 1) % 4, .writable = take(f, 1) & 1};
        if (grants_map(grants, &had->map) == 0)
            had->grants = grants;
    }
}

static void act_swap(struct fuzz *f, const struct grants *grants)
{
    struct had *had = &f->had[take(f, 1) % TAKEN];
    struct grant_swap swap;

    if (!had->page) {
        if (!grants || !grants_swap_take(grants, &had->page, 1)) {
            had->page = NULL;
            return;
        }
        had->grants = grants;
    }
    memset(had->page, 0x22, 4096);
    for (unsigned i = 0; i < TAKEN; i++)
        assert(had == &f->had[i] || had->page != f->had[i].page);
    swap = (struct grant_swap){.page = had->page, .ref = take_ref(f), .status = 1};
    grants_swap(had->grants, &swap, 1);
    assert(swap.status <= 0 && (swap.status == 0 || swap.page == had->page));
    assert(swap.status || swap.page != had->page);
    had->page = swap.page;
    memset(had->page, 0x33, 4096);
    if (take(f, 1) & 1) {
        grants_swap_give(had->grants, had->page);
        had->page = NULL;
    }
}

static void act_grants(struct fuzz *f, unsigned c)
{
    struct hv_guest *guest = f->guest[c % GUESTS];
    const struct grants *grants = guest ? hv->grants(guest) : NULL;

    switch (take(f, 1) % 3) {
    case 0:
        if (grants)
            act_copy(f, grants);
        break;
    case 1:
        act_map(f, grants);
        break;
    case 2:
        act_swap(f, grants);
        break;
    }
}

static void give_all_back(struct fuzz *f)
{
    for (unsigned i = 0; i < MAPS; i++)
        if (f->maps[i].grants)
            grants_unmap(f->maps[i].grants, &f->maps[i].map);
    for (unsigned i = 0; i < TAKEN; i++)
        if (f->had[i].page)
            grants_swap_give(f->had[i].grants, f->had[i].page);
}

static void act_worker(struct fuzz *f, unsigned c)
{
    struct hv_guest *guest = f->guest[c % GUESTS];
    struct hv_pending pending;

    if (!guest)
        return;
    assert(hv->guest_pending(guest, &pending) == 0);
    hv->notify(guest, (uint32_t)take(f, 1));
    hv->isa_irq(guest, (unsigned)take(f, 1), take(f, 1) & 1);
    hv->pci_intx(guest, (unsigned)take(f, 1), (unsigned)take(f, 1), take(f, 1) & 1);
    hv->pci_link_route(guest, (unsigned)take(f, 1), (unsigned)take(f, 1));
    hv->msi(guest, 0xfee00000, 1);
    hv->claim(guest, HV_RANGE_MMIO, take(f, 2), 0x20000);
    hv->guest_rearm(guest);
}

static void step(struct fuzz *f)
{
    unsigned action = (unsigned)take(f, 1), c = (unsigned)take(f, 1) % CONNS;

    switch (action % 13) {
    case 0:
    case 1:
        act_connect(f, c);
        act_hello(f, c);
        hv->host_dispatch(f->host);
        break;
    case 2:
        act_message(f, c);
        break;
    case 3:
        act_worker(f, c);
        break;
    case 4:
        act_pin(f, c);
        break;
    case 5:
        hv->host_dispatch(f->host);
        break;
    case 6:
        act_connect(f, c);
        break;
    case 7:
        if (f->conn[c] >= 0)
            close(f->conn[c]);
        f->conn[c] = -1;
        break;
    case 8:
        f->mood = (uint8_t)(take(f, 1) % 8);
        break;
    case 9:
        guest_end(f, c % GUESTS);
        break;
    case 11:
        act_tables(f);
        break;
    case 12:
        act_grants(f, c);
        break;
    case 10: /* takes memory away, if it can */
        for (unsigned i = 0; i < 3; i++)
            if (ftruncate(f->fds[i], 0) == 0)
                assert(i == 2);
        break;
    }
}

static int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

static void fuzz_begin(struct fuzz *f)
{
    struct hv_host_params params = {.events = &events, .ctx = f};
    char path[64];

    f->fds[0] = peer_memfd("pages", PAGES * 4096, true);
    f->fds[1] = peer_memfd("ram", 0x10000, true);
    f->fds[2] = peer_memfd("ram", 0x10000, false);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fds[1]);
    f->fds[3] = open(path, O_RDONLY | O_CLOEXEC);
    f->fds[4] = eventfd(0, EFD_CLOEXEC);
    f->fds[5] = fcntl(f->fds[0], F_DUPFD_CLOEXEC, 0);
    f->fds[6] = peer_memfd("frames", (2 + FRAMES) * 4096, true);
    f->table = mmap(NULL, HV_SHM_GRANT_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->fds[0],
                    HV_SHM_PAGE_GRANTS * 4096);
    f->frames = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->fds[6], 0);
    assert(f->table != MAP_FAILED && f->frames != MAP_FAILED);
    f->frames->pages = FRAMES_PAGES;
    f->frames->spares = FRAMES_SPARES;
    for (uint32_t i = 0; i < FRAMES; i++)
        ((uint32_t *)(void *)f->frames)[1024 + i] = i;
    for (uint32_t i = 0; i < 8; i++)
        f->table[i] = (struct hv_shm_grant){.flags = HV_SHM_GRANT_ACCESS, .frame = i};
    for (unsigned i = 0; i < CONNS; i++)
        f->conn[i] = -1;
    /* An abstract address of the kernel's choice. */
    params.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    f->addr.sun_family = AF_UNIX;
    assert(bind(params.listen_fd, (struct sockaddr *)&f->addr, sizeof(sa_family_t)) == 0);
    f->addr_len = sizeof(f->addr);
    assert(getsockname(params.listen_fd, (struct sockaddr *)&f->addr, &f->addr_len) == 0);
    assert(listen(params.listen_fd, 64) == 0);
    assert(hv->host_open(&params, &f->host) == 0);
    assert(hv->worker_open(f->host, &f->worker) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz *f = calloc(1, sizeof(*f));
    int first_fd = next_fd();

    f->data = data;
    f->size = size;
    fuzz_begin(f);
    for (unsigned i = 0; i < STEPS_MAX && f->size; i++)
        step(f);
    for (unsigned i = 0; i < GUESTS; i++)
        guest_end(f, i);
    give_all_back(f);
    hv->worker_close(f->worker);
    hv->host_close(f->host);
    munmap(f->table, HV_SHM_GRANT_PAGES * 4096);
    munmap(f->frames, 2 * 4096);
    for (unsigned i = 0; i < CONNS; i++)
        if (f->conn[i] >= 0)
            close(f->conn[i]);
    for (unsigned i = 0; i < FDS; i++)
        close(f->fds[i]);
    free(f);
    assert(next_fd() == first_fd);
    return 0;
}
