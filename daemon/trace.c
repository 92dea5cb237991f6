/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guest.h"
#include "daemon/methods.h"

#define FIRST_MAX 1000000000 /* requests of one trace */

struct trace {
    struct guest *guest;
    struct trace_filter filter;
    struct mail begin, end;    /* to the worker: the one may be under way when the other follows */
    struct mail begun, back;   /* they have been done */
    struct mail news;          /* something is in the ring, and somebody waits for it */
    struct rpc_conn *conn;     /* whose it is; NULL: it has gone, or the guest has */
    struct rpc_call *beginner; /* is told when it has begun */
    struct rpc_call *reader;   /* waits for requests; NULL: nobody does */

    /* The worker writes entries and `in`, the main thread reads them and writes `out`. */
    struct vm *vm;
    uint32_t in, out;   /* counted up; they differ by at most TRACE_RING */
    uint64_t lost;      /* since the beginning */
    uint64_t left;      /* so many more are wanted; the worker's */
    bool full;          /* no more are wanted: set with `in`, looked at after it */
    bool wanted;        /* a reader waits for news; who takes it back sends them, or answers */
    uint64_t told_lost; /* the main thread's */
    struct trace_entry ring[TRACE_RING];
};

#define OWNER(mail, member) ((struct trace *)((char *)(mail)-offsetof(struct trace, member)))

/* ---- worker ---------------------------------------------------------------------------------- */

static void locate(const struct trace *trace, struct trace_entry *entry)
{
    const struct dispatch_request *request = &entry->request;
    struct machine *machine = trace->vm->machine;
    const struct dev *dev = NULL;
    uint64_t first = 0, last = 0;

    if (request->type == IOREQ_PCI_CONFIG && !(request->addr >> 40))
        dev = machine_function(machine, (uint8_t)(request->addr >> 32));
    else if (request->type == IOREQ_PIO || request->type == IOREQ_COPY)
        dev = machine_device_at(machine, request->type == IOREQ_PIO ? BUS_PORT : BUS_MMIO,
                                request->addr, &first, &last);
    entry->offset = request->addr - first;
    entry->range = last - first + 1;
    if (!dev)
        return;
    snprintf(entry->device, sizeof(entry->device), "%s", dev->name);
    entry->model = dev->ops->model;
}

/* A ring that is full costs the newest: what is in it is in order and without gaps. */
static void on_request(void *ctx, const struct dispatch_request *request)
{
    struct trace *trace = ctx;
    const struct loop *loop = &trace->vm->worker->evloop.loop;
    struct trace_entry entry = {.request = *request};
    uint32_t out = __atomic_load_n(&trace->out, __ATOMIC_ACQUIRE), in = trace->in;

    locate(trace, &entry);
    if (!trace->left || !trace_filter_wants(&trace->filter, &entry))
        return;
    if (in - out == TRACE_RING) {
        __atomic_store_n(&trace->lost, trace->lost + 1, __ATOMIC_RELAXED);
        return;
    }
    entry.at_ns = loop->ops->now_ns(loop->ctx);
    trace->ring[in % TRACE_RING] = entry;
    if (!--trace->left)
        __atomic_store_n(&trace->full, true, __ATOMIC_RELAXED);
    /* Pairs with the reader's look at `in`: the entry is there by then. */
    __atomic_store_n(&trace->in, in + 1, __ATOMIC_SEQ_CST);
    /* Pairs with the reader's, who sets it and then looks at `in` again. */
    if (__atomic_exchange_n(&trace->wanted, false, __ATOMIC_SEQ_CST))
        mailbox_post(&trace->guest->daemon->mailbox, &trace->news);
}

static void run_begin(struct mail *mail) /* worker */
{
    struct trace *trace = OWNER(mail, begin);

    trace->vm = trace->guest->vm;
    trace->vm->dispatch.trace_ctx = trace;
    trace->vm->dispatch.traced = on_request;
    mailbox_post(&trace->guest->daemon->mailbox, &trace->begun);
}

