/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file that becomes a part of Xen (ioreq/hypervisor), compiled as it is over xen_rig.h: what
 * the lab shows on a real hypervisor, at the speed of this machine, with pages that cannot be left.
 */
#include "xen_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Both without their includes: tests/unit/meson.build. */
#include "bufpio_xen.h"

#include "bufpio_xen_code.h"

/* A domain with a server that claims both channels' data ports and another, and has a page. */
struct rig {
    struct domain domain, emulator;
    struct ioreq_server server, second;
    struct vcpu vcpu;
    struct bufpio_entry *entry;
    uint8_t *page;
    uint64_t random;
    uint32_t next, expected[2], moved, disarmed;
    uint32_t page_offset, data_end;
    bool armed, write;
    uint32_t moment; /* of the entry's move: so many accesses from now */
    bool entry_moved;
    uint32_t *taken; /* reads one at a time: how often each unit was given */
};

#define OTHER_PORT 0x310

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    mfn_t mfn;

    assert_non_null(rig);
    rig->server = (struct ioreq_server){
        .target = &rig->domain,
        .emulator = &rig->emulator,
        .enabled = true,
        .ports = {BUFPIO_PORT_PRIMARY, BUFPIO_PORT_SECONDARY, OTHER_PORT, 0xcfc},
    };
    rig->second = (struct ioreq_server){
        .target = &rig->domain,
        .emulator = &rig->emulator,
        .enabled = true,
        .ports = {BUFPIO_PORT_PRIMARY},
    };
    rig->domain.ioreq_server.server[2] = &rig->server;
    rig->vcpu.domain = &rig->domain;
    rig->random = 88172645463325252;
    current = &rig->vcpu;
    bufpio_init(&rig->domain);
    assert_int_equal(bufpio_get_frame(&rig->server, &mfn), 0);
    rig->page = ((const struct page_info *)mfn.page)->bytes;
    rig->entry = (struct bufpio_entry *)rig->page;
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    rig->server.enabled = false;
    bufpio_free(&rig->server);
    bufpio_free(&rig->server);
    free(rig);
    rig_pci_config = rig_pages_are_bad = false;
    assert_int_equal(rig_pages, 0);
    assert_int_equal(rig_references, 0);
    assert_int_equal(rig_mappings, 0);
    return 0;
}

/* An access as Xen makes it: true when the handler took it. */
static bool access_port(uint16_t port, uint32_t size, bool write, uint32_t *value)
{
    ioreq_t p = {
        .type = IOREQ_TYPE_PIO,
        .addr = port,
        .size = size,
        .count = 1,
        .dir = write ? IOREQ_WRITE : IOREQ_READ,
    };
    uint64_t data = 0;
    int rc;

    if (!rig_handler.ops->accept(&rig_handler, &p))
        return false;
    rc = write ? rig_handler.ops->write(&rig_handler, port, size, *value)
               : rig_handler.ops->read(&rig_handler, port, size, &data);
    assert_true(rc == X86EMUL_OKAY || rc == X86EMUL_UNHANDLEABLE);
    if (rc == X86EMUL_OKAY && !write)
        *value = (uint32_t)data;
    return rc == X86EMUL_OKAY;
}

static void arm(struct bufpio_entry *e, uint32_t page_offset, uint32_t pointer, uint32_t data_end)
{
    e->data_end = data_end;
    e->word = (uint64_t)pointer << 32 | page_offset;
}

/* Tests. */

static void a_page_is_made_once_zeroed_and_known(void **state)
{
    struct rig *rig = *state;
    mfn_t mfn;

    for (unsigned i = 0; i < PAGE_SIZE; i++)
        assert_int_equal(rig->page[i], 0);
    assert_int_equal(bufpio_get_frame(&rig->server, &mfn), 0);
    assert_ptr_equal(((const struct page_info *)mfn.page)->bytes, rig->page);
    assert_int_equal(rig_pages, 1);
    assert_true(bufpio_has_page(&rig->server, mfn.page));
    assert_false(bufpio_has_page(&rig->second, mfn.page));
}

