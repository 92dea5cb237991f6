/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hv_shm protocol, version 1: how a process that runs a virtual machine (the peer) uses ioemud
 * as its device model. docs/hv_shm.md tells it as a story; this header is the layout, and
 * tests/unit/test_hv_shm_proto.c pins its bytes.
 *
 * A SOCK_SEQPACKET unix socket, one packet a message, each starting with struct hv_shm_header.
 * Little-endian, same machine. Fields named `reserved` are zero when sent and must be zero when
 * received by the daemon.
 *
 *   peer                                   daemon
 *   HELLO  (pages, RAM)              ->
 *                                    <-    WELCOME (kick, irq, answer descriptors) or REFUSED
 *                                    <-    CLAIM ... ENABLE
 *   then requests and answers in the shared pages, doorbells by descriptor, and at any time
 *   MEMORY_ADD, MEMORY_REMOVE,
 *   DIRTY_START, DIRTY_STOP          ->
 *                                    <-    ANSWER
 *                                    <-    CLAIM, RELEASE, ENABLE, DISABLE
 * The end of the connection ends the guest, on both sides.
 */
#ifndef IOEMUD_IOREQ_HV_SHM_PROTO_H
#define IOEMUD_IOREQ_HV_SHM_PROTO_H

#include <stddef.h>
#include <stdint.h>

#include "ioreq/abi.h"

#define HV_SHM_MAGIC   0x314d5348u /* "HSM1" */
#define HV_SHM_VERSION 1u

#define HV_SHM_NAME_SIZE   64u /* with its NUL */
#define HV_SHM_VCPUS_MAX   128u
#define HV_SHM_REGIONS_MAX 32u   /* memory regions of a guest at a time */
#define HV_SHM_HELLO_FDS   17u   /* the pages and up to 16 RAM memfds */
#define HV_SHM_MESSAGE_MAX 2048u /* bytes in any message */
#define HV_SHM_GPA_LIMIT   (1ull << 52)
#define HV_SHM_MEMORY_MAX  (1ull << 40) /* bytes in all regions of a guest */
#define HV_SHM_DEADLINE_MS 5000         /* from connect to a complete HELLO */

/* Feature bits: offered in HELLO, agreed in WELCOME (a subset of what was offered). */
#define HV_SHM_FEATURE_BUFFERED_PIO 0x1u  /* HV_SHM_PAGE_BUFPIO */
#define HV_SHM_FEATURE_SWAP         0x2u  /* HV_SHM_REGION_FRAMES; only with GRANTS */
#define HV_SHM_FEATURE_DIRTY_LOG    0x4u  /* DIRTY_START, DIRTY_STOP */
#define HV_SHM_FEATURE_MSI          0x8u  /* the ring of struct hv_shm_status */
#define HV_SHM_FEATURE_GRANTS       0x10u /* HV_SHM_PAGE_GRANTS */

enum hv_shm_type {
    HV_SHM_HELLO = 1,         /* peer */
    HV_SHM_WELCOME = 2,       /* daemon; descriptors: kick, irq, one answer per vCPU */
    HV_SHM_REFUSED = 3,       /* daemon; the connection ends */
    HV_SHM_CLAIM = 4,         /* daemon: accesses to this range are the daemon's */
    HV_SHM_RELEASE = 5,       /* daemon */
    HV_SHM_ENABLE = 6,        /* daemon: requests are served from now on */
    HV_SHM_DISABLE = 7,       /* daemon: no more; what is in flight will not be answered */
    HV_SHM_MEMORY_ADD = 8,    /* peer; one descriptor */
    HV_SHM_MEMORY_REMOVE = 9, /* peer */
    HV_SHM_DIRTY_START = 10,  /* peer; one descriptor, the bitmap */
    HV_SHM_DIRTY_STOP = 11,   /* peer */
    HV_SHM_ANSWER = 12,       /* daemon, to each of the last four */
};

struct hv_shm_header {
    uint32_t magic;
    uint16_t type;
    uint16_t fds;    /* descriptors that come with it */
    uint32_t length; /* of the whole message, this header included */
    uint32_t id;     /* the sender's choice; an ANSWER repeats it */
};

/* Guest-physical [gpa, gpa + size) is [offset, offset + size) of a memfd. All multiples of the
 * page. */
