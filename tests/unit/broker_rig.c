/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/broker_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioreq/grant_remote.h"

#define MEMORY ((size_t)BROKER_RIG_PAGES * GRANT_PAGE)

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broker_rig: %s (errno %d)\n", what, errno);
    abort();
}

/* ---- the library ------------------------------------------------------------------------------*/

static int16_t one_copy(struct broker_rig *rig, const xengnttab_grant_copy_segment_t *segment)
{
    bool to_guest = segment->flags == GNTCOPY_dest_gref;
    const union xengnttab_copy_ptr *granted = to_guest ? &segment->dest : &segment->source;
    uint8_t *local = to_guest ? segment->source.virt : segment->dest.virt, *page;
    uint32_t domain = granted->foreign.domid - BROKER_RIG_DOMID;

    rig->segments++;
    rig->astride += (uintptr_t)local % GRANT_PAGE + segment->len > GRANT_PAGE;
    if (domain >= BROKER_RIG_DOMAINS || !segment->len ||
        granted->foreign.offset + (uint32_t)segment->len > GRANT_PAGE) {
        rig->strange++;
        return GNTST_general_error;
    }
    if (granted->foreign.ref >= BROKER_RIG_NONE)
        return GNTST_bad_gntref;
    if (granted->foreign.ref >= BROKER_RIG_RO && to_guest)
        return GNTST_permission_denied;
    page =
        rig->memory[domain] + (size_t)granted->foreign.ref * GRANT_PAGE + granted->foreign.offset;
    if (to_guest)
        memcpy(page, local, segment->len);
    else
        memcpy(local, page, segment->len);
    return GNTST_okay;
}

static int fake_copy(void *handle, uint32_t count, xengnttab_grant_copy_segment_t *segments)
{
    struct broker_rig *rig = handle;

    if (rig->held) {
        rig->held = false;
        sem_post(&rig->in);
        sem_wait(&rig->out);
    }
    rig->copy_calls++;
    errno = rig->copy_errno;
    if (rig->copy_errno)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        segments[i].status = one_copy(rig, &segments[i]);
    return 0;
}

static void fake_close(void *handle)
{
    struct broker_rig *rig = handle;

    rig->library_closed = true;
}

static const struct grant_xen_calls library = {.copy = fake_copy, .close = fake_close};

struct grant_xen *broker_rig_xen(struct broker_rig *rig)
{
    struct grant_xen *xen;

    require(grant_xen_open_with(&library, rig, &xen) == 0, "grant_xen_open_with");
    return xen;
}

/* ---- gntdev -----------------------------------------------------------------------------------*/

/* References that follow each other are side by side in the memory's file. */
static int fake_map(void *ctx, uint32_t domid, const uint32_t *refs, uint32_t count, int *ret_fd,
                    uint64_t *ret_offset)
{
    struct broker_rig *rig = ctx;
    uint32_t domain = domid - BROKER_RIG_DOMID;
    int fd;

    rig->map_calls++;
    rig->strange += domain >= BROKER_RIG_DOMAINS || !count || count > GRANT_MAP_MAX;
    if (rig->map_error || domain >= BROKER_RIG_DOMAINS)
        return rig->map_error;
    rig->map_pages += count;
    fd = rig->map_refused ? open("/dev/null", O_WRONLY | O_CLOEXEC)
                          : fcntl(rig->memory_fd[domain], F_DUPFD_CLOEXEC, 0);
    require(fd >= 0, "a descriptor");
    *ret_fd = fd;
    *ret_offset = (uint64_t)refs[0] * GRANT_PAGE;
    return 0;
}

static uint64_t fake_now(void *ctx)
{
    const struct broker_rig *rig = ctx;

    return rig->now_ns;
}

const struct grant_broker_calls broker_rig_calls = {.map = fake_map, .now_ns = fake_now};

/* ---- both ends --------------------------------------------------------------------------------*/

void broker_rig_start(struct broker_rig *rig)
{
    *rig = (struct broker_rig){.now_ns = 1000};
    sem_init(&rig->in, 0, 0);
    sem_init(&rig->out, 0, 0);
    for (unsigned i = 0; i < BROKER_RIG_DOMAINS; i++) {
        rig->memory_fd[i] = memfd_create("domain", MFD_CLOEXEC);
        require(rig->memory_fd[i] >= 0 && ftruncate(rig->memory_fd[i], MEMORY) == 0, "memory");
        rig->memory[i] =
            mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, rig->memory_fd[i], 0);
        require(rig->memory[i] != MAP_FAILED, "mmap");
    }
    require(grant_broker_open_with(broker_rig_xen(rig), &broker_rig_calls, rig, &rig->broker) == 0,
            "grant_broker_open_with");
}

void broker_rig_stop(struct broker_rig *rig)
{
    grant_broker_close(rig->broker);
    require(rig->library_closed, "the library is closed");
    for (unsigned i = 0; i < BROKER_RIG_DOMAINS; i++) {
        munmap(rig->memory[i], MEMORY);
        close(rig->memory_fd[i]);
    }
    sem_destroy(&rig->in);
    sem_destroy(&rig->out);
}

const struct grants *broker_rig_remote(struct broker_rig *rig, unsigned i)
{
    const struct grants *grants;
    int sock, window_fd;

    require(grant_broker_add(rig->broker, BROKER_RIG_DOMID + i, &sock, &window_fd) == 0,
            "grant_broker_add");
    require(grant_remote_open(sock, window_fd, &grants) == 0, "grant_remote_open");
    return grants;
}

int broker_rig_raw(struct broker_rig *rig, unsigned i, uint8_t **ret_window)
{
    int sock, window_fd;

    require(grant_broker_add(rig->broker, BROKER_RIG_DOMID + i, &sock, &window_fd) == 0,
            "grant_broker_add");
    *ret_window = mmap(NULL, GRANT_WIRE_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, window_fd, 0);
    require(*ret_window != MAP_FAILED, "the window");
    close(window_fd);
    return sock;
}

void broker_rig_hold(struct broker_rig *rig)
{
    rig->held = true;
}

void broker_rig_wait_held(struct broker_rig *rig)
{
    sem_wait(&rig->in);
}

void broker_rig_let_go(struct broker_rig *rig)
{
    sem_post(&rig->out);
}

unsigned broker_rig_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    require(dir, "/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 3; /* "." and ".." and the folder itself */
}
