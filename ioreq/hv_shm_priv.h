/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of hv_shm: what its files share. The protocol is ioreq/hv_shm_proto.h.
 *
 *   hv_shm_host.c   control side: listens, takes HELLO, refuses, watches for peers that go
 *   hv_shm_wire.c   messages in and out; HELLO checked and turned into mappings
 *   hv_shm_reaper.c closes descriptors that peers sent
 *   hv_shm_mem.c    the table of memory regions, the dirty bitmap
 *   hv_shm_area.c   a region of frames: its table, spares, swaps
 *   hv_shm_grant.c  the grant table, as devices/grant.h has it
 *   hv_shm_guest.c  control side: guest made and destroyed
 *   hv_shm.c        worker side, and the ops table
 *
 * The peer is hostile. Everything of a message is copied by the kernel and checked here once;
 * shared pages and RAM can change at any moment, but being memfds sealed against shrinking cannot
 * go away.
 */
#ifndef IOEMUD_IOREQ_HV_SHM_PRIV_H
#define IOEMUD_IOREQ_HV_SHM_PRIV_H

#include <sys/epoll.h>

#include "devices/grant.h"
#include "ioreq/bufpio_abi.h"
#include "ioreq/hv.h"
#include "ioreq/hv_shm_proto.h"
#include "ioreq/hv_shm_reaper.h"

/* Connections that have not become a guest yet. Beyond: the oldest one without a HELLO gives way.
 */
#define HV_SHM_HALF_OPEN 16

/* The guest's pages as they are mapped. */
struct hv_shm_pages {
    struct ioreq_slot slots[IOREQ_SLOTS];
    struct buf_ioreq_page buffered;
    struct bufpio_page bufpio;
    struct hv_shm_control control;
    struct hv_shm_status status;
    struct hv_shm_grant grants[]; /* with HV_SHM_FEATURE_GRANTS: HV_SHM_GRANTS */
};
_Static_assert(sizeof(struct hv_shm_pages) == HV_SHM_PAGES * IOREQ_PAGE, "five pages");
_Static_assert(offsetof(struct hv_shm_pages, status) == HV_SHM_PAGE_STATUS * IOREQ_PAGE,
               "in order");

/*
 * A region of frames (struct hv_shm_frames). The table is the peer's to spoil, and then it harms
 * its own guest: each entry is read once and bounded where it is used, and which frames are ours to
 * write to is remembered here. It lives as long as anybody refers to it: the region, each spare
 * that is taken, each frame that is mapped. The worker's, from guest_start() on.
 */
struct hv_shm_area {
    unsigned refs;
    bool removed; /* MEMORY_REMOVE waits for the others */
    void *map;
    size_t map_size;
    struct hv_shm_frames *shared;
    uint32_t *table; /* shared */
    uint8_t *frames;
    uint32_t pages, spares;
    uint32_t changes; /* as last told */
    uint32_t *use;    /* by frame: how often it is mapped, or HV_SHM_SPARE and which one it is */
    uint32_t *spare;  /* their frames */
    uint32_t *free;   /* a stack of spares */
    uint32_t free_count;
};
#define HV_SHM_SPARE 0x80000000u /* in use[] */
#define HV_SHM_TAKEN 0x40000000u /* besides: swap_take() gave it out */

struct hv_shm_mapping {
    uint64_t gpa, size;
    uint8_t *base;            /* NULL: of frames */
    struct hv_shm_area *area; /* NULL: ordinary */
    bool readonly;
    uint32_t remove_id; /* in dying[]: the MEMORY_REMOVE to be answered */
};

struct hv_shm_mem {
    /* Ascending, disjoint; and from the end on backwards those that were removed while something
     * was pinned. */
    struct hv_shm_mapping map[HV_SHM_REGIONS_MAX];
    unsigned count, dying_count;
    unsigned pins;
    bool swaps;               /* HV_SHM_FEATURE_SWAP is agreed to */
    struct hv_shm_area *area; /* of the region of frames, also of a dying one; or NULL */
    uint64_t total;           /* bytes, dying ones included */
    uint64_t *dirty;          /* NULL: not logging */
    uint64_t dirty_gpa, dirty_size;
    size_t dirty_bytes;
};

/* A HELLO that was found good. Owns its mappings. */
struct hv_shm_hello_info {
    char name[HV_SHM_NAME_SIZE];
    uint32_t vcpus;
    uint32_t features; /* agreed */
    struct hv_shm_pages *pages;
    struct hv_shm_mem mem;
};

/* A HELLO as it came, for the process that the guest is handed to: it finds the same in it. */
struct hv_shm_kept {
    uint64_t message[HV_SHM_MESSAGE_MAX / sizeof(uint64_t)];
    unsigned length, fd_count;
    int fds[HV_SHM_HELLO_FDS];
};

