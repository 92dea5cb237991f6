/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker process that was taken over says about its guest's grants, against the half that
 * has the privileges.
 *
 * Input: steps. A step is a byte that chooses what happens, and what that needs: time passes, or a
 * message of the usual shape with fields of the input's, or bytes as they are.
 * Invariants, beside what the sanitizers see:
 *  - the hypervisor is asked for this domain only, for segments within a page and the window, each
 *    direction with its own flag, and for as many as the message has
 *  - gntdev is asked for this domain only, and for no more pages than the bounds of
 *    ioreq/grant_broker.h leave, which are reckoned here a second time
 *  - an answer has a status for each segment, or a descriptor exactly if there is no error
 *  - a message that is refused has changed nothing
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "ioreq/grant_broker_priv.h"
#include "tests/fuzz/script.h"

#define DOMID     7u
#define STEPS_MAX 400u
#define SECOND_NS UINT64_C(1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct grant_broker_guest guest;
    struct grant_broker_bounds bounds;
    uint64_t start_ns, now_ns;
    uint64_t mapped;    /* pages, by what it has said */
    uint64_t ever;      /* pages, in all */
    uint32_t asked;     /* segments in the present message */
    uint32_t map_asked; /* pages, in it */
    int fails;          /* errno of the next calls */
    int16_t gnt_status; /* of the next segments with an odd reference */
};

/* ---- the hypervisor and gntdev ----------------------------------------------------------------*/

static int fake_copy(void *handle, uint32_t count, xengnttab_grant_copy_segment_t *segments)
{
    struct fuzz *f = handle;

    f->asked += count;
    assert(count && count <= GRANT_WIRE_SEGMENTS);
    for (uint32_t i = 0; i < count; i++) {
        bool to_guest = segments[i].flags == GNTCOPY_dest_gref;
        const union xengnttab_copy_ptr *granted =
            to_guest ? &segments[i].dest : &segments[i].source;
        uint8_t *local = to_guest ? segments[i].source.virt : segments[i].dest.virt;

        assert(to_guest || segments[i].flags == GNTCOPY_source_gref);
        assert(granted->foreign.domid == DOMID);
        assert(segments[i].len && granted->foreign.offset + segments[i].len <= 4096);
        assert(local >= f->guest.window &&
               local + segments[i].len <= f->guest.window + GRANT_WIRE_WINDOW);
        if (!to_guest)
            memset(local, 0x5a, segments[i].len);
        segments[i].status = granted->foreign.ref & 1 ? f->gnt_status : 0;
    }
    errno = f->fails;
    return f->fails ? -1 : 0;
}

static void fake_close(void *handle)
{
}

static int fake_map(void *ctx, uint32_t domid, const uint32_t *refs, uint32_t count, int *ret_fd,
                    uint64_t *ret_offset)
{
    struct fuzz *f = ctx;
    uint32_t sum = 0;

    assert(domid == DOMID && count && count <= GRANT_MAP_MAX);
    for (uint32_t i = 0; i < count; i++)
        sum += refs[i];
    f->map_asked += count;
    f->ever += count;
    assert(f->ever <=
           GRANT_BROKER_BURST + (f->now_ns - f->start_ns) * GRANT_BROKER_REFILL / SECOND_NS);
    assert(f->mapped + count <= GRANT_XEN_MAPPED_MAX);
    if (f->fails)
        return -f->fails;
    *ret_fd = dup(0);
    *ret_offset = sum;
    return *ret_fd < 0 ? -errno : 0;
}

static uint64_t fake_now(void *ctx)
{
    const struct fuzz *f = ctx;

    return f->now_ns;
}

static const struct grant_xen_calls library = {.copy = fake_copy, .close = fake_close};
static const struct grant_broker_calls kernel = {.map = fake_map, .now_ns = fake_now};

/* ---- messages ---------------------------------------------------------------------------------*/

static void check_mapped(struct fuzz *f, const struct grant_broker_reply *reply, uint32_t count)
{
    assert(reply->length == sizeof(reply->mapped) && !reply->mapped.unused);
    assert((reply->fd >= 0) == (reply->mapped.error == 0) && reply->mapped.error <= 0);
    assert(!f->map_asked || f->map_asked == count);
    if (reply->mapped.error)
        return;
    assert(f->map_asked == count);
    f->mapped += count;
    close(reply->fd);
}

static void check_copied(const struct fuzz *f, const struct grant_broker_reply *reply,
                         const struct grant_wire_request *request)
{
    assert(f->asked == request->count && reply->fd < 0);
    assert(reply->length == request->count * sizeof(int32_t));
    for (uint32_t i = 0; i < request->count; i++) {
        int32_t status = reply->copied.status[i];

        assert(status <= 0 && status > -4096);
        if (f->fails)
            assert(status == -f->fails);
        else if (!(request->segment[i].ref & 1))
            assert(status == 0);
    }
}