static void a_page_that_cannot_be_had_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    mfn_t mfn;

    for (unsigned n = 1; n <= 3; n++) {
        rig_fail = n;
        assert_int_equal(bufpio_get_frame(&rig->second, &mfn), -ENOMEM);
        assert_int_equal(rig_fail, 0);
        assert_null(rig->second.bufpio);
        assert_int_equal(rig_pages, 1);
        assert_int_equal(rig_references, 1);
    }
    assert_int_equal(bufpio_get_frame(&rig->second, &mfn), 0);
    rig->second.enabled = false;
    bufpio_free(&rig->second);
}

static void an_emulator_is_never_given_a_page_of_doubtful_state(void **state)
{
    struct rig *rig = *state;
    mfn_t mfn = {NULL};

    rig_pages_are_bad = true;
    assert_int_equal(bufpio_get_frame(&rig->second, &mfn), -ENODATA);
    assert_true(rig->emulator.crashed);
    assert_null(rig->second.bufpio);
    assert_null(mfn.page);
    assert_int_equal(rig_pages, 2); /* which it keeps for good */
    put_page_alloc_ref(rig_bad_page);
}

static void only_single_words_of_armed_ports_are_accepted(void **state)
{
    struct rig *rig = *state;
    uint32_t value = 0;
    ioreq_t p = {
        .type = IOREQ_TYPE_PIO,
        .addr = BUFPIO_PORT_PRIMARY,
        .size = 2,
        .count = 1,
        .dir = IOREQ_READ,
    };

    assert_false(rig_handler.ops->accept(&rig_handler, &p));
    arm(&rig->entry[0], 1000, 0, 100);
    assert_true(rig_handler.ops->accept(&rig_handler, &p));
    p.data_is_ptr = 1;
    assert_false(rig_handler.ops->accept(&rig_handler, &p));
    p.count = 256;
    assert_false(rig_handler.ops->accept(&rig_handler, &p));
    p.data_is_ptr = 0;
    assert_false(rig_handler.ops->accept(&rig_handler, &p));
    assert_false(access_port(BUFPIO_PORT_PRIMARY, 1, false, &value));
    assert_false(access_port(BUFPIO_PORT_PRIMARY + 1, 2, false, &value));
    assert_false(access_port(BUFPIO_PORT_SECONDARY, 2, false, &value));
    assert_int_equal(rig->entry[0].word, 1000);
    assert_true(access_port(BUFPIO_PORT_PRIMARY, 4, false, &value));
    assert_int_equal(rig->entry[0].word, UINT64_C(4) << 32 | 1000);
    assert_int_equal(rig->entry[0].activity, BUFPIO_ANSWER);
}

static void flags_say_which_direction_is_answered(void **state)
{
    struct rig *rig = *state;
    uint32_t value = 0;

    arm(&rig->entry[1], 1000, 0, 100);
    rig->entry[1].flags = BUFPIO_READS;
    assert_true(access_port(BUFPIO_PORT_SECONDARY, 2, false, &value));
    assert_false(access_port(BUFPIO_PORT_SECONDARY, 2, true, &value));
    rig->entry[1].flags = BUFPIO_WRITES;
    assert_false(access_port(BUFPIO_PORT_SECONDARY, 2, false, &value));
    assert_true(access_port(BUFPIO_PORT_SECONDARY, 2, true, &value));
    rig->entry[1].flags = BUFPIO_FLAGS + 1;
    assert_false(access_port(BUFPIO_PORT_SECONDARY, 2, false, &value));
    assert_int_equal(rig->entry[1].word, UINT64_C(4) << 32 | 1000);
}

static void the_port_goes_to_the_server_that_a_request_would_go_to(void **state)
{
    struct rig *rig = *state;
    uint32_t value = 0;

    arm(&rig->entry[0], 1000, 0, 100);
    rig->domain.ioreq_server.server[5] = &rig->second;
    assert_false(access_port(BUFPIO_PORT_PRIMARY, 2, false, &value));
    rig->second.enabled = false;
    assert_true(access_port(BUFPIO_PORT_PRIMARY, 2, false, &value));
    rig->second.enabled = true;
    rig->domain.ioreq_server.server[5] = NULL;
    rig->domain.ioreq_server.server[1] = &rig->second;
    assert_true(access_port(BUFPIO_PORT_PRIMARY, 2, false, &value));
    rig->server.enabled = false;
    assert_false(access_port(BUFPIO_PORT_PRIMARY, 2, false, &value));
    rig->server.enabled = true;
    rig->server.ports[0] = 0;
    assert_false(access_port(BUFPIO_PORT_PRIMARY, 2, false, &value));
}

