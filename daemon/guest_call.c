/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest_call.h"

#include <stdlib.h>

#include "daemon/guest.h"
#include "daemon/worker_process.h"

#define OWNER(mail) ((struct guest_call *)((char *)(mail)-offsetof(struct guest_call, mail)))

static void run_done(struct mail *mail)
{
    guest_call_done(OWNER(mail));
}

void guest_call_done(struct guest_call *call)
{
    if (call->done)
        call->done(call);
    else
        free(call);
}

static void run_request(struct mail *mail) /* worker */
{
    struct guest_call *call = OWNER(mail);
    struct mailbox *control = &call->guest->daemon->mailbox;
    struct vm *vm = call->guest->vm;
    struct vm_request request = call->request; /* who is answered may free the call */
    bool first = vm_request_answers_first(&request);
    struct vm_reply reply = {0};

    call->mail.run = run_done;
    if (first)
        mailbox_post(control, &call->mail);
    vm_request_run(vm, &request, &reply);
    if (first)
        return;
    call->reply = reply;
    mailbox_post(control, &call->mail);
}

void guest_call(struct guest *guest, struct guest_call *call)
{
    call->guest = guest;
    call->reply = (struct vm_reply){0};
    call->lost = false;
    if (guest->worker->is_process) {
        worker_process_call(guest, call);
        return;
    }
    call->mail.run = run_request;
    mailbox_post(&guest->worker->mailbox, &call->mail);
}
