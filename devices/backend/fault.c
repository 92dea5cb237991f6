// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "devices/backend/images.h"

#define SEED UINT64_C(0x9e3779b97f4a7c15)

/* blk_req.mark: what was decided about a request when it was new. Sectors are fewer than 2^55. */
#define MARK_GOOD  UINT64_C(1)
#define MARK_RANGE UINT64_C(2) /* all of the options' sectors are bad */
#define MARK_ONE   UINT64_C(3) /* this and more: sector mark - MARK_ONE is */

struct fault {
    struct blk_image image; /* first */
    struct blk_image *inner;
    struct fault_options options;
    uint64_t met;   /* requests that were meant */
    uint32_t fired; /* of those, how many failed */
    uint64_t random;
    struct fault_list {
        struct blk_req *first, **last; /* linked by backend[0] */
    } failing, waiting;                /* waiting: the longest first, until backend[1] */
    struct loop_task task;
    int timer_fd;
    struct loop_watch *timer_watch;
};

static struct blk_req **link_of(struct blk_req *req)
{
    return (struct blk_req **)&req->backend[0];
}

/* When it may go on, CLOCK_MONOTONIC. */
static uint64_t *due_of(struct blk_req *req)
{
    return (uint64_t *)&req->backend[1];
}
_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a time fits in scratch space");

static void append(struct fault_list *list, struct blk_req *req)
{
    *link_of(req) = NULL;
    *list->last = req;
    list->last = link_of(req);
}

static struct blk_req *pop(struct fault_list *list)
{
    struct blk_req *req = list->first;
    list->first = *link_of(req);
    if (!list->first)
        list->last = &list->first;
    return req;
}

/* xorshift64: the same faults in each run. */
static uint64_t next_random(struct fault *fault)
{
    fault->random ^= fault->random << 13;
    fault->random ^= fault->random >> 7;
    fault->random ^= fault->random << 17;
    return fault->random;
}

/* The sectors of what is to be moved; of a flush, all. */
static void range_of(const struct fault *fault, const struct blk_req *req, uint64_t *ret_first,
                     uint64_t *ret_last)
{
    bool flush = req->op == BLK_FLUSH;
    *ret_first = flush ? 0 : req->sector;
    *ret_last = flush ? fault->image.info.sectors - 1 : req->sector + req->bytes / BLK_SECTOR - 1;
}

static bool is_meant(const struct fault *fault, const struct blk_req *req)
{
    static const unsigned bit[] = {[BLK_READ] = FAULT_READ,
                                   [BLK_WRITE] = FAULT_WRITE,
                                   [BLK_FLUSH] = FAULT_FLUSH,
                                   [BLK_DISCARD] = FAULT_DISCARD};
    const struct fault_options *options = &fault->options;
    uint64_t first, last;
    range_of(fault, req, &first, &last);
    return (options->ops & bit[req->op]) && first <= options->last && last >= options->first;
}

static uint64_t decide(struct fault *fault, const struct blk_req *req)
{
    const struct fault_options *options = &fault->options;
    uint64_t first, last;
    if (!options->every || ++fault->met % options->every ||
        (options->count && fault->fired == options->count))
        return MARK_GOOD;
    fault->fired++;
    if (options->every == 1)
        return MARK_RANGE;
    range_of(fault, req, &first, &last);
    first = first > options->first ? first : options->first;
    last = last < options->last ? last : options->last;
    return MARK_ONE + first + next_random(fault) % (last - first + 1);
}

static bool is_bad(const struct fault *fault, const struct blk_req *req)
{
    uint64_t first, last;
    if (req->mark == MARK_GOOD)
        return false;
    if (req->mark == MARK_RANGE)
        return is_meant(fault, req);
    range_of(fault, req, &first, &last);
    return first <= req->mark - MARK_ONE && req->mark - MARK_ONE <= last;
}

/* Errors never come inline. */
static void go_on(struct fault *fault, struct blk_req *req)
{
    if (!is_bad(fault, req)) {
        fault->inner->ops->submit(fault->inner, req);
        return;
    }
    append(&fault->failing, req);
    fault->image.loop->ops->defer(fault->image.loop->ctx, &fault->task);
}

/* What comes back in parts meanwhile waits for the next turn. The image lives until its last
 * request is done, so `fault` may be gone only when the list is at its end. */
static void run_task(void *arg)
{
    struct fault *fault = arg;
    int error = fault->options.error;
    struct blk_req *req = fault->failing.first, *next;
    fault->failing.first = NULL;
    fault->failing.last = &fault->failing.first;
    for (; req; req = next) {
        next = *link_of(req);
        blk_image_done(req, error);
    }
}

static uint64_t now_ns(const struct fault *fault)
{
    return fault->image.loop->ops->now_ns(fault->image.loop->ctx);
}

static void arm(struct fault *fault)
{
    uint64_t due = *due_of(fault->waiting.first);
    struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)}};
    timerfd_settime(fault->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void on_timer(void *arg, unsigned events)
{
    struct fault *fault = arg;
    uint64_t count, now = now_ns(fault);
    ssize_t n = read(fault->timer_fd, &count, sizeof(count));
    (void)n; /* the clock says what is due */
    while (fault->waiting.first && *due_of(fault->waiting.first) <= now)
        go_on(fault, pop(&fault->waiting));
    if (fault->waiting.first)
        arm(fault);
}

static void fault_submit(struct blk_image *image, struct blk_req *req)
{
    struct fault *fault = (struct fault *)image;
    uint32_t delay_ms = fault->options.delay_ms;
    if (req->mark) {
        go_on(fault, req);
        return;
    }
    bool meant = is_meant(fault, req);
    req->mark = meant ? decide(fault, req) : MARK_GOOD;
    if (!meant || !delay_ms) {
        go_on(fault, req);
        return;
    }
    *due_of(req) = now_ns(fault) + delay_ms * UINT64_C(1000000);
    append(&fault->waiting, req);
    if (fault->waiting.first == req)
        arm(fault);
}

static void fault_close(struct blk_image *image)
{
    struct fault *fault = (struct fault *)image;
    const struct loop *loop = image->loop;
    loop->ops->undefer(loop->ctx, &fault->task);
    loop->ops->unwatch(loop->ctx, fault->timer_watch);
    close(fault->timer_fd);
    fault->inner->ops->close(fault->inner);
    free(fault);
}

static const struct blk_backend_ops fault_ops = {
    .name = "fault",
    .submit = fault_submit,
    .close = fault_close,
};

int fault_open(struct blk_image *inner, const struct fault_options *options,
               struct blk_image **ret_image)
{
    assert(options->error < 0 || !options->every);
    const struct loop *loop = inner->loop;
    struct fault *fault = calloc(1, sizeof(*fault));
    if (!fault)
        return -ENOMEM;
    fault->image = (struct blk_image){
        .ops = &fault_ops, .info = inner->info, .loop = loop, .pool = inner->pool};
    fault->inner = inner;
    fault->options = *options;
    fault->random = SEED;
    fault->failing.last = &fault->failing.first;
    fault->waiting.last = &fault->waiting.first;
    fault->task = (struct loop_task){.run = run_task, .arg = fault};
    int error;
    fault->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fault->timer_fd < 0) {
        error = -errno;
        goto free_fault;
    }
    error = loop->ops->watch(loop->ctx, fault->timer_fd, LOOP_READ, on_timer, fault,
                             &fault->timer_watch);
    if (error)
        goto close_timer;
    *ret_image = &fault->image;
    return 0;

close_timer:
    close(fault->timer_fd);
free_fault:
    free(fault);
    return error;
}