static void further_entries_answer_for_the_ports_they_name(void **state)
{
    struct rig *rig = *state;
    uint32_t value = 0;

    arm(&rig->entry[7], 1000, 0, 100);
    rig->entry[7].port = OTHER_PORT;
    assert_false(access_port(OTHER_PORT, 2, false, &value));
    rig->entry[0].port = 8;
    assert_true(access_port(OTHER_PORT, 2, false, &value));
    rig->entry[3].port = OTHER_PORT;
    assert_false(access_port(OTHER_PORT, 2, false, &value));
    rig->entry[3].port = 0;
    rig->entry[7].port = BUFPIO_PORT_PRIMARY;
    assert_false(access_port(BUFPIO_PORT_PRIMARY, 2, false, &value));
    rig->entry[7].port = 0;
    rig->server.ports[3] = 0;
    assert_false(access_port(0, 2, false, &value));
}

/* As when a device's BAR moves. */
static void entry_moves(void *ctx)
{
    struct rig *rig = ctx;

    if (!rig->moment || --rig->moment || rig->entry[2].activity & BUFPIO_INSIDE)
        return;
    rig->entry[2].word = 0;
    rig->entry[2].port = OTHER_PORT + 0x10;
    rig->entry[2].word = 1000;
    rig->entry_moved = true;
}

static void an_entry_that_moves_under_way_does_not_answer_at_its_old_port(void **state)
{
    struct rig *rig = *state;
    uint32_t value = 0, moved = 0;
    bool answered;

    rig->entry[0].port = 3;
    rig_meanwhile = entry_moves;
    rig_meanwhile_ctx = rig;
    for (uint32_t n = 1; n < 30; n++) {
        arm(&rig->entry[2], 500, 0, 100);
        rig->entry[2].port = OTHER_PORT;
        rig->moment = n;
        rig->entry_moved = false;
        answered = access_port(OTHER_PORT, 2, false, &value);
        assert_int_equal(answered, !rig->entry_moved);
        moved += rig->entry_moved;
    }
    rig_meanwhile = NULL;
    assert_true(moved > 4 && moved < 29);
}

static void a_port_that_configures_pci_is_never_answered(void **state)
{
    struct rig *rig = *state;
    uint32_t value = 0;

    arm(&rig->entry[2], 1000, 0, 100);
    rig->entry[0].port = 3;
    rig->entry[2].port = 0xcfc;
    assert_true(access_port(0xcfc, 4, false, &value));
    rig_pci_config = true;
    assert_false(access_port(0xcfc, 4, false, &value));
}

/* An emulator that keeps the rules, against two vCPUs; every unit of 16 bits is accounted for. */

#define UNITS 20000u