static void message(struct fuzz *f, const struct grant_wire_request *request, size_t length)
{
    struct grant_broker_reply reply = {.length = 12345, .fd = -1};
    struct grant_broker_guest before = f->guest;
    struct grant_broker_bounds bounds = f->bounds;

    f->asked = f->map_asked = 0;
    if (!grant_broker_answer(&f->guest, request, length, &reply)) {
        assert(reply.length == 12345 && !f->asked && !f->map_asked);
        assert(!memcmp(&before, &f->guest, sizeof(before)));
        assert(!memcmp(&bounds, &f->bounds, sizeof(bounds)));
        return;
    }
    switch (request->kind) {
    case GRANT_WIRE_COPY:
        check_copied(f, &reply, request);
        break;
    case GRANT_WIRE_MAP:
        check_mapped(f, &reply, request->count);
        break;
    case GRANT_WIRE_UNMAP:
        assert(!reply.length && reply.fd < 0 && request->count <= f->mapped);
        f->mapped -= request->count;
        break;
    default:
        assert(false);
    }
}

/* The usual values, and now and then any. */
static void put_segment(struct script *script, struct grant_wire_segment *segment)
{
    uint8_t odd = take(script);

    *segment = (struct grant_wire_segment){
        .ref = take(script),
        .place = take16(script) * 16u,
        .offset = (uint16_t)(take(script) * 8u),
        .len = (uint16_t)(1 + take(script) * 8u),
        .to_guest = odd & 1,
    };
    if (odd < 0xf0)
        return;
    segment->place = take_n(script, 4);
    segment->offset = take16(script);
    segment->len = take16(script);
    segment->to_guest = take(script);
}

static void usual_message(struct fuzz *f, struct script *script)
{
    struct grant_wire_request request = {.kind = take(script) % 4u};
    uint8_t odd = take(script);
    size_t length;

    request.count = take(script) + 1u;
    for (uint32_t i = 0; i < request.count && script->size; i++) {
        if (request.kind == GRANT_WIRE_COPY)
            put_segment(script, &request.segment[i]);
        else if (request.kind == GRANT_WIRE_MAP)
            request.ref[i] = take(script);
        else
            break;
    }
    /* Those that the script had nothing for. */
    for (uint32_t i = 0; request.kind == GRANT_WIRE_COPY && i < request.count; i++)
        if (!request.segment[i].len && odd < 0xc0)
            request.segment[i].len = 1;
    length = grant_wire_size(request.kind, request.count);
    if (odd >= 0xe0)
        length = take16(script);
    if (odd >= 0xf0)
        request.count = take_n(script, 4);
    message(f, &request, length);
}

static void any_message(struct fuzz *f, struct script *script)
{
    struct grant_wire_request request = {0};
    size_t length = take16(script), there = length < script->size ? length : script->size;

    if (there > sizeof(request))
        there = sizeof(request);
    memcpy(&request, script->data, there);
    script->data += there;
    script->size -= there;
    message(f, &request, length);
}

static void step(struct fuzz *f, struct script *script)
{
    switch (take(script) % 8) {
    default:
        usual_message(f, script);
        break;
    case 4:
        any_message(f, script);
        break;
    case 5:
        f->now_ns += take16(script) * UINT64_C(10000000);
        break;
    case 6:
        f->fails = take(script) % 4 ? 0 : 1 + take(script) % 100;
        break;
    case 7:
        f->gnt_status = (int16_t) - (take(script) % 16);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {.start_ns = 5 * SECOND_NS, .now_ns = 5 * SECOND_NS};
    struct script script = {data, size};
    struct grant_xen *xen;
    int window_fd;

    assert(!grant_xen_open_with(&library, &f, &xen));
    grant_broker_bounds_init(&f.bounds, &kernel, &f);
    assert(!grant_broker_guest_open(&f.guest, xen, DOMID, &f.bounds, &kernel, &f, &window_fd));
    /* As if so many had been mapped and unmapped: few inputs get that far. */
    f.ever = take16(&script) % (GRANT_BROKER_BURST + 1);
    f.bounds.may_map -= (uint32_t)f.ever;
    for (unsigned i = 0; i < STEPS_MAX && script.size; i++)
        step(&f, &script);
    assert(f.guest.mapped == f.mapped && f.bounds.mapped == f.mapped);
    grant_broker_guest_close(&f.guest);
    grant_xen_close(xen);
    close(window_fd);
    return 0;
}