/* What an event of the host's epoll descriptor belongs to. */
enum hv_shm_watch {
    HV_SHM_WATCH_LISTEN,
    HV_SHM_WATCH_TIMER,
    HV_SHM_WATCH_CONN,
    HV_SHM_WATCH_GUEST,
};

/* A connection on its way to become a guest. */
struct hv_shm_conn {
    enum hv_shm_watch watch; /* first */
    int fd;
    bool offered; /* HELLO is good and the `peer` event was told */
    uint64_t deadline_ns;
    struct hv_shm_hello_info hello;
    struct hv_shm_kept *kept; /* NULL: not needed */
    struct hv_shm_conn *next; /* newest first */
};

struct hv_host {
    const struct hv_host_events *events;
    void *ctx;
    int epoll_fd, listen_fd, timer_fd;
    bool packs;     /* HELLOs are kept */
    bool listening; /* listen_fd is in epoll_fd; not while descriptors are short, the reaper busy */
    struct hv_shm_reaper *reaper;
    struct hv_shm_conn *conns;
    unsigned conn_count;
    uint64_t log_window_ns; /* rate limit: lines since, and suppressed */
    unsigned log_lines, log_suppressed;
};

/* How the worker waits for kicks: edge-triggered, and the eventfd is never read. */
static const struct epoll_event hv_shm_kick_event = {.events = EPOLLIN | EPOLLET, .data.fd = -1};

struct hv_worker {
    struct hv_host *host;
};

struct hv_shm_grants;

/* What the peer was last told by its status page, whose names these are. */
struct hv_shm_told {
    uint32_t sequence, ranges, shutdown;
    uint16_t isa_level;
    uint8_t intx_level[32], link_route[4];
    uint32_t isa_rises[16], intx_rises[32];
    uint32_t msi_write, msi_lost;
};

struct hv_guest {
    enum hv_shm_watch watch; /* first */
    struct hv_host *host;
    int sock;
    int epoll_fd; /* kick and sock; the worker's */
    int kick_fd;
    int irq_fd;
    int answer_fd[HV_SHM_VCPUS_MAX];
    struct hv_shm_pages *pages;
    size_t pages_size;
    struct hv_shm_mem mem;
    struct hv_shm_kept *kept;     /* until guest_pack(); NULL: not needed, or handed over */
    struct hv_shm_grants *grants; /* the worker's; NULL: none */
    struct hv_guest_info info;
    struct hv_counters counters;
    bool enabled, gone;
    const char *gone_why; /* set by the worker before it shuts the socket down, read by control */
    struct hv_shm_told status; /* the shared page is only written */
};

/* hv_shm_wire.c */

/* One message into buf (HV_SHM_MESSAGE_MAX bytes, 8-aligned). Returns its length, 0 at the end of
 * the connection, -EAGAIN, -EPROTO: truncated, too many descriptors or a header that does not fit.
 * The descriptors are the caller's, for hv_shm_reaper_close_all(). */
int hv_shm_receive(int sock, struct hv_shm_reaper *reaper, void *buf, int fds[HV_SHM_HELLO_FDS],
                   unsigned *ret_fd_count);
/* Never waits: a peer that does not read is -EPIPE. The header is completed but for its id. */
int hv_shm_send(int sock, enum hv_shm_type type, void *message, size_t length, const int *fds,
                unsigned fd_count);
/* Maps a piece of a sealed memfd. -errno, with *ret_why for people. */
int hv_shm_map(int fd, uint64_t offset, uint64_t size, bool write, void **ret_base,
               const char **ret_why);
/* Checks a HELLO and maps what it names. -errno, with *ret_why; nothing is kept then. */
int hv_shm_hello_parse(const void *message, size_t length, const int *fds, unsigned fd_count,
                       struct hv_shm_hello_info *ret_info, const char **ret_why);
void hv_shm_hello_finish(struct hv_shm_hello_info *info);
/* Bytes of the pages of who has agreed to `features`. */
size_t hv_shm_pages_size(uint32_t features);

/* hv_shm_mem.c */

int hv_shm_mem_add(struct hv_shm_mem *mem, const struct hv_shm_region *region, int fd,
                   const char **ret_why);
/* The mapping itself goes, and is to be answered, with hv_shm_mem_reap(). -ENOENT. */
int hv_shm_mem_remove(struct hv_shm_mem *mem, uint64_t gpa, uint64_t size, uint32_t id);
/* Unmaps one removed region if nothing is pinned; true: *ret_id is to be answered. */
bool hv_shm_mem_reap(struct hv_shm_mem *mem, uint32_t *ret_id);
void hv_shm_mem_finish(struct hv_shm_mem *mem);
/* As hv_ops.pin, without counting pins; *ret_holes is added to. */
int hv_shm_mem_find(const struct hv_shm_mem *mem, uint64_t gpa, size_t len, bool write,
                    struct iovec *iov, size_t *ret_len, uint64_t *ret_holes);