struct hv_shm_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t offset;
    uint32_t fd;    /* index into the message's descriptors */
    uint32_t flags; /* HV_SHM_REGION_x */
};
#define HV_SHM_REGION_READONLY 0x1u /* ROM: writes are dropped */
#define HV_SHM_REGION_FRAMES   0x2u /* with HV_SHM_FEATURE_SWAP, one at a time: see below */

/*
 * A region of frames: which frame of the memfd is which page of the guest is said by a table, so
 * that a page can be exchanged for another. From `offset` on the memfd holds this page, then
 * `uint32_t table[pages + spares]` in whole pages, then pages + spares frames. `size` of the region
 * is that of the guest's pages alone. Guest page i of the region is frame table[i]; the frames that
 * table[pages] and on name are the daemon's. When the region is added each frame is there once;
 * from then on only the daemon changes the table.
 *
 * A swap stores two entries, then the number of the guest's page into log[changes %
 * HV_SHM_FRAMES_LOG], then changes + 1 into `changes`, and all of that before the interrupt or
 * answer that tells the guest. A peer that follows the table at each access needs no more; one that
 * maps its guest's pages side by side maps those of the log again before it passes that on. If more
 * than HV_SHM_FRAMES_LOG have changed since it last looked, it compares the whole table.
 */
struct hv_shm_frames {
    uint32_t pages;   /* peer: size / 4096 of the region */
    uint32_t spares;  /* peer: 1 to HV_SHM_SPARES_MAX */
    uint32_t changes; /* daemon; free running */
    uint32_t reserved[125];
    uint32_t log[512]; /* daemon */
    uint32_t reserved1[384];
};
#define HV_SHM_FRAMES_LOG 512u
#define HV_SHM_FRAMES_MAX (1u << 22) /* pages and spares: the daemon keeps 4 bytes for each */
#define HV_SHM_SPARES_MAX 4096u      /* 16 MiB: more than a worker has in flight for one guest */

/*
 * Descriptor 0 is the memfd of the pages below, the others hold RAM. All are memfds (tmpfs, not
 * huge pages) sealed with F_SEAL_SHRINK, so that no access of the daemon can fault. `regions`
 * entries of struct hv_shm_region follow.
 */
struct hv_shm_hello {
    struct hv_shm_header header;
    uint32_t version; /* the highest that the peer speaks */
    uint32_t features;
    uint32_t vcpus;
    uint32_t regions;
    char name[HV_SHM_NAME_SIZE]; /* of the guest: A-Z a-z 0-9 . _ + @ : - with a letter or digit
                                    first, zero-padded */
    uint64_t reserved[4];
};

/*
 * Descriptors: [0] kick, an eventfd: the peer adds 1 to it after it has set bits in hv_shm_control.
 * [1] irq and [2 + vcpu] answer: epoll descriptors that become readable once for each doorbell of
 * the daemon; epoll_wait() consumes it. (An eventfd itself is not given out: whoever shares its
 * open file can make the other's write block.)
 */
struct hv_shm_welcome {
    struct hv_shm_header header;
    uint32_t version;
    uint32_t features;
    uint64_t reserved[2];
};

struct hv_shm_refused {
    struct hv_shm_header header;
    int32_t error; /* -errno */
    uint32_t reserved;
    char reason[112]; /* one line for people, NUL-terminated */
};

struct hv_shm_range {
    struct hv_shm_header header;
    uint32_t kind; /* HV_SHM_RANGE_x */
    uint32_t reserved;
    uint64_t first; /* a port, a guest-physical address, or an SBDF */
    uint64_t last;  /* inclusive */
};
#define HV_SHM_RANGE_PORT 0u
#define HV_SHM_RANGE_MMIO 1u
#define HV_SHM_RANGE_PCI  2u

struct hv_shm_memory {
    struct hv_shm_header header;
    struct hv_shm_region region; /* REMOVE: gpa and size as they were added, the rest 0 */
};

/* A bit per page from `gpa` on, set by atomic or, least significant bit of the first 64-bit word
 * first. The memfd obeys the rules for RAM. STOP: all 0. */
struct hv_shm_dirty {
    struct hv_shm_header header;
    uint64_t gpa;
    uint64_t size;
};

struct hv_shm_answer {
    struct hv_shm_header header;
    int32_t error; /* 0 or -errno */
    uint32_t reserved;
};

