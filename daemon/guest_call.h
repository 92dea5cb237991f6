/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request of the control side's on its way to the worker of a guest that runs, and the answer on
 * its way back (daemon/vm_request.h).
 *
 *   control  guest_call() --request--> worker  vm_request_run()
 *   control  done()       <---reply---
 *
 * by mailboxes to a thread and by a socket to a process. A process may end meanwhile: then the
 * reply is -EPIPE.
 *
 * Requests keep their order, and what ends the guest goes the same way, behind: the guest is there
 * until `done` has returned.
 */
#ifndef IOEMUD_DAEMON_GUEST_CALL_H
#define IOEMUD_DAEMON_GUEST_CALL_H

#include "daemon/mailbox.h"
#include "daemon/vm_request.h"

struct guest;

/* Embedded in whatever the caller has to remember. */
struct guest_call {
    struct vm_request request;
    struct vm_reply reply;
    bool lost; /* -EPIPE: the process has ended, and with it all that the guest had there */
    /* On the control side, once; may free the call. NULL: nobody wants to know, and it is freed
     * with free(). */
    void (*done)(struct guest_call *call);
    /* guest_call.c's. */
    struct guest *guest;
    struct mail mail;
    /* daemon/worker_process.c's. */
    struct guest_call *next;
    uint32_t id;
};

/* Its answer is in `reply`. */
void guest_call_done(struct guest_call *call);
/* The guest is RUNNING. The call is not the caller's until `done`. */
void guest_call(struct guest *guest, struct guest_call *call);

#endif
