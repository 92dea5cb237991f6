/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam to a hypervisor: everything that is asked of one, as one ops table with two
 * implementations, hv_xen (real Xen, from dom0) and hv_shm (a peer process over a unix socket).
 * Nothing above this header can tell which it has.
 *
 * Three objects:
 *   hv_host    one per daemon; control side. Watches for domains and peers.
 *   hv_worker  a worker's share (later: its grant table handle).
 *   hv_guest   one attached domain. Made and destroyed by the control side, in between used by its
 *              worker's thread only.
 *
 * Life of a guest:
 *   control   guest_create()   server made, descriptors opened and restricted
 *   worker    guest_start()    pages mapped; from here on the worker's; then claim(), ..., then
 *             guest_enable()   the hypervisor sends requests; event channels are bound
 *             guest_fd() readable -> guest_pending() -> slots -> notify() -> guest_rearm()
 *             guest_stop()     disabled, unbound, memory unmapped; nothing of the guest is touched
 *   control   guest_destroy()  server and pages given back
 * Every step may be followed by guest_stop()/guest_destroy(), whatever failed before. A guest
 * without emulated devices (no_server) goes the same way; there are no pages, claims and requests,
 * and nothing for guest_intend() and guest_record() to tell. hv_xen: its domain is PV or PVH.
 *
 * A domain that dies never blocks or kills us: operations on it fail quietly with -ESRCH or -EPIPE
 * and the host tells of it through its events.
 *
 * Readiness is always a descriptor. Worker-side operations never block. Errors are -errno.
 */
#ifndef IOEMUD_IOREQ_HV_H
#define IOEMUD_IOREQ_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/grant.h"
#include "ioreq/abi.h"

struct hv_host;
struct hv_pv_ops;
struct hv_worker;
struct hv_guest;

#define HV_MAX_VCPUS IOREQ_SLOTS
#define HV_NAME_MAX  63

/* A guest on its way to another process. hv_shm: a doorbell for each vCPU and two more, the socket,
 * and what its HELLO came with, besides that message itself. */
#define HV_PACKED_FDS   (3 + HV_MAX_VCPUS + 17)
#define HV_PACKED_BYTES 2176
struct hv_packed {
    uint64_t data[HV_PACKED_BYTES / 8];
    uint32_t bytes; /* of `data` */
    uint32_t count; /* of `fds` */
    int fds[HV_PACKED_FDS];
};

/* What a guest's hypervisor can do beyond the basics. */
#define HV_FEATURE_BUFFERED_PIO 0x1u
#define HV_FEATURE_SWAP         0x2u
#define HV_FEATURE_DIRTY_LOG    0x4u
#define HV_FEATURE_MSI          0x8u
#define HV_FEATURE_GRANTS       0x10u

enum hv_range {
    HV_RANGE_PORT,
    HV_RANGE_MMIO,
    HV_RANGE_PCI, /* first = last = SBDF */
};

enum hv_shutdown {
    HV_SHUTDOWN_POWEROFF,
    HV_SHUTDOWN_REBOOT,
    HV_SHUTDOWN_CRASH,
};

/* What the host tells, from host_dispatch(), on the control side. */
struct hv_host_events {
    /* A domain (hv_xen) or peer (hv_shm) that has a guest here is gone or dying; the receiver stops
     * and destroys the guest. `guest` is as from guest_create(). */
    void (*guest_gone)(void *ctx, struct hv_guest *guest);
    /* hv_shm: a peer introduced itself as `name` (valid until guest_create()); guest_create() with
     * this `peer` takes it over, in the event or, if that returned 0, within 30 s. It is refused
     * with the -errno that is returned. */
    int (*peer)(void *ctx, const char *name, void *peer);
    /* Something that hv_pv_ops.store_watch() was asked for has changed at `path`. NULL: nobody
     * asks. */
    void (*store)(void *ctx, const char *path, const char *token);
    /* hv_xen: domains have appeared since the last time, or since host_open(); find_domain() has
     * their names. NULL: nobody wants to know. */
    void (*domains)(void *ctx);
    /* One line for the log, key=value. */
    void (*log)(void *ctx, int priority /* syslog(3) */, const char *line);
};

struct hv_host_params {
    const struct hv_host_events *events;
    void *ctx;
    int listen_fd; /* hv_shm: listening SOCK_SEQPACKET socket, owned by the host from success on */
    bool packs;    /* guests are going to be handed to other processes: guest_pack() */
    /* hv_xen: pages for frame swaps in each worker, and from how many bytes of a read on they are
     * used. 0: none. What comes of it is told in a line of the log. */
    unsigned swap_pages;
    uint32_t swap_from;
};

struct hv_guest_params {
    const char *name;       /* for logs */
    uint32_t domid;         /* hv_xen */
    void *peer;             /* hv_shm: from the `peer` event */
    bool primary;           /* the only device model: claims 0xcf8 and friends */
    bool no_server;         /* nothing is emulated: hv_guest_info.vcpus is 0 */
    bool buffered_pio;      /* use the hypervisor's page for it, if there is one */
    uint32_t map_limit_mib; /* guest memory mapped at a time, at most; 0: the default, 64 */
};

