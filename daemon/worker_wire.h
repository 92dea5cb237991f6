/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that passes between the control side and a worker process: a SOCK_SEQPACKET pair, one struct
 * a message, and memory that both have mapped, which only the worker writes to. The process is a
 * program of its own from its first instruction (execve(2)), so what is not in a message it does
 * not know.
 *
 *   control                                  worker process (guests by number)
 *      |--- ORDER_SETUP ------------------------>| confines itself (daemon/sandbox.h)
 *      |<------- REPORT_LISTENER + descriptor ---|    or REPORT_FAILED, and ends
 *      |--- ORDER_START + its descriptors ------>| vm_start()
 *      |<------------------ REPORT_STARTED ------|    with an error: the number is free again
 *      |--- ORDER_REQUEST + descriptors -------->| vm_request_run()
 *      |<-------------------- REPORT_REPLY ------|
 *      |<--- REPORT_GONE, _IO_STOPPED, _LOG, ... |
 *      |--- ORDER_END -------------------------->| vm_end()
 *      |<-------------------- REPORT_ENDED ------| vm_drain()
 *      |<------------------ REPORT_DRAINED ------| the number is free again
 *      |--- ORDER_BEAT now and then ------------>|
 *      |<--------------------- REPORT_BEAT ------| its loop turns
 *
 * Descriptors travel beside a message, in the order of their places in it (worker_order_fds()).
 *
 * The control side believes nothing of what comes: worker_report_check() and what it knows itself
 * of the order of things. It takes no descriptor but the first.
 */
#ifndef IOEMUD_DAEMON_WORKER_WIRE_H
#define IOEMUD_DAEMON_WORKER_WIRE_H

#include <limits.h>

#include "config/config.h"
#include "daemon/log.h"
#include "daemon/vm_counts.h"
#include "daemon/vm_request.h"

/* Its end of the link, and the argument that makes the program a worker process. */
#define WORKER_LINK     3
#define WORKER_ARGUMENT "--worker"

enum worker_order_kind {
    ORDER_SETUP, /* the first, once */
    ORDER_START,
    ORDER_REQUEST,
    ORDER_END, /* vm_end() */
    ORDER_BEAT,
};

struct worker_setup {
    unsigned id, pool_pages, aio_depth, poll_us;
    unsigned hvs;  /* hypervisors in use: a bit each, as worker.h's WORKER_HVS */
    int log_level; /* of what is no guest's */
    int counts_fd; /* of a struct worker_counts */
    uid_t uid;     /* sandbox.h's */
    gid_t gid;
    char root[PATH_MAX]; /* likewise; "": none */
};

/* A guest: vm_params without its pointers. */
struct worker_start {
    char name[CONFIG_NAME_MAX + 1];
    unsigned hv; /* of WORKER_HVS */
    int log_level;
    struct hv_packed hv_guest;
    struct machine_spec spec;
    struct vm_disk disk[MACHINE_IDE_DRIVES]; /* `mem` disks are made there */
    unsigned n_disks, disk_places;
    struct vm_serial serial[MACHINE_SERIALS];
    struct vm_nic nic[MACHINE_NICS];
    uint32_t budget;
    struct log_limit log_limit;
    uint32_t vcpus; /* slots that are counted */
    int counts_fd;  /* of worker_vm_counts_size() bytes */
};

struct worker_order {
    enum worker_order_kind kind;
    uint32_t guest;
    uint32_t id; /* ORDER_REQUEST: comes back with the answer */
    union {
        struct worker_setup setup;
        struct worker_start start;
        struct vm_request request;
    };
};

/* Bytes of a message of this kind. */
size_t worker_order_size(enum worker_order_kind kind);
/* Places of its descriptors, of which some may be -1. Returns how many, at most WORKER_ORDER_FDS,
 * which a message can have (SCM_MAX_FD is 253). */
#define WORKER_ORDER_FDS                                                                           \
    (HV_PACKED_FDS + 1 + MACHINE_IDE_DRIVES + MACHINE_SERIALS + 3 * MACHINE_NICS)
unsigned worker_order_fds(struct worker_order *order, int *ret_fds[WORKER_ORDER_FDS]);
/* Closes those that are there. */
void worker_order_discard(struct worker_order *order);

/* Whether sendmsg(2) failed (-errno) for want of memory, or of what a user may have on its way:
 * nothing that the other end has to do with, and it may pass. */
bool worker_is_short(int err);
/* After so long it is tried again. */
#define WORKER_AGAIN_S 0.1

enum worker_report_kind {
    REPORT_LISTENER, /* sandbox_filter()'s */
    REPORT_FAILED,   /* `reply`: there will be no worker */
    REPORT_STARTED,
    REPORT_REPLY,
    REPORT_GONE,       /* vm_params.gone */
    REPORT_IO_STOPPED, /* vm_params.stopped */
    REPORT_SERIAL_FULL,
    REPORT_DIAL, /* vm_params.dial */
    REPORT_LOG,
    REPORT_TRACE_NEWS, /* daemon/trace.h */
    REPORT_PV_NEWS,    /* vm_params.pv_news */
    REPORT_ENDED,
    REPORT_DRAINED,
    REPORT_BEAT,
    REPORTS
};

#define REPORT_DEVICE_MAX 31
#define REPORT_TEXT_MAX   511
#define REPORT_NO_GUEST   UINT32_MAX

struct worker_report {
    enum worker_report_kind kind;
    uint32_t guest; /* REPORT_NO_GUEST: the process's own */
    uint32_t id;    /* REPORT_REPLY: the order's */
    union {
        struct vm_reply reply; /* also of REPORT_STARTED and REPORT_FAILED */
        struct {
            unsigned unit;
            struct blk_stop what;
        } io_stopped;
        unsigned port; /* REPORT_SERIAL_FULL */
        unsigned nic;  /* REPORT_DIAL */
        struct {
            unsigned unit;
            struct vm_pv_news news;
        } pv;
        struct {
            int priority;
            char device[REPORT_DEVICE_MAX + 1]; /* "": none */
            char text[REPORT_TEXT_MAX + 1];
        } log;
        struct log_limit log_limit; /* REPORT_ENDED: as vm_params.log_limit */
    };
};

/* False: no worker of ours would send it. What is text ends, what is an error or a bool is one. */
bool worker_report_check(struct worker_report *report, size_t length);
/* A bool that somebody else wrote may have any value; to read that is undefined. */
void worker_bool_check(bool *value);

/* What a guest has counted: vm_counts, then a dispatch_vcpu for each vCPU and a blk_histograms for
 * each drive, which are counted there directly. */
size_t worker_vm_counts_size(uint32_t vcpus);
static inline struct dispatch_vcpu *worker_vm_vcpus(struct vm_counts *counts)
{
    return (struct dispatch_vcpu *)(counts + 1);
}
static inline struct blk_histograms *worker_vm_histograms(struct vm_counts *counts, uint32_t vcpus)
{
    return (struct blk_histograms *)(worker_vm_vcpus(counts) + vcpus);
}

#endif
