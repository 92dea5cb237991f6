/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that passes between the control side and a worker process: a SOCK_SEQPACKET pair, one struct
 * a message, and memory that both have mapped, which only the worker writes to.
 *
 *   control                                  worker process (one guest)
 *      | fork(): the guest, its descriptors      |
 *      |---------------------------------------->| confines itself (daemon/sandbox.h)
 *      |<------- REPORT_LISTENER + descriptor ---|
 *      |<------------------ REPORT_STARTED ------| vm_start()
 *      |--- worker_order + descriptors --------->| vm_request_run()
 *      |<-------------------- REPORT_REPLY ------|
 *      |<--- REPORT_GONE, _IO_STOPPED, _LOG, ... |
 *      |--- worker_order, `end` ---------------->| vm_end()
 *      |<-------------------- REPORT_ENDED ------| vm_drain()
 *      |<------------------ REPORT_DRAINED ------| exits
 *
 * The control side believes nothing of what comes: worker_report_check() and what it knows itself
 * of the order of things. It takes no descriptor but the first.
 */
#ifndef IOEMUD_DAEMON_WORKER_WIRE_H
#define IOEMUD_DAEMON_WORKER_WIRE_H

#include "daemon/log.h"
#include "daemon/vm_counts.h"
#include "daemon/vm_request.h"

struct worker_order {
    uint32_t id; /* comes back with the answer */
    bool end;    /* vm_end(); `request` says nothing */
    struct vm_request request;
};

enum worker_report_kind {
    REPORT_LISTENER, /* sandbox_filter()'s */
    REPORT_STARTED,
    REPORT_REPLY,
    REPORT_GONE,       /* vm_params.gone */
    REPORT_IO_STOPPED, /* vm_params.stopped */
    REPORT_SERIAL_FULL,
    REPORT_LOG,
    REPORT_ENDED,
    REPORT_DRAINED,
    REPORTS
};

#define REPORT_DEVICE_MAX 31
#define REPORT_TEXT_MAX   511

struct worker_report {
    enum worker_report_kind kind;
    uint32_t id; /* REPORT_REPLY: the order's */
    union {
        struct vm_reply reply; /* also of REPORT_STARTED */
        struct {
            unsigned drive;
            struct blk_stop what;
        } io_stopped;
        unsigned port; /* REPORT_SERIAL_FULL */
        struct {
            int priority;
            char device[REPORT_DEVICE_MAX + 1]; /* "": none */
            char text[REPORT_TEXT_MAX + 1];
        } log;
        struct log_limit log_limit; /* REPORT_ENDED: as vm_params.log_limit */
    };
};

/* False: no worker of ours would send it. What is text ends, what is an error is one. */
bool worker_report_check(struct worker_report *report, size_t length);

/* The memory. Behind it: the vm's dispatch_vcpu[] and blk_histograms[], counted there directly. */
struct worker_shared {
    struct worker_counts worker;
    struct vm_counts vm;
};

#endif