static void run_end(struct mail *mail) /* worker */
{
    struct trace *trace = OWNER(mail, end);

    trace->guest->vm->dispatch.traced = NULL;
    mailbox_post(&trace->guest->daemon->mailbox, &trace->back);
}

/* ---- main thread ----------------------------------------------------------------------------- */

static json_t *describe(const struct trace_entry *entry)
{
    static const char *const types[] = {
        [IOREQ_PIO] = "pio", [IOREQ_COPY] = "mmio", [IOREQ_PCI_CONFIG] = "config"};
    const struct dispatch_request *request = &entry->request;
    char line[TRACE_LINE_MAX];
    bool access = request->type <= IOREQ_PCI_CONFIG;

    trace_decode(entry, line);
    return json_pack(
        "{s:I, s:i, s:s, s:s, s:I, s:i, s:I, s:I, s:s, s:s}", "at_ns", (json_int_t)entry->at_ns,
        "vcpu", request->vcpu == UINT32_MAX ? -1 : (int)request->vcpu, "type",
        access ? types[request->type] : "other", "dir", request->read ? "read" : "write", "addr",
        (json_int_t)request->addr, "size", (int)request->size, "count", (json_int_t)request->count,
        "data", (json_int_t)request->data, "device", entry->device, "text", line);
}

/* What is in the ring, as far as it goes into one answer. */
static json_t *take(struct trace *trace)
{
    uint32_t in = __atomic_load_n(&trace->in, __ATOMIC_ACQUIRE), out = trace->out;
    json_t *requests = json_array();

    for (unsigned i = 0; requests && i < TRACE_BATCH && out != in; i++, out++)
        json_array_append_new(requests, describe(&trace->ring[out % TRACE_RING]));
    __atomic_store_n(&trace->out, out, __ATOMIC_RELEASE);
    return requests;
}

static bool is_over(const struct trace *trace)
{
    return __atomic_load_n(&trace->full, __ATOMIC_RELAXED) &&
           __atomic_load_n(&trace->in, __ATOMIC_ACQUIRE) == trace->out;
}

/* `ended`: why no more comes; NULL: more does. */
static void answer(struct trace *trace, const char *ended)
{
    struct rpc_call *reader = trace->reader;
    uint64_t lost = __atomic_load_n(&trace->lost, __ATOMIC_RELAXED);
    json_t *requests = take(trace);

    if (!ended && is_over(trace))
        ended = "count";
    trace->reader = NULL;
    rpc_reply(reader, json_pack("{s:o*, s:I, s:s*}", "requests", requests, "lost",
                                (json_int_t)(lost - trace->told_lost), "ended", ended));
    trace->told_lost = lost;
}

static bool has_something(const struct trace *trace)
{
    return __atomic_load_n(&trace->in, __ATOMIC_SEQ_CST) != trace->out || is_over(trace);
}

static void run_news(struct mail *mail)
{
    struct trace *trace = OWNER(mail, news);

    if (trace->reader)
        answer(trace, NULL);
}

static void trace_free(struct trace *trace)
{
    trace->guest->trace = NULL;
    if (trace->conn)
        rpc_conn_on_close(trace->conn, NULL, NULL);
    free(trace);
}

/* What the guest asks from now on is told. */
static void run_begun(struct mail *mail)
{
    struct trace *trace = OWNER(mail, begun);

    rpc_reply(trace->beginner,
              json_pack("{s:s, s:i}", "name", trace->guest->name, "ring", (int)TRACE_RING));
}

static void run_back(struct mail *mail)
{
    trace_free(OWNER(mail, back));
}