/* What a record of a guest needs so that a later daemon can remove its server (daemon/record.c). */
struct hv_record {
    uint32_t domid;
    uint32_t server_id;
    char domain_handle[37]; /* the domain's UUID: a recycled domid is not taken for it */
};

/* What the toolstack says of a guest's domain. */
struct hv_domain {
    char name[HV_NAME_MAX + 1]; /* as it is called now */
    bool over;                  /* shut down for good: its vCPUs will not run again */
};

/* An emulated disk, as far as a PV backend may be another way to it. */
struct hv_disk {
    unsigned place;   /* 0-3: hda to hdd, or xvda to xvdd */
    const char *path; /* of the image; NULL: none that anybody else could open */
};

struct hv_guest_info {
    uint32_t domid; /* hv_shm: 0 */
    uint32_t vcpus; /* slots in use, at most HV_MAX_VCPUS; 0 with no_server */
    uint32_t features;
};

/* Which event channels fired, in one go. */
struct hv_pending {
    uint64_t slots[(HV_MAX_VCPUS + 63) / 64]; /* a bit per vCPU */
    bool buffered;
    bool gone; /* the peer hung up or the descriptor failed: stop the guest */
};

/* Pages pinned for one copy. */
#define HV_PIN_IOV 34 /* a 128 KiB transfer that starts inside a page, and a hole or two */

struct hv_counters {
    uint64_t map_calls, map_pages, unmap_pages, invalidates; /* hv_xen: buckets */
    uint64_t map_failures;                                   /* memory that could not be had */
    uint64_t holes;                                          /* accesses to what is not RAM */
    uint64_t hypercalls;
};

/* A vif's rate limit as libxl keeps it; zeroes: none. */
struct hv_nic_credit {
    uint64_t bytes; /* that the guest may send in each interval */
    uint32_t interval_us;
};

struct hv_ops {
    const char *name;           /* "xen", "shm" */
    const struct hv_pv_ops *pv; /* ioreq/hv_pv.h; NULL: no PV backends */

    /* Control side, main thread. */
    int (*host_open)(const struct hv_host_params *params, struct hv_host **ret_host);
    void (*host_close)(struct hv_host *host);
    int (*host_fd)(const struct hv_host *host);
    int (*host_dispatch)(struct hv_host *host);
    /* hv_shm, else NULL: a `peer` that guest_create() did not take gets the reason, also inside of
     * the event. One that is gone by now is none. */
    void (*peer_refuse)(struct hv_host *host, void *peer, int error, const char *why);
    int (*guest_create)(struct hv_host *host, const struct hv_guest_params *params,
                        struct hv_guest **ret_guest);
    void (*guest_destroy)(struct hv_guest *guest);
    /* What the record of the guest that guest_create() would make now will be, for whoever is
     * killed in the middle of it: recorded before, it lets the next daemon find the server. Fails
     * as guest_create() would. */
    int (*guest_intend)(struct hv_host *host, const struct hv_guest_params *params,
                        struct hv_record *ret_record);
    /* The domain's vCPUs stop, or go on: for its disks' errors, on top of whatever else paused it.
     * hv_shm has no hold on a peer's: `paused` tells it. 0 or -errno. */
    int (*guest_pause)(struct hv_guest *guest, bool pause);
    void (*guest_record)(const struct hv_guest *guest, struct hv_record *ret_record);
    /* The domain of this name; -ENOENT. hv_shm: -ENOENT always. */
    int (*find_domain)(struct hv_host *host, const char *name, uint32_t *ret_domid);
    /* -ESRCH: it is gone, or being torn down. hv_shm: NULL. */
    int (*guest_domain)(const struct hv_guest *guest, struct hv_domain *ret_domain);
    /* True when each of these emulated disks can be reached in another way, by a PV backend that
     * serves the same image at the same place, so that the domain may unplug them. `own`: those
     * that the toolstack leaves to the domain's device model are served, too (hv_pv.h). */
    bool (*disks_have_pv)(struct hv_host *host, uint32_t domid, const struct hv_disk *disks,
                          unsigned n_disks, bool own);
    /* True when libxl gave the domain's NIC `devid` a PV backend, too (xenstore); and what xl's
     * rate= says of it. hv_shm: NULL. */
    bool (*nic_has_pv)(struct hv_host *host, uint32_t domid, unsigned devid,
                       struct hv_nic_credit *ret_credit);
    /* Destroys the ioreq server of a daemon that was killed. -ESRCH: the domain is gone or is
     * another one by now; that is success as well. */
    int (*orphan_remove)(struct hv_host *host, const struct hv_record *record);

    /* Worker side. */
    int (*worker_open)(struct hv_host *host, struct hv_worker **ret_worker);
    void (*worker_close)(struct hv_worker *worker);