/* The pages: frames of the memfd that is descriptor 0 of HELLO. */
enum hv_shm_page {
    HV_SHM_PAGE_IOREQ = 0,    /* struct ioreq_slot[128] */
    HV_SHM_PAGE_BUFFERED = 1, /* struct buf_ioreq_page */
    HV_SHM_PAGE_BUFPIO = 2,   /* ioreq/bufpio_abi.h, with HV_SHM_FEATURE_BUFFERED_PIO */
    HV_SHM_PAGE_CONTROL = 3,  /* struct hv_shm_control */
    HV_SHM_PAGE_STATUS = 4,   /* struct hv_shm_status */
    HV_SHM_PAGES = 5,
    HV_SHM_PAGE_GRANTS = 5, /* struct hv_shm_grant[HV_SHM_GRANTS], with HV_SHM_FEATURE_GRANTS */
    HV_SHM_GRANT_PAGES = 16,
};

/* Peer to daemon. */
struct hv_shm_control {
    uint64_t kick_slots[2];    /* bit per vCPU: set by the peer (atomic or), taken by the daemon
                               (exchange) */
    uint32_t kick_buffered;    /* 1: the buffered ring has entries; likewise */
    uint32_t msi_read;         /* the peer's position in the MSI ring, free running */
    uint64_t watched_slots[2]; /* bit per vCPU: the peer looks at the slot by itself; the answer
                                  need not ring */
    uint8_t reserved[4056];
};

struct hv_shm_msi {
    uint64_t address;
    uint32_t data;
    uint32_t reserved;
};
#define HV_SHM_MSI_SLOTS 64u

/* Daemon to peer; the daemon never reads it back. `sequence` grows, last, with each change, and the
 * irq doorbell rings. */
struct hv_shm_status {
    uint32_t sequence;
    uint32_t
        ranges; /* CLAIM, RELEASE, ENABLE and DISABLE messages sent: a peer that has read as many
                 * knows what is claimed. Grows before the request that caused it is answered. */
    uint32_t shutdown;  /* 0 or HV_SHM_SHUTDOWN_x */
    uint16_t isa_level; /* bit per line */
    uint16_t reserved0;
    uint8_t intx_level[32]; /* by slot, bit per pin: 0 is INTA */
    uint8_t link_route[4];  /* PIRQA to D: ISA line, 0 disabled */
    uint32_t paused;        /* 1: a disk's error has stopped the guest; no request is answered */
    uint32_t watched;       /* 1: the daemon looks at the pages by itself; kicks need not be sent */
    uint32_t reserved1;
    uint32_t isa_rises[16]; /* edges, so that a late reader misses none */
    uint32_t intx_rises[32];
    uint32_t msi_write; /* free running; entry i is msi[i % HV_SHM_MSI_SLOTS] */
    uint32_t msi_lost;  /* dropped because the ring was full */
    struct hv_shm_msi msi[HV_SHM_MSI_SLOTS];
    uint8_t reserved2[2808];
};
#define HV_SHM_SHUTDOWN_POWEROFF 1u
#define HV_SHM_SHUTDOWN_REBOOT   2u
#define HV_SHM_SHUTDOWN_CRASH    3u

/*
 * A page that the guest lets a PV backend of the daemon use; its number in the table is the grant
 * reference. Layout and rules are those of version 1 of Xen's grant tables. The guest fills in
 * `frame` and `domid` and then sets `flags`. While the daemon uses the page it has set READING, and
 * WRITING if it writes, by compare-and-exchange on the first four bytes. The guest takes the grant
 * back by compare-and-exchange of `flags` to 0, which fails as long as it is in use. A swap leaves
 * the entry as it is: it grants a page of the guest, whatever frame that is.
 */
struct hv_shm_grant {
    uint16_t flags; /* HV_SHM_GRANT_x */
    uint16_t domid; /* HV_SHM_GRANT_DOMID */
    uint32_t frame; /* guest-physical address / 4096 */
};
#define HV_SHM_GRANTS          (HV_SHM_GRANT_PAGES * IOREQ_PAGE / sizeof(struct hv_shm_grant))
#define HV_SHM_GRANT_DOMID     0u /* the daemon */
#define HV_SHM_GRANT_TYPE_MASK 0x3u
#define HV_SHM_GRANT_ACCESS    0x1u
#define HV_SHM_GRANT_READONLY  0x4u
#define HV_SHM_GRANT_READING   0x8u
#define HV_SHM_GRANT_WRITING   0x10u