static void on_conn_closed(void *arg)
{
    struct trace *trace = arg;

    trace->conn = NULL;
    if (trace->reader)
        answer(trace, "closed"); /* to nobody */
    guest_log(trace->guest, LOG_INFO, "event=trace-ended");
    /* A guest that stops ends it when it is freed. */
    if (trace->guest->state == GUEST_RUNNING)
        mailbox_post(&trace->guest->worker->mailbox, &trace->end);
}

void trace_guest_gone(struct guest *guest)
{
    struct trace *trace = guest->trace;

    if (!trace)
        return;
    if (trace->reader)
        answer(trace, "guest");
    trace_free(trace);
}

/* 0 or why not. */
static const char *refusal(const struct guest *guest, struct rpc_call *call)
{
    if (guest->state != GUEST_RUNNING)
        return "the guest does not run";
    if (guest->worker->is_process)
        return "there is no trace of a guest with a worker process of its own (\"isolation\": "
               "\"process\")";
    if (guest->trace)
        return "the guest is being traced already";
    if (rpc_conn_is_tied(rpc_call_conn(call)))
        return "this connection is a guest's lease, or traces already";
    return NULL;
}

/* {name, domid?, filter?, count?} */
void method_trace(void *ctx, struct rpc_call *call, const json_t *params)
{
    const json_t *filter = json_object_get(params, "filter");
    const json_t *count = json_object_get(params, "count");
    struct guest *guest = method_guest(ctx, call, params, "name");
    char why[TRACE_WHY_SIZE] = "";
    struct trace_filter wanted;
    const char *refused;
    struct trace *trace;

    if (!guest)
        return;
    if ((filter && !json_is_string(filter)) ||
        (count && (!json_is_integer(count) || json_integer_value(count) < 1 ||
                   json_integer_value(count) > FIRST_MAX))) {
        rpc_fail(call, RPC_INVALID_PARAMS, "\"filter\" is a string, \"count\" 1 to %d", FIRST_MAX);
        return;
    }
    if (!trace_filter_parse(json_string_value(filter), &wanted, why)) {
        rpc_fail(call, RPC_INVALID_PARAMS, "%s", why);
        return;
    }
    refused = refusal(guest, call);
    trace = refused ? NULL : calloc(1, sizeof(*trace));
    if (!trace) {
        rpc_fail(call, RPC_FAILED, "%s", refused ? refused : "out of memory");
        return;
    }
    trace->guest = guest;
    trace->filter = wanted;
    trace->left = count ? (uint64_t)json_integer_value(count) : UINT64_MAX;
    trace->begin.run = run_begin;
    trace->end.run = run_end;
    trace->begun.run = run_begun;
    trace->back.run = run_back;
    trace->news.run = run_news;
    trace->conn = rpc_call_conn(call);
    guest->trace = trace;
    rpc_conn_on_close(trace->conn, on_conn_closed, trace);
    guest_log(guest, LOG_INFO, "event=trace-begun");
    trace->beginner = call;
    mailbox_post(&guest->worker->mailbox, &trace->begin);
}

/* {}: of the trace that this connection has begun. The answer waits until there is something. */
void method_trace_read(void *ctx, struct rpc_call *call, const json_t *params)
{
    const struct daemon *daemon = ctx;
    const struct rpc_conn *conn = rpc_call_conn(call);
    const struct guest *guest = daemon->guests;
    struct trace *trace;

    while (guest && !(guest->trace && guest->trace->conn == conn))
        guest = guest->next;
    if (!guest || guest->trace->reader) {
        rpc_fail(call, RPC_FAILED,
                 guest ? "the former request is not answered yet"
                       : "this connection has no trace, or its guest is gone");
        return;
    }
    trace = guest->trace;
    trace->reader = call;
    /* What comes after this brings news; what came before is seen here. If it did both, the news
     * are on their way. */
    __atomic_store_n(&trace->wanted, true, __ATOMIC_SEQ_CST);
    if (has_something(trace) && __atomic_exchange_n(&trace->wanted, false, __ATOMIC_SEQ_CST))
        answer(trace, NULL);
}