static uint64_t random_of(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void unit_written(struct rig *rig, uint16_t unit)
{
    uint32_t *expected = &rig->expected[unit >> 15];

    assert_int_equal(unit & 0x7fff, *expected & 0x7fff);
    ++*expected;
}

static void disarm(struct rig *rig)
{
    uint64_t word;
    uint32_t pointer;
    uint16_t unit;

    if (!rig->armed)
        return;
    word = __atomic_exchange_n(&rig->entry[0].word, 0, __ATOMIC_SEQ_CST);
    pointer = (uint32_t)(word >> 32);
    assert_int_equal((uint32_t)word, rig->page_offset);
    assert_true(pointer < rig->data_end);
    rig->armed = false;
    rig->disarmed++;
    rig->moved += pointer / 2;
    if (!rig->write)
        rig->next += pointer / 2;
    for (uint32_t at = 0; rig->write && at < pointer; at += 2) {
        memcpy(&unit, rig->page + rig->page_offset + at, sizeof(unit));
        unit_written(rig, unit);
    }
}

static void rearm(struct rig *rig)
{
    uint64_t random = random_of(&rig->random);

    if (__atomic_load_n(&rig->entry[0].activity, __ATOMIC_ACQUIRE) & BUFPIO_INSIDE)
        return;
    rig->page_offset = 48 + random % (rig_meanwhile ? 2 : 900);
    rig->data_end = 8 + (random >> 16 & 7 ? (random >> 32) % 60 : (random >> 32) % 3000);
    for (uint32_t at = 0, n = rig->next; at + 2 <= rig->data_end; at += 2, n++) {
        uint16_t unit = rig->write ? 0xdead : (uint16_t)n;

        memcpy(rig->page + rig->page_offset + at, &unit, sizeof(unit));
    }
    __atomic_store_n(&rig->entry[0].data_end, rig->data_end, __ATOMIC_RELAXED);
    __atomic_store_n(&rig->entry[0].word, rig->page_offset, __ATOMIC_RELEASE);
    rig->armed = true;
}

/*
 * In one thread: between any two accesses of one vCPU to the page the emulator may do one of its
 * own steps, or serve a request of the other vCPU, which cannot be inside as well.
 */

#define STEPS 300000u

static void other_vcpu_requests(struct rig *rig)
{
    disarm(rig);
    if (rig->write)
        unit_written(rig, (uint16_t)(0x8000 | (rig->expected[1] & 0x7fff)));
    else
        rig->taken[rig->next++]++;
}

static void emulator_steps(void *ctx)
{
    struct rig *rig = ctx;

    switch (random_of(&rig->random) % 64) {
    case 0:
        other_vcpu_requests(rig);
        break;
    case 1:
        disarm(rig);
        break;
    case 2: /* the same position again, with other bytes, if it is let */
        other_vcpu_requests(rig);
        rearm(rig);
        break;
    default:
        if (!rig->armed && random_of(&rig->random) % 4 == 0)
            rearm(rig);
    }
}

/* One access after the other; what is declined is a request, before which the emulator disarms. */
static void step_by_step(struct rig *rig)
{
    uint32_t inside = 0, sent = 0;

    rig_meanwhile = emulator_steps;
    rig_meanwhile_ctx = rig;
    for (uint32_t n = 0; n < STEPS; n++) {
        uint32_t size = random_of(&rig->random) & 1 ? 4 : 2, units = size / 2, value = 0;

        if (!rig->armed)
            rearm(rig);
        if (rig->write)
            value = (sent & 0x7fff) | ((sent + 1) & 0x7fff) << 16;
        if (access_port(BUFPIO_PORT_PRIMARY, size, rig->write, &value)) {
            inside++;
        } else {
            disarm(rig);
            if (!rig->write)
                value = (rig->next & 0xffff) | (rig->next + 1) << 16;
            for (uint32_t i = 0; rig->write && i < units; i++)
                unit_written(rig, (uint16_t)(value >> 16 * i));
            rig->next += rig->write ? 0 : units;
        }
        sent += units;
        for (uint32_t i = 0; !rig->write && i < units; i++) {
            /* Units are numbered in 16 bits; the one that is meant is not far from the last. */
            uint32_t unit = rig->next - 0x8000;

            unit += (uint16_t)((value >> 16 * i) - unit);
            rig->taken[unit]++;
        }
    }
    rig_meanwhile = NULL;
    disarm(rig);
    print_message("%u of %u accesses answered, disarmed %u times\n", inside, STEPS, rig->disarmed);
    assert_true(inside > STEPS / 4);
    if (rig->write)
        assert_int_equal(rig->expected[0], sent);
}

static void between_any_two_accesses_of_a_read_the_emulator_may_act(void **state)
{
    struct rig *rig = *state;

    /* Both vCPUs take at most as many as there are accesses of both, twice over. */
    rig->next = 0x10000;
    rig->taken = calloc(0x10000 + 40 * STEPS, sizeof(*rig->taken));
    assert_non_null(rig->taken);
    step_by_step(rig);
    for (uint32_t unit = 0x10000; unit < rig->next; unit++)
        assert_int_equal(rig->taken[unit], 1);
    free(rig->taken);
}

static void between_any_two_accesses_of_a_write_the_emulator_may_act(void **state)
{
    struct rig *rig = *state;

    rig->write = true;
    step_by_step(rig);
}

/* Requests: a mailbox that stands for the ioreq page. */
struct mailbox {
    uint32_t size, value;
    uint32_t full; /* atomic */
};

struct vcpu_thread {
    struct rig *rig;
    struct mailbox mailbox;
    struct vcpu vcpu;
    pthread_t thread;
    unsigned number;
    uint32_t size, done, inside;
    uint32_t *got; /* reads, by unit */
};

static uint32_t request(struct mailbox *mailbox, uint32_t size, uint32_t value)
{
    mailbox->size = size;
    mailbox->value = value;
    __atomic_store_n(&mailbox->full, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&mailbox->full, __ATOMIC_ACQUIRE))
        sched_yield();
    return mailbox->value;
}