int hv_shm_mem_dirty_start(struct hv_shm_mem *mem, uint64_t gpa, uint64_t size, int fd);
void hv_shm_mem_dirty_stop(struct hv_shm_mem *mem);
/* The page at gpa, a multiple of the page; NULL: a hole. *ret_area and *ret_index if it is one of
 * frames, else NULL and undefined. */
uint8_t *hv_shm_mem_page(const struct hv_shm_mem *mem, uint64_t gpa, bool write,
                         struct hv_shm_area **ret_area, uint32_t *ret_index);
void hv_shm_mem_dirty(struct hv_shm_mem *mem, uint64_t gpa, size_t len);

/* hv_shm_area.c */

/* Maps and checks a region of frames; the caller's is the first reference. -errno, with *ret_why.
 */
int hv_shm_area_create(const struct hv_shm_region *region, int fd, struct hv_shm_area **ret_area,
                       const char **ret_why);
void hv_shm_area_put(struct hv_shm_area *area);
/* Guest page `index` of the region, and its frame if it is asked for. NULL: the peer has spoilt
 * its table. */
uint8_t *hv_shm_area_page(const struct hv_shm_area *area, uint32_t index, uint32_t *ret_frame);
/* The frame is mapped: it is not swapped until it no longer is. -EFAULT: it is one of ours. */
int hv_shm_area_hold(struct hv_shm_area *area, uint32_t frame);
void hv_shm_area_unhold(struct hv_shm_area *area, uint32_t frame);
bool hv_shm_area_take(struct hv_shm_area *area, uint8_t **ret_pages, unsigned count);
void hv_shm_area_give(struct hv_shm_area *area, uint8_t *page);
/* Guest page `index` becomes *page, which was taken; *page what it was. 0, -EBUSY, -EFAULT. */
int hv_shm_area_swap(struct hv_shm_area *area, uint32_t index, uint8_t **page);

/* hv_shm_grant.c */

/* Worker side, with the guest's start and stop. What is mapped or taken then stays until it has
 * come back. */
int hv_shm_grants_create(struct hv_guest *guest);
void hv_shm_grants_finish(struct hv_guest *guest);
const struct grants *hv_shm_grants(struct hv_guest *guest);

/* hv_shm_host.c */

int hv_shm_host_open(const struct hv_host_params *params, struct hv_host **ret_host);
void hv_shm_host_close(struct hv_host *host);
int hv_shm_host_fd(const struct hv_host *host);
int hv_shm_host_dispatch(struct hv_host *host);
int hv_shm_host_bare(struct hv_host **ret_host);
/* NULL is fine. */
void hv_shm_kept_free(struct hv_shm_reaper *reaper, struct hv_shm_kept *kept);
/* Takes an offered connection out: its socket and hello are the caller's. NULL: it is gone. */
struct hv_shm_conn *hv_shm_host_offered(struct hv_host *host, const void *peer);
void hv_shm_peer_refuse(struct hv_host *host, void *peer, int error, const char *why);
void hv_shm_host_take(struct hv_host *host, struct hv_shm_conn *conn);
__attribute__((format(printf, 3, 4))) void hv_shm_host_log(struct hv_host *host, int priority,
                                                           const char *format, ...);

/* hv_shm_guest.c */

int hv_shm_guest_create(struct hv_host *host, const struct hv_guest_params *params,
                        struct hv_guest **ret_guest);
void hv_shm_guest_destroy(struct hv_guest *guest);
int hv_shm_guest_pack(struct hv_guest *guest, struct hv_packed *ret_packed);
int hv_shm_guest_unpack(struct hv_host *host, const struct hv_packed *packed,
                        struct hv_guest **ret_guest);
/* The worker gives up on its peer: `pending.gone`, and guest_gone on the control side. */
void hv_shm_guest_fail(struct hv_guest *guest, const char *why);

/* hv_shm.c */

/* Answers each MEMORY_REMOVE that waited for something that has come back. */
void hv_shm_answer_removed(struct hv_guest *guest);

/* What this side can do, of HV_SHM_FEATURE_x. */
#define HV_SHM_FEATURES                                                                            \
    (HV_SHM_FEATURE_BUFFERED_PIO | HV_SHM_FEATURE_SWAP | HV_SHM_FEATURE_DIRTY_LOG |                \
     HV_SHM_FEATURE_MSI | HV_SHM_FEATURE_GRANTS)

#endif