#define HV_SHM_AT(type, member, at)                                                                \
    _Static_assert(offsetof(struct type, member) == (at), #type "." #member " stands at " #at)
#define HV_SHM_IS(type, size) _Static_assert(sizeof(struct type) == (size), #type " is " #size)

HV_SHM_AT(hv_shm_header, type, 4);
HV_SHM_AT(hv_shm_header, fds, 6);
HV_SHM_AT(hv_shm_header, length, 8);
HV_SHM_AT(hv_shm_header, id, 12);
HV_SHM_IS(hv_shm_header, 16);
HV_SHM_AT(hv_shm_region, size, 8);
HV_SHM_AT(hv_shm_region, offset, 16);
HV_SHM_AT(hv_shm_region, fd, 24);
HV_SHM_AT(hv_shm_region, flags, 28);
HV_SHM_IS(hv_shm_region, 32);
HV_SHM_AT(hv_shm_hello, version, 16);
HV_SHM_AT(hv_shm_hello, features, 20);
HV_SHM_AT(hv_shm_hello, vcpus, 24);
HV_SHM_AT(hv_shm_hello, regions, 28);
HV_SHM_AT(hv_shm_hello, name, 32);
HV_SHM_AT(hv_shm_hello, reserved, 96);
HV_SHM_IS(hv_shm_hello, 128);
HV_SHM_AT(hv_shm_welcome, features, 20);
HV_SHM_IS(hv_shm_welcome, 40);
HV_SHM_AT(hv_shm_refused, reason, 24);
HV_SHM_IS(hv_shm_refused, 136);
HV_SHM_AT(hv_shm_range, kind, 16);
HV_SHM_AT(hv_shm_range, first, 24);
HV_SHM_AT(hv_shm_range, last, 32);
HV_SHM_IS(hv_shm_range, 40);
HV_SHM_AT(hv_shm_memory, region, 16);
HV_SHM_IS(hv_shm_memory, 48);
HV_SHM_AT(hv_shm_dirty, size, 24);
HV_SHM_IS(hv_shm_dirty, 32);
HV_SHM_AT(hv_shm_answer, error, 16);
HV_SHM_IS(hv_shm_answer, 24);
HV_SHM_AT(hv_shm_control, kick_buffered, 16);
HV_SHM_AT(hv_shm_control, msi_read, 20);
HV_SHM_AT(hv_shm_control, watched_slots, 24);
HV_SHM_IS(hv_shm_control, IOREQ_PAGE);
HV_SHM_AT(hv_shm_status, ranges, 4);
HV_SHM_AT(hv_shm_status, shutdown, 8);
HV_SHM_AT(hv_shm_status, isa_level, 12);
HV_SHM_AT(hv_shm_status, intx_level, 16);
HV_SHM_AT(hv_shm_status, link_route, 48);
HV_SHM_AT(hv_shm_status, paused, 52);
HV_SHM_AT(hv_shm_status, watched, 56);
HV_SHM_AT(hv_shm_status, isa_rises, 64);
HV_SHM_AT(hv_shm_status, intx_rises, 128);
HV_SHM_AT(hv_shm_status, msi_write, 256);
HV_SHM_AT(hv_shm_status, msi_lost, 260);
HV_SHM_AT(hv_shm_status, msi, 264);
HV_SHM_IS(hv_shm_msi, 16);
HV_SHM_IS(hv_shm_status, IOREQ_PAGE);
HV_SHM_AT(hv_shm_grant, domid, 2);
HV_SHM_AT(hv_shm_grant, frame, 4);
HV_SHM_IS(hv_shm_grant, 8);
HV_SHM_AT(hv_shm_frames, spares, 4);
HV_SHM_AT(hv_shm_frames, changes, 8);
HV_SHM_AT(hv_shm_frames, log, 512);
HV_SHM_IS(hv_shm_frames, IOREQ_PAGE);
_Static_assert(sizeof(struct hv_shm_hello) + HV_SHM_REGIONS_MAX * sizeof(struct hv_shm_region) <=
                   HV_SHM_MESSAGE_MAX,
               "a full HELLO fits in a message");

#undef HV_SHM_AT
#undef HV_SHM_IS

#endif