static void *vcpu_runs(void *ctx)
{
    struct vcpu_thread *vcpu = ctx;

    current = &vcpu->vcpu;
    for (uint32_t n = 0; n < UNITS; n += vcpu->size / 2) {
        uint32_t tag = vcpu->number << 15, value = tag | (n & 0x7fff);

        if (vcpu->size == 4)
            value |= (tag | ((n + 1) & 0x7fff)) << 16;
        if (access_port(BUFPIO_PORT_PRIMARY, vcpu->size, vcpu->rig->write, &value))
            vcpu->inside++;
        else
            value = request(&vcpu->mailbox, vcpu->size, value);
        vcpu->got[n] = value & 0xffff;
        if (vcpu->size == 4)
            vcpu->got[n + 1] = value >> 16;
    }
    __atomic_store_n(&vcpu->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static bool serve(struct rig *rig, struct mailbox *mailbox)
{
    uint32_t units;

    if (!__atomic_load_n(&mailbox->full, __ATOMIC_ACQUIRE))
        return false;
    disarm(rig);
    units = mailbox->size / 2;
    if (rig->write) {
        for (uint32_t i = 0; i < units; i++)
            unit_written(rig, (uint16_t)(mailbox->value >> 16 * i));
    } else {
        mailbox->value = (rig->next & 0xffff) | (units == 2 ? (rig->next + 1) << 16 : 0);
        rig->next += units;
    }
    rig->moved += units;
    __atomic_store_n(&mailbox->full, 0, __ATOMIC_RELEASE);
    return true;
}

static void run_stream(struct rig *rig, struct vcpu_thread vcpus[2], bool write)
{
    bool run = true;

    rig->write = write;
    for (unsigned i = 0; i < 2; i++) {
        vcpus[i] = (struct vcpu_thread){
            .rig = rig,
            .vcpu.domain = &rig->domain,
            .number = i,
            .size = i ? 4 : 2,
            .got = calloc(UNITS, sizeof(uint32_t)),
        };
        assert_non_null(vcpus[i].got);
        assert_int_equal(pthread_create(&vcpus[i].thread, NULL, vcpu_runs, &vcpus[i]), 0);
    }
    while (run) {
        run = false;
        for (unsigned i = 0; i < 2; i++) {
            serve(rig, &vcpus[i].mailbox);
            run |= !__atomic_load_n(&vcpus[i].done, __ATOMIC_ACQUIRE);
        }
        if (!rig->armed)
            rearm(rig);
        else if (random_of(&rig->random) % 64 == 0)
            disarm(rig);
        else if (random_of(&rig->random) % 512 == 0)
            sched_yield();
    }
    disarm(rig);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(vcpus[i].thread, NULL);
    assert_int_equal(rig->moved, 2 * UNITS);
    assert_true(rig->disarmed > 100);
    print_message("%u and %u accesses answered, disarmed %u times\n", vcpus[0].inside,
                  vcpus[1].inside, rig->disarmed);
    assert_true(vcpus[0].inside > UNITS / 100 && vcpus[1].inside > UNITS / 100);
}

static void two_vcpus_that_read_get_every_unit_once_and_in_order(void **state)
{
    struct rig *rig = *state;
    struct vcpu_thread vcpus[2];
    uint32_t at[2] = {0, 0};

    run_stream(rig, vcpus, false);
    /* Merged by number they are 0, 1, 2, ... */
    for (uint32_t n = 0; n < 2 * UNITS; n++) {
        unsigned who = at[0] < UNITS && vcpus[0].got[at[0]] == (n & 0xffff) ? 0 : 1;

        assert_true(at[who] < UNITS);
        assert_int_equal(vcpus[who].got[at[who]], n & 0xffff);
        at[who]++;
    }
    free(vcpus[0].got);
    free(vcpus[1].got);
}

static void two_vcpus_that_write_lose_and_misplace_nothing(void **state)
{
    struct rig *rig = *state;
    struct vcpu_thread vcpus[2];

    run_stream(rig, vcpus, true);
    assert_int_equal(rig->expected[0], UNITS);
    assert_int_equal(rig->expected[1], UNITS);
    free(vcpus[0].got);
    free(vcpus[1].got);
}

/* One that keeps no rule. What is outside the page kills the test. */

static uint32_t bad_value(uint64_t random, uint32_t limit)
{
    static const uint32_t borders[] = {0,          1,          47,         48,         191,
                                       192,        4092,       4094,       4096,       0x7fffffff,
                                       0x80000000, 0xfffff000, 0xfffffff0, 0xfffffffe, 0xffffffff};

    return random & 3 ? (uint32_t)(random >> 8) % limit
                      : borders[(random >> 8) % ARRAY_SIZE(borders)];
}

/* Something of an entry, between two accesses of a vCPU. */
static void emulator_spoils(void *ctx)
{
    struct rig *rig = ctx;
    uint64_t r = random_of(&rig->random);
    struct bufpio_entry *e = &rig->entry[r >> 32 & (BUFPIO_ENTRIES_MAX - 1)];
    uint32_t half;

    switch (r & 15) {
    case 0:
    case 1:
        e->word = (uint64_t)bad_value(random_of(&rig->random), 64) << 32 |
                  bad_value(random_of(&rig->random), PAGE_SIZE);
        break;
    case 2:
        half = bad_value(random_of(&rig->random), PAGE_SIZE);
        memcpy((uint8_t *)&e->word + (r >> 8 & 4), &half, sizeof(half));
        break;
    case 3:
        e->data_end = bad_value(random_of(&rig->random), 1024);
        break;
    case 4:
        e->flags = r >> 8 & r >> 16 & r >> 20 & 7;
        break;
    case 5:
        e->activity = (uint32_t)(r >> 8);
        if (e != rig->entry)
            e->port = r & 0x80 ? OTHER_PORT : (uint16_t)(r >> 36);
        break;
    default:; /* or nothing */
    }
}

static void a_hostile_emulator_keeps_no_access_from_staying_in_the_page(void **state)
{
    static const uint16_t ports[] = {BUFPIO_PORT_PRIMARY, BUFPIO_PORT_SECONDARY, OTHER_PORT};
    struct rig *rig = *state;
    uint32_t answered = 0, activity = 0;

    memset(rig->page + 24 * BUFPIO_ENTRIES_MAX, 0xa5, PAGE_SIZE - 24 * BUFPIO_ENTRIES_MAX);
    rig->entry[0].port = BUFPIO_ENTRIES_MAX;
    rig_meanwhile = emulator_spoils;
    rig_meanwhile_ctx = rig;
    for (uint32_t n = 0; n < 1000000; n++) {
        uint64_t r = random_of(&rig->random);
        uint32_t size = r & 1 ? 4 : 2, value = 0xa5a5a5a5;

        if (!access_port(ports[(r >> 8) % ARRAY_SIZE(ports)], size, r & 2, &value))
            continue;
        answered++;
        /* Behind all entries there is nothing else, and nothing else was written there. */
        assert_int_equal(value, r & 2 || size == 4 ? 0xa5a5a5a5 : 0xa5a5);
    }
    rig_meanwhile = NULL;
    print_message("%u accesses answered\n", answered);
    for (unsigned i = 0; i < BUFPIO_ENTRIES_MAX; i++)
        activity += rig->server.bufpio->own[i].activity / BUFPIO_ANSWER;
    assert_int_equal(activity, answered);
    assert_true(answered > 10000);
    for (unsigned i = 24 * BUFPIO_ENTRIES_MAX; i < PAGE_SIZE; i++)
        assert_int_equal(rig->page[i], 0xa5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_page_is_made_once_zeroed_and_known, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_that_cannot_be_had_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(an_emulator_is_never_given_a_page_of_doubtful_state, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_single_words_of_armed_ports_are_accepted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(flags_say_which_direction_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(the_port_goes_to_the_server_that_a_request_would_go_to,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(further_entries_answer_for_the_ports_they_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            an_entry_that_moves_under_way_does_not_answer_at_its_old_port, setup, teardown),
        cmocka_unit_test_setup_teardown(a_port_that_configures_pci_is_never_answered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(between_any_two_accesses_of_a_read_the_emulator_may_act,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(between_any_two_accesses_of_a_write_the_emulator_may_act,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(two_vcpus_that_read_get_every_unit_once_and_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(two_vcpus_that_write_lose_and_misplace_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_hostile_emulator_keeps_no_access_from_staying_in_the_page,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
