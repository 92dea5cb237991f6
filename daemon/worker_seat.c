/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of a worker process: what they are asked, what they tell, what they count. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/guest_dial.h"
#include "daemon/guest_pvdisk.h"
#include "daemon/trace.h"
#include "daemon/worker_process_priv.h"

struct worker_seat *worker_seat_find(const struct worker_process *process, uint32_t number)
{
    struct worker_seat *seat = process->seats;

    while (seat && seat->number != number)
        seat = seat->next;
    return seat;
}

/* ---- they come --------------------------------------------------------------------------------*/

static struct worker_seat *seat_new(struct worker_process *process, struct guest *guest)
{
    struct worker_seat *seat = calloc(1, sizeof(*seat));

    if (!seat)
        return NULL;
    *seat = (struct worker_seat){
        .process = process,
        .next = process->seats,
        .guest = guest,
        .number = process->next_number++,
        .tail = &seat->first,
        .vcpus = guest->hv->guest_info(guest->hv_guest)->vcpus,
    };
    if (process->next_number == REPORT_NO_GUEST)
        process->next_number = 0;
    return seat;
}

static void seat_free(struct worker_seat *seat)
{
    if (seat->counts)
        munmap(seat->counts, worker_vm_counts_size(seat->vcpus));
    free(seat);
}

static unsigned hv_index(const struct guest *guest)
{
    return guest->config.hypervisor == GUEST_XEN ? DAEMON_XEN : DAEMON_SHM;
}

/* Its descriptors go along: they are the order's from here on. */
static void move_params(struct guest *guest, struct worker_start *start)
{
    struct vm_params *params = &guest->params;

    for (unsigned i = 0; i < params->n_disks; i++) {
        start->disk[i] = params->disk[i];
        start->disk[i].mem = NULL; /* made there */
        free(params->disk[i].mem);
        params->disk[i].mem = NULL;
        params->disk[i].raw.fd = -1;
    }
    for (unsigned i = 0; i < MACHINE_SERIALS; i++) {
        start->serial[i] = params->serial[i];
        params->serial[i].fd = -1;
    }
    for (unsigned i = 0; params->nic && i < MACHINE_NICS; i++) {
        if (!*params->nic[i].model)
            continue;
        start->nic[i] = params->nic[i];
        params->nic[i].model[0] = '\0';
    }
}

static void send_start(struct worker_seat *seat, const struct hv_packed *packed, int counts_fd)
{
    struct guest *guest = seat->guest;
    const struct vm_params *params = &guest->params;
    struct worker_order order = {
        .kind = ORDER_START,
        .guest = seat->number,
        .start = {.hv = hv_index(guest),
                  .log_level = log_level(&guest->log),
                  .hv_guest = *packed,
                  .spec = params->spec,
                  .n_disks = params->n_disks,
                  .disk_places = params->disk_places,
                  .budget = params->budget,
                  .log_limit = params->log_limit,
                  .vcpus = seat->vcpus,
                  .counts_fd = counts_fd},
    };

    snprintf(order.start.name, sizeof(order.start.name), "%s", params->name);
    move_params(guest, &order.start);
    worker_link_tell(seat->process, &order);
}

int worker_process_start(struct guest *guest, char *ret_why, size_t size)
{
    struct worker_process *process = worker_process_of(guest->worker);
    struct worker_seat *seat = seat_new(process, guest);
    struct hv_packed packed;
    int counts_fd, err = seat ? 0 : -ENOMEM;
    void *counts;

    if (!err)
        err = worker_process_spawn(process);
    if (!err)
        err = worker_process_share("ioemud-guest", worker_vm_counts_size(seat->vcpus), &counts_fd,
                                   &counts);
    if (!err) {
        seat->counts = counts;
        err = guest->hv->guest_pack(guest->hv_guest, &packed); /* the last that can fail */
        if (err)
            close(counts_fd);
    }
    if (err) {
        if (seat)
            seat_free(seat);
        snprintf(ret_why, size, "its worker process: %s", strerror(-err));
        return err;
    }
    process->seats = seat;
    process->n_seats++;
    guest->seat = seat;
    send_start(seat, &packed, counts_fd);
    return 0;
}

