/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/guest.h"
#include "daemon/methods.h"

#define FIRST_MAX 1000000000 /* requests of one trace */

struct trace {
    struct guest *guest;
    struct guest_call begin, end; /* the one may be under way when the other follows */
    struct rpc_conn *conn;        /* whose it is; NULL: it has gone, or the guest has */
    struct rpc_call *beginner;    /* is told when it has begun */
    struct rpc_call *reader;      /* waits for requests; NULL: nobody does */
    struct trace_ring *ring;
    uint32_t out; /* the ring's: what is there may be changed by a captured worker */
    uint64_t told_lost;
};

#define OWNER(call, member) ((struct trace *)((char *)(call)-offsetof(struct trace, member)))

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

static void end_text(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (char *at = text; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

static bool check_bool(const bool *value)
{
    uint8_t byte;

    memcpy(&byte, value, sizeof(byte));
    return byte != 0;
}

void trace_check(struct trace_entry *entry)
{
    struct dispatch_request *request = &entry->request;
    bool known = request->type == IOREQ_PIO || request->type == IOREQ_COPY ||
                 request->type == IOREQ_PCI_CONFIG || request->type == IOREQ_TIMEOFFSET ||
                 request->type == IOREQ_INVALIDATE;

    end_text(entry->device, sizeof(entry->device));
    end_text(entry->model_name, sizeof(entry->model_name));
    end_text(entry->illegal_text, sizeof(entry->illegal_text));
    request->read = check_bool(&request->read);
    request->string = check_bool(&request->string);
    entry->model = *entry->model_name ? entry->model_name : NULL;
    request->illegal = *entry->illegal_text ? entry->illegal_text : NULL;
    if (!request->illegal && (!known || request->size > sizeof(request->data)))
        request->illegal = "unknown";
}

/* What is in the ring, as far as it goes into one answer. */
static json_t *take(struct trace *trace)
{
    uint32_t in = __atomic_load_n(&trace->ring->in, __ATOMIC_ACQUIRE);
    json_t *requests = json_array();

    for (unsigned i = 0; requests && i < TRACE_BATCH && trace->out != in; i++, trace->out++) {
        struct trace_entry entry;

        memcpy(&entry, &trace->ring->entry[trace->out % TRACE_RING], sizeof(entry));
        trace_check(&entry);
        json_array_append_new(requests, describe(&entry));
    }
    __atomic_store_n(&trace->ring->out, trace->out, __ATOMIC_RELEASE);
    return requests;
}

static bool is_over(const struct trace *trace)
{
    return __atomic_load_n(&trace->ring->full, __ATOMIC_RELAXED) &&
           __atomic_load_n(&trace->ring->in, __ATOMIC_ACQUIRE) == trace->out;
}

/* `ended`: why no more comes; NULL: more does. */
static void answer(struct trace *trace, const char *ended)
{
    struct rpc_call *reader = trace->reader;
    uint64_t lost = __atomic_load_n(&trace->ring->lost, __ATOMIC_RELAXED);
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
    return __atomic_load_n(&trace->ring->in, __ATOMIC_SEQ_CST) != trace->out || is_over(trace);
}

void trace_news(struct guest *guest)
{
    struct trace *trace = guest->trace;

    if (trace && trace->reader && has_something(trace))
        answer(trace, NULL);
}

static void trace_free(struct trace *trace)
{
    trace->guest->trace = NULL;
    if (trace->conn)
        rpc_conn_on_close(trace->conn, NULL, NULL);
    munmap(trace->ring, sizeof(*trace->ring));
    free(trace);
}

/* What the guest asks from now on is told. */
static void on_begun(struct guest_call *call)
{
    struct trace *trace = OWNER(call, begin);
    const struct vm_reply *reply = &trace->begin.reply;
    struct rpc_call *beginner = trace->beginner;

    trace->beginner = NULL;
    if (!reply->err) {
        rpc_reply(beginner,
                  json_pack("{s:s, s:i}", "name", trace->guest->name, "ring", (int)TRACE_RING));
        return;
    }
    rpc_fail(beginner, RPC_FAILED, "%s", *reply->why ? reply->why : strerror(-reply->err));
    /* Else its end is on its way, or the guest's. */
    if (trace->conn)
        trace_free(trace);
}

static void on_ended(struct guest_call *call)
{
    trace_free(OWNER(call, end));
}

static void on_conn_closed(void *arg)
{
    struct trace *trace = arg;

    trace->conn = NULL;
    if (trace->reader)
        answer(trace, "closed"); /* to nobody */
    guest_log(trace->guest, LOG_INFO, "event=trace-ended");
    /* A guest that stops ends it when it is freed. */
    if (trace->guest->state != GUEST_RUNNING)
        return;
    trace->end.request = (struct vm_request){.op = VM_TRACE, .trace.fd = -1};
    trace->end.done = on_ended;
    guest_call(trace->guest, &trace->end);
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
    if (guest->trace)
        return "the guest is being traced already";
    if (rpc_conn_is_tied(rpc_call_conn(call)))
        return "this connection is a guest's lease, or traces already";
    return NULL;
}

/* A ring that two have, one of them perhaps another process: it cannot shrink under us. */
static int make_ring(struct trace_ring **ret_ring, int *ret_fd)
{
    int err, fd = memfd_create("ioemud-trace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *ring = MAP_FAILED;

    if (fd < 0)
        return -errno;
    if (!ftruncate(fd, sizeof(**ret_ring)) &&
        !fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW))
        ring = mmap(NULL, sizeof(**ret_ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring == MAP_FAILED) {
        err = -errno;
        close(fd);
        return err;
    }
    *ret_ring = ring;
    *ret_fd = fd;
    return 0;
}

static const char *begin(struct guest *guest, struct rpc_call *call,
                         const struct trace_filter *filter, uint64_t count)
{
    struct trace *trace = calloc(1, sizeof(*trace));
    int fd = -1;

    if (!trace || make_ring(&trace->ring, &fd)) {
        free(trace);
        return "out of memory, or of descriptors";
    }
    trace->guest = guest;
    trace->conn = rpc_call_conn(call);
    trace->beginner = call;
    guest->trace = trace;
    rpc_conn_on_close(trace->conn, on_conn_closed, trace);
    guest_log(guest, LOG_INFO, "event=trace-begun");
    trace->begin.request =
        (struct vm_request){.op = VM_TRACE, .trace = {.fd = fd, .filter = *filter, .count = count}};
    trace->begin.done = on_begun;
    guest_call(guest, &trace->begin);
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
    if (!refused)
        refused =
            begin(guest, call, &wanted, count ? (uint64_t)json_integer_value(count) : UINT64_MAX);
    if (refused)
        rpc_fail(call, RPC_FAILED, "%s", refused);
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
    __atomic_store_n(&trace->ring->wanted, 1, __ATOMIC_SEQ_CST);
    if (has_something(trace) && __atomic_exchange_n(&trace->ring->wanted, 0, __ATOMIC_SEQ_CST))
        answer(trace, NULL);
}
