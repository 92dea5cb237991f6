/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the control side asks of a guest that runs, and what its worker answers: plain data. There
 * is no function in it and no pointer but to constants of the program and to what outlives the vm,
 * so that it can travel between threads (daemon/guest_call.h) and between processes.
 *
 * Descriptors lie in the request where vm_request_fds() finds them. They are the worker's from then
 * on, whatever comes of it.
 */
#ifndef IOEMUD_DAEMON_VM_REQUEST_H
#define IOEMUD_DAEMON_VM_REQUEST_H

#include "daemon/vm.h"
#include "daemon/vm_pv.h"
#include "daemon/vm_trace.h"

enum vm_op {
    VM_RESTART,      /* `units`: vm_restart() */
    VM_RENEW_SERIAL, /* `serial`: vm_renew_serial() */
    VM_LIVE,         /* `live` */
    VM_SETTLE,       /* `settle` */
    VM_ADD_VCPU,     /* `vcpu` is plugged in */
    VM_CHANGE,       /* `medium`: another one in this drive, or none */
    VM_CLOSE,        /* `medium.drive`: the one that VM_CHANGE took out is not looked at any more */
    VM_TUNE,         /* `tune`: of a worker process */
    VM_NIC_LINK,     /* `nic` */
    VM_NIC_DIALLED,  /* vm_nic_dialled() */
    VM_NIC_CAPTURE,
    VM_NIC_ADD,
    VM_NIC_REMOVE,
    VM_TRACE,      /* `trace` */
    VM_PV_OPEN,    /* `pv_open`: vm_pv_open() */
    VM_PV_CONNECT, /* `pv`, with its rings */
    VM_PV_DISCONNECT,
    VM_PV_CLOSE,
    VM_PV_HEAR, /* `pv_hear`: vm_pv_hear(), or fd -1: vm_pv_unhear() */
    VM_OPS
};

/* Only what is marked as set is changed. */
struct vm_live {
    bool set_budget;
    uint32_t budget;
    unsigned policies; /* drives, a bit each */
    enum blk_policy on_read_error[MACHINE_IDE_DRIVES], on_write_error[MACHINE_IDE_DRIVES];
    unsigned limits, links; /* NICs by devid, a bit each */
    struct net_limits limit[MACHINE_NICS];
    unsigned up; /* of `links`, those that are plugged in */
};

/* What libxl says of PV backends just before the vCPUs run. */
struct vm_settle {
    enum machine_unplug unplug;
    unsigned nics; /* by devid, a bit each */
    struct net_limits limit[MACHINE_NICS];
};

struct vm_request {
    enum vm_op op;
    union {
        unsigned units; /* a bit each */
        struct {
            unsigned port;
            int fd; /* -1: there is no fresh one */
        } serial;
        struct vm_live live;
        struct vm_settle settle;
        struct {
            int log_level;    /* of its own log's copy */
            unsigned poll_us; /* watcher_set_limit() */
        } tune;
        unsigned vcpu;
        struct {
            unsigned drive;
            bool force;
            struct raw_image raw; /* the new one; fd -1: none */
        } medium;
        struct {
            unsigned number;
            bool flag;         /* link up; remove by force; connected */
            int fd;            /* capture; -1: no more */
            uint64_t limit;    /* capture: bytes */
            struct vm_nic nic; /* to be added */
        } nic;
        struct {
            int fd; /* of a ring: vm_trace_begin(); -1: it ends */
            struct trace_filter filter;
            uint64_t count;
        } trace;
        struct vm_pv_params pv_open;
        struct {
            unsigned unit;
            struct pvblk_rings rings;
        } pv;
        struct {
            unsigned unit;
            uint32_t serial;
            int fd;
        } pv_hear;
    };
};

struct vm_reply {
    int err;
    bool closing;          /* VM_CHANGE: a medium was taken out, VM_CLOSE is to follow */
    bool drained;          /* VM_PV_DISCONNECT: nothing is in flight, else VM_PV_DRAINED follows */
    char why[VM_WHY_SIZE]; /* a sentence where `err` alone does not say it; else "" */
};

/* On the worker's thread, of a vm that has not been ended. */
void vm_request_run(struct vm *vm, struct vm_request *request, struct vm_reply *ret_reply);

/* Where its descriptors are, at most VM_REQUEST_FDS; some may be -1. Returns how many. */
#define VM_REQUEST_FDS VM_PV_FDS
unsigned vm_request_fds(struct vm_request *request, int *ret_fds[VM_REQUEST_FDS]);
/* Of one that will not be run: closes them. */
void vm_request_discard(struct vm_request *request);

/* The answer of VM_RESTART is given before it runs: what stops the guest next is told after it. */
static inline bool vm_request_answers_first(const struct vm_request *request)
{
    return request->op == VM_RESTART;
}

#endif