/* ---- they go ----------------------------------------------------------------------------------*/

void worker_process_leave(struct guest *guest)
{
    struct worker_seat *seat = guest->seat, **link = &seat->process->seats;
    struct worker_process *process = seat->process;

    assert(!seat->first);
    while (*link != seat)
        link = &(*link)->next;
    *link = seat->next;
    process->n_seats--;
    guest->seat = NULL;
    seat_free(seat);
    worker_process_give_back(&process->worker);
}

static void fail_calls(struct worker_seat *seat, int err, const char *why)
{
    while (seat->first) {
        struct guest_call *call = seat->first;

        seat->first = call->next;
        if (!seat->first)
            seat->tail = &seat->first;
        call->reply = (struct vm_reply){.err = err};
        call->lost = err == -EPIPE;
        snprintf(call->reply.why, sizeof(call->reply.why), "%s", why);
        guest_call_done(call);
    }
}

void worker_seats_died(struct worker_process *process, const char *how)
{
    for (struct worker_seat *seat = process->seats; seat; seat = seat->next)
        fail_calls(seat, -EPIPE, "the guest's worker process has ended");
    while (process->seats)
        guest_worker_died(process->seats->guest, how); /* it leaves in there */
}

void worker_seats_fail(struct worker_process *process, int err, const char *why)
{
    process->lost = true; /* those that come get another one */
    while (process->seats)
        guest_started(process->seats->guest, err, why); /* likewise */
}

/* ---- what they tell ---------------------------------------------------------------------------*/

static void take_started(struct worker_seat *seat, const struct vm_reply *reply)
{
    if (seat->started) {
        worker_process_lose(seat->process, "started twice");
        return;
    }
    seat->started = true;
    guest_started(seat->guest, reply->err, reply->why);
}

static void take_reply(struct worker_seat *seat, uint32_t id, const struct vm_reply *reply)
{
    struct guest_call *call = seat->first;

    /* They are answered in the order in which they were asked. */
    if (!call || call->id != id) {
        worker_process_lose(seat->process, "an answer to nothing");
        return;
    }
    seat->first = call->next;
    if (!seat->first)
        seat->tail = &seat->first;
    call->reply = *reply;
    guest_call_done(call);
}

static void take_log(struct worker_seat *seat, const struct worker_report *report)
{
    const char *device = *report->log.device ? report->log.device : NULL;
    const char *name = seat->guest->config.name;
    const struct log *log = &seat->guest->log;
    uint64_t suppressed;

    if (report->log.priority > log_level(log) ||
        !log_allow(&seat->said, worker_process_now(seat->process), &suppressed))
        return;
    if (suppressed)
        log_write(log, LOG_WARNING, name, "event=log-limit suppressed=%llu",
                  (unsigned long long)suppressed);
    log_device(log, report->log.priority, name, device, "%s", report->log.text);
}

static void take_ended(struct worker_seat *seat, const struct log_limit *limit)
{
    if (!seat->ending || seat->ended) {
        worker_process_lose(seat->process, "ended without being asked");
        return;
    }
    /* What was asked before is over by then: those who wait for it may be gone afterwards. */
    if (seat->first && (int32_t)(seat->first->id - seat->end_id) < 0) {
        worker_process_lose(seat->process, "ended before it had answered");
        return;
    }
    seat->ended = true;
    seat->guest->log_limit = *limit;
    if (seat->lent_grants) /* whatever it thinks of that: the domain's number is used again */
        seat->guest->hv->pv->broker_cut(seat->process->broker, seat->guest->hv_guest);
    guest_ended(seat->guest);
}

static void take_drained(struct worker_seat *seat)
{
    if (!seat->ended) {
        worker_process_lose(seat->process, "drained before its end");
        return;
    }
    fail_calls(seat, -ESHUTDOWN, "the guest has been detached");
    guest_drained(seat->guest);
}