    /*
     * The worker side in another process, which knows nothing of this one. NULL: this hypervisor's
     * guests cannot be served so.
     *   control       guest_pack(), after guest_create(): what the other process needs, as plain
     *                 data, and descriptors, which are the caller's from then on. What is the
     *                 control side's goes on to be here, guest_destroy() too; counters and features
     *                 that the other process has do not get into this copy. On failure nothing has
     *                 changed.
     *   the other     host_bare(), with what needs privileges: a host for worker_open() and
     *                 guest_unpack() and nothing else. It stays until the process ends.
     *                 guest_unpack(): takes the descriptors over, whatever comes of it. Then
     *                 guest_start() and all that is the worker's, and guest_let_go() at the end.
     */
    int (*guest_pack)(struct hv_guest *guest, struct hv_packed *ret_packed);
    int (*host_bare)(struct hv_host **ret_host);
    int (*guest_unpack)(struct hv_host *host, const struct hv_packed *packed,
                        struct hv_guest **ret_guest);
    void (*guest_let_go)(struct hv_guest *guest);

    int (*guest_start)(struct hv_guest *guest, struct hv_worker *worker);
    int (*guest_enable)(struct hv_guest *guest);
    void (*guest_stop)(struct hv_guest *guest);
    const struct hv_guest_info *(*guest_info)(const struct hv_guest *guest);
    const struct hv_counters *(*guest_counters)(const struct hv_guest *guest);

    /* last is inclusive. -ENOSPC: the hypervisor's limit of ranges. */
    int (*claim)(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last);
    void (*release)(struct hv_guest *guest, enum hv_range type, uint64_t first, uint64_t last);

    int (*guest_fd)(const struct hv_guest *guest);
    /* Takes all that is pending, in one read; nothing pending is not an error. The channels taken
     * stay silent (masked) until guest_rearm(), so that a worker that watches the pages for a while
     * is not woken for what it has seen already. */
    int (*guest_pending)(struct hv_guest *guest, struct hv_pending *ret_pending);
    /* Re-arms what guest_pending() took, in one write. What came in between makes the descriptor
     * readable again. */
    void (*guest_rearm)(struct hv_guest *guest);
    /* The shared pages: valid from guest_start() to guest_stop(). buffered may be NULL. */
    struct ioreq_slot *(*slots)(struct hv_guest *guest);
    struct buf_ioreq_page *(*buffered)(struct hv_guest *guest);
    /* The buffered PIO page (ioreq/bufpio_abi.h), for as long; NULL without
     * HV_FEATURE_BUFFERED_PIO, which guest_info() has from guest_start() on. */
    void *(*bufpio)(struct hv_guest *guest);
    /* The slot of `vcpu` has been answered. */
    void (*notify)(struct hv_guest *guest, uint32_t vcpu);

    /*
     * Guest memory. Pins up to `len` bytes from `gpa` on into iov and returns how many entries were
     * filled, at most HV_PIN_IOV, at least 1; *ret_len is how much they cover (short when the iovec
     * or the mapping limit is exhausted: unpin and go on). An entry whose base is NULL is a hole:
     * the caller reads all-ones from it or drops what it writes. What is pinned stays mapped until
     * unpin, INVALIDATE or not. -errno: there may be memory, but it cannot be had (-ENOMEM and the
     * like: now; -ESRCH: the guest is gone). It is no hole: what it holds is not known, and what
     * is meant for it must not get lost without anybody being told.
     */
    int (*pin)(struct hv_guest *guest, uint64_t gpa, size_t len, bool write, struct iovec *iov,
               size_t *ret_len);
    void (*unpin)(struct hv_guest *guest, uint64_t gpa, size_t len);
    void (*invalidate)(struct hv_guest *guest);
    /* [gpa, gpa + len) was written by us. Costs nothing unless dirty logging is on. */
    void (*mark_dirty)(struct hv_guest *guest, uint64_t gpa, size_t len);

    /* What the guest granted to PV backends; NULL: there are none, or not yet, in another process
     * (hv_pv_ops.grants_adopt()). Valid from guest_start() to guest_stop(), but for what
     * devices/grant.h says of later. */
    const struct grants *(*grants)(struct hv_guest *guest);

    /* Interrupts: levels. */
    void (*isa_irq)(struct hv_guest *guest, unsigned irq, bool level);
    void (*pci_intx)(struct hv_guest *guest, unsigned slot, unsigned pin, bool level);
    void (*pci_link_route)(struct hv_guest *guest, unsigned link, unsigned irq);
    void (*msi)(struct hv_guest *guest, uint64_t address, uint32_t data);
    void (*shutdown)(struct hv_guest *guest, enum hv_shutdown reason);
    /* No requests are answered from now on, or they are again. hv_xen: nothing, see guest_pause. */
    void (*paused)(struct hv_guest *guest, bool paused);
};

extern const struct hv_ops hv_xen_ops;
extern const struct hv_ops hv_shm_ops;

#endif
