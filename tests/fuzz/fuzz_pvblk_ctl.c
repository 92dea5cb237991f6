/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store that a guest and a toolstack write to in any order, against the negotiation of PV disks.
 *
 * Input: actions. Invariants, each an assert:
 *  - rings are connected only with numbers that were offered, and only after a disconnection ended
 *  - connect and disconnect alternate; the device says Connected only while rings are
 *  - nothing is written into a directory that the toolstack has removed
 *  - gone is told once, and only of what is offline or removed
 *  - whatever has happened: offline, and without a frontend, the device ends
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/pv/pvblk_ctl.h"
#include "tests/fuzz/script.h"
#include "tests/unit/fake_store.h"

#define BACK  "/local/domain/0/backend/vbd/7/51712"
#define FRONT "/local/domain/7/device/vbd/51712"

#define MAX_ACTIONS 300u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
    struct fake_store store;
    struct pvblk_ctl *ctl;
    unsigned connecting; /* answers that are owed */
    bool up, draining, gone;
};

static void on_connect(void *ctx, const struct pvblk_rings *rings)
{
    struct target *target = ctx;

    assert(!target->up && !target->draining && !target->gone);
    assert(rings->n_queues >= 1 && rings->n_queues <= 3);
    assert(rings->ring_order <= PVBLK_RING_ORDER);
    assert(rings->protocol <= BLKIF_X86_64);
    for (unsigned i = 0; i < rings->n_queues; i++)
        assert(rings->queue[i].event_channel);
    target->connecting++;
    target->up = true;
}

static void on_disconnect(void *ctx)
{
    struct target *target = ctx;

    assert(target->up && !target->draining);
    target->up = false;
    target->draining = true;
}

static void on_gone(void *ctx)
{
    struct target *target = ctx;
    const char *online = fake_store_get(&target->store, BACK, "online");

    assert(!target->gone && !target->up && !target->draining);
    assert(!fake_store_get(&target->store, BACK, "state") || !online || strcmp(online, "1"));
    target->gone = true;
}

static void on_log(void *ctx, const char *what, const char *why)
{
    assert(*what && *why);
}

static const struct pvblk_ctl_ops ops = {
    .connect = on_connect, .disconnect = on_disconnect, .gone = on_gone, .log = on_log};

static const char *const nodes[] = {
    "state",
    "protocol",
    "multi-queue-num-queues",
    "ring-page-order",
    "ring-ref",
    "ring-ref0",
    "ring-ref1",
    "event-channel",
    "queue-0/ring-ref",
    "queue-0/event-channel",
    "queue-1/ring-ref",
    "queue-1/event-channel",
    "queue-1/ring-ref0",
    "queue-2/ring-ref",
    "queue-2/event-channel",
};

static void set_front(struct target *target, struct script *script)
{
    static const char *const values[] = {"0", "1", "2",  "3",          "4",          "5",
                                         "6", "8", "31", "x86_32-abi", "x86_64-abi", "4294967295"};
    const char *node = nodes[take(script) % (sizeof(nodes) / sizeof(nodes[0]))];
    uint8_t which = take(script), bytes[128];
    unsigned n = 0;

    if (which < 200) {
        fake_store_set(&target->store, FRONT, node,
                       values[which % (sizeof(values) / sizeof(values[0]))]);
        return;
    }
    for (unsigned len = which - 200u; n < len && script->size; n++)
        bytes[n] = take(script);
    fake_store_set_bytes(&target->store, FRONT, node, bytes, n);
}

static void front_state(struct target *target, unsigned state)
{
    char text[2] = {(char)('0' + state), 0};

    fake_store_set(&target->store, FRONT, "state", text);
}

static void answer(struct target *target, uint8_t how)
{
    if (target->connecting && (how & 1 || !target->draining)) {
        int error = how & 2 ? -EACCES : 0;

        target->connecting--;
        if (error && !target->draining)
            target->up = false;
        pvblk_ctl_connected(target->ctl, error);
    } else if (target->draining) {
        target->draining = false;
        target->connecting = 0; /* in order: what was owed came before */
        pvblk_ctl_drained(target->ctl);
    }
}

static void act(struct target *target, struct script *script)
{
    struct fake_store *store = &target->store;
    uint8_t action = take(script);
    unsigned writes = store->writes;
    bool removed = !fake_store_get(store, BACK, "state");

    switch (action & 15) {
    case 0:
    case 1:
    case 2:
        set_front(target, script);
        break;
    case 3:
        front_state(target, action >> 4 & 7);
        pvblk_ctl_event(target->ctl);
        break;
    case 4:
        answer(target, action >> 4);
        break;
    case 5:
        pvblk_ctl_broken(target->ctl, "fuzz");
        break;
    case 6:
        fake_store_set(store, BACK, "online", action & 16 ? "1" : "0");
        if (action & 32 && !removed)
            fake_store_set(store, BACK, "state", "5");
        break;
    case 7:
        fake_store_remove(store, FRONT);
        break;
    case 8:
        if ((action >> 4) == 15)
            fake_store_remove(store, BACK);
        break;
    case 9:
        pvblk_ctl_resized(target->ctl, take16(script));
        break;
    case 10: /* one that is well */
        fake_store_remove(store, FRONT);
        fake_store_set(store, FRONT, "ring-ref", "8");
        fake_store_set(store, FRONT, "event-channel", "3");
        front_state(target, 3);
        pvblk_ctl_event(target->ctl);
        break;
    default:
        pvblk_ctl_event(target->ctl);
    }
    if (removed)
        assert(store->writes == writes);
    if (!removed && pvblk_ctl_state(target->ctl) == XENBUS_CONNECTED)
        assert(target->up);
}

static void end(struct target *target)
{
    fake_store_remove(&target->store, FRONT);
    if (fake_store_get(&target->store, BACK, "state")) {
        fake_store_set(&target->store, BACK, "online", "0");
        fake_store_set(&target->store, BACK, "state", "5");
    }
    for (unsigned i = 0; i < 8 && !target->gone; i++) {
        pvblk_ctl_event(target->ctl);
        answer(target, 0);
    }
    assert(target->gone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target target; /* large */
    struct script script = {data, size};
    struct pvblk_ctl_params params = {
        .bus = &target.store.bus,
        .backend = BACK,
        .frontend_id = 7,
        .max_queues = 3,
        .disk = {.sectors = 4096, .physical_block = 512},
        .ops = &ops,
        .ctx = &target,
    };

    memset(&target, 0, sizeof(target));
    fake_store_init(&target.store);
    fake_store_set(&target.store, BACK, "frontend", FRONT);
    fake_store_set(&target.store, BACK, "frontend-id", "7");
    fake_store_set(&target.store, BACK, "online", "1");
    fake_store_set(&target.store, BACK, "state", "1");
    fake_store_set(&target.store, FRONT, "state", "1");
    assert(!pvblk_ctl_create(&params, &target.ctl));
    for (unsigned i = 0; i < MAX_ACTIONS && script.size; i++)
        act(&target, &script);
    end(&target);
    pvblk_ctl_destroy(target.ctl);
    return 0;
}