/* What one that runs can tell. */
static void take_event(struct worker_seat *seat, const struct worker_report *report)
{
    struct guest *guest = seat->guest;

    if (!seat->started) {
        worker_process_lose(seat->process, "a report before its start");
        return;
    }
    switch (report->kind) {
    case REPORT_GONE:
        guest_lost(guest);
        break;
    case REPORT_IO_STOPPED:
        if (report->io_stopped.unit < guest->units)
            guest_disk_stopped(guest, report->io_stopped.unit, &report->io_stopped.what);
        else
            worker_process_lose(seat->process, "a disk that it does not have has stopped it");
        break;
    case REPORT_SERIAL_FULL:
        guest_next_file(guest, report->port);
        break;
    case REPORT_TRACE_NEWS:
        trace_news(guest);
        break;
    case REPORT_DIAL:
        if (!guest_dial(guest, report->nic))
            worker_process_lose(seat->process, "a peer that it does not have, or asked for twice");
        break;
    case REPORT_PV_NEWS:
        if (!guest_pvdisk_told(guest, report->pv.unit, &report->pv.news))
            worker_process_lose(seat->process, "news of a PV disk that fits nothing");
        break;
    default:
        break;
    }
}

void worker_seat_take(struct worker_seat *seat, const struct worker_report *report)
{
    switch (report->kind) {
    case REPORT_STARTED:
        take_started(seat, &report->reply);
        break;
    case REPORT_REPLY:
        take_reply(seat, report->id, &report->reply);
        break;
    case REPORT_LOG:
        take_log(seat, report);
        break;
    case REPORT_ENDED:
        take_ended(seat, &report->log_limit);
        break;
    case REPORT_DRAINED:
        take_drained(seat);
        break;
    default:
        take_event(seat, report);
        break;
    }
}

/* ---- what they are told -----------------------------------------------------------------------*/

void worker_process_call(struct guest *guest, struct guest_call *call)
{
    struct worker_seat *seat = guest->seat;
    struct worker_order order = {.kind = ORDER_REQUEST,
                                 .guest = seat->number,
                                 .id = seat->next_id++,
                                 .request = call->request};

    call->id = order.id;
    call->next = NULL;
    *seat->tail = call;
    seat->tail = &call->next;
    worker_link_tell(seat->process, &order);
}

void worker_process_end(struct guest *guest)
{
    struct worker_order order = {.kind = ORDER_END, .guest = guest->seat->number};

    guest->seat->ending = true;
    guest->seat->end_id = guest->seat->next_id;
    worker_link_tell(guest->seat->process, &order);
}

/* ---- what their PV disks need -----------------------------------------------------------------*/

static int lend_grants(struct worker_seat *seat, int ret_fds[HV_GRANT_FDS])
{
    struct worker_process *process = seat->process;
    const struct hv_pv_ops *pv = seat->guest->hv->pv;
    int err = 0;

    if (!process->broker) {
        err = pv->broker_open(&process->broker);
        process->broker_of = pv;
    }
    if (err)
        return err;
    seat->lent_grants = true; /* or has been heard of there, when that fails */
    return pv->broker_add(process->broker, seat->guest->hv_guest, ret_fds);
}

int worker_process_lend(struct guest *guest, struct vm_pv_params *params,
                        struct vm_pv_counts **ret_counts)
{
    struct worker_seat *seat = guest->seat;
    int err = seat->has_grants ? 0 : lend_grants(seat, params->grants_fd);
    void *counts;

    if (!err)
        err = worker_process_share("ioemud-pv-disk", sizeof(**ret_counts), &params->counts_fd,
                                   &counts);
    if (!err)
        *ret_counts = counts;
    return err;
}

void worker_process_lent(struct guest *guest)
{
    if (guest->seat)
        guest->seat->has_grants = true;
}

/* ---- what they count --------------------------------------------------------------------------*/

bool worker_process_vm_counts(const struct guest *guest, struct vm_counts *ret_counts)
{
    if (!guest->seat)
        return false;
    vm_counts_take(ret_counts, guest->seat->counts);
    return true;
}

const struct dispatch_vcpu *worker_process_vcpus(const struct guest *guest, unsigned *ret_vcpus)
{
    *ret_vcpus = guest->seat->vcpus;
    return worker_vm_vcpus(guest->seat->counts);
}

const struct blk_histograms *worker_process_histograms(const struct guest *guest)
{
    return worker_vm_histograms(guest->seat->counts, guest->seat->vcpus);
}
