/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/bufpio.h"

#include <assert.h>
#include <string.h>

/* How often an entry is looked at for a vCPU that is just leaving it; some 2 us. */
#define INSIDE_LOOKS 32u

_Static_assert(BUFPIO_PAGE <= UINT16_MAX, "offsets and lengths fit");

/* How many were answered between two readings of `activity`. */
static uint32_t accesses(uint32_t from, uint32_t to)
{
    return (to - from) / BUFPIO_ANSWER;
}

/* Nobody is inside. What was answered since the last time can be counted now, and only now: a
 * vCPU counts its access after it has moved the word. */
static void settle(struct bufpio *bufpio, struct bufpio_window *window, uint32_t activity)
{
    uint32_t answered = accesses(window->activity, activity);
    uint32_t least = window->uncounted / 4 + (window->uncounted % 4 != 0); /* of 4 bytes each */
    uint32_t most = window->uncounted / 2;

    window->activity = activity;
    window->uncounted = 0;
    if (answered < least || answered > most) {
        bufpio->counters.rejected++;
        answered = answered < least ? least : most;
    }
    bufpio->counters.answered += answered;
}

/* Disarmed before. True: no vCPU holds a word of an earlier arming, and none will get one. Pairs
 * with the release by which the last one left. */
static bool idle(struct bufpio *bufpio, unsigned index)
{
    uint32_t activity = __atomic_load_n(&bufpio->entry[index].activity, __ATOMIC_SEQ_CST);

    if (activity & BUFPIO_INSIDE)
        return false;
    settle(bufpio, &bufpio->window[index], activity);
    return true;
}

/* The same for one that is worth waiting for a moment, should a vCPU just be leaving. */
static bool idle_soon(struct bufpio *bufpio, unsigned index)
{
    for (unsigned look = 0; look < INSIDE_LOOKS; look++) {
        if (idle(bufpio, index))
            return true;
        __builtin_ia32_pause();
    }
    bufpio->counters.inside++;
    return false;
}

/* How many bytes of what was armed are through. 0 for what cannot be. */
static uint32_t moved(struct bufpio *bufpio, const struct bufpio_window *window, uint64_t word)
{
    uint32_t pointer = (uint32_t)(word >> 32);

    /* Strictly less: the last element is not the hypervisor's. */
    if ((uint32_t)word == window->offset && pointer < window->length && pointer % 2 == 0)
        return pointer;
    bufpio->counters.rejected++;
    return 0;
}

static void take_out(struct bufpio *bufpio, unsigned index)
{
    struct bufpio_window *window = &bufpio->window[index];
    const uint8_t *page = (const uint8_t *)bufpio->entry;
    /* Pairs with the hypervisor's exchange: who comes later finds 0. What vCPUs wrote is in the
     * page up to the pointer in the word. */
    uint64_t word = __atomic_exchange_n(&bufpio->entry[index].word, 0, __ATOMIC_SEQ_CST);
    uint32_t bytes = moved(bufpio, window, word);
    uint8_t copy[BUFPIO_PAGE]; /* the guest can write to the page while the device reads */

    window->armed = false;
    window->uncounted += bytes;
    bufpio->armed--;
    bufpio->counters.take_outs++;
    bufpio->counters.bytes += bytes;
    idle(bufpio, index); /* for the count; arm() asks again */
    if (!bytes)
        return;
    if (window->write) {
        memcpy(copy, page + window->offset, bytes);
        bus_port_write_block(bufpio->bus, window->port, 2, copy, bytes / 2);
    } else {
        bus_port_read_block(bufpio->bus, window->port, 2, copy, bytes / 2);
    }
}

void bufpio_take_out(struct bufpio *bufpio)
{
    for (unsigned i = 0; bufpio->armed && i < bufpio->entries; i++)
        if (bufpio->window[i].armed)
            take_out(bufpio, i);
}

static void set_single(struct bufpio *bufpio, struct bufpio_window *window, bool single)
{
    bufpio->singles += (unsigned)single - (unsigned)window->single;
    window->single = single;
}

void bufpio_access(struct bufpio *bufpio, uint64_t port, uint32_t size, bool string)
{
    if (!bufpio->entry || !port)
        return;
    for (unsigned i = 0; i < bufpio->entries; i++) {
        struct bufpio_window *window = &bufpio->window[i];

        if (window->port != port)
            continue;
        if (string || size == 2 || size == 4)
            set_single(bufpio, window, !string);
        return;
    }
}

/* The window of `port` before, if it had one and keeps its habits. */
static bool was_single(const struct bufpio_window *before, uint32_t entries, uint16_t port)
{
    for (uint32_t i = 0; i < entries; i++)
        if (before[i].port == port)
            return before[i].single;
    return false;
}

/* Gives each data port an entry and an equal share of the page behind the entries. All entries are
 * disarmed and idle, so the buffers are free to be dealt anew. */
static void assign(struct bufpio *bufpio)
{
    uint16_t ports[BUFPIO_ENTRIES_MAX + BUFPIO_ENTRIES_MIN];
    unsigned found = bus_data_ports(bufpio->bus, ports, sizeof(ports) / sizeof(ports[0]));
    struct bufpio_window before[BUFPIO_ENTRIES_MAX];
    uint32_t next = BUFPIO_ENTRIES_MIN, used = 0, first, room;

    memcpy(before, bufpio->window, sizeof(before));
    for (uint32_t i = 0; i < bufpio->entries; i++)
        bufpio->window[i].port = 0;
    for (unsigned i = 0; i < found; i++) {
        uint32_t index = ports[i] == BUFPIO_PORT_PRIMARY     ? BUFPIO_PRIMARY
                         : ports[i] == BUFPIO_PORT_SECONDARY ? BUFPIO_SECONDARY
                                                             : next;

        if (index == bufpio->entries)
            continue; /* more than was said there would be */
        next += index == next;
        bufpio->window[index].port = ports[i];
        used++;
    }
    first = bufpio->entries * (uint32_t)sizeof(struct bufpio_entry);
    room = used ? (BUFPIO_PAGE - first) / used & ~3u : 0;
    for (uint32_t i = 0; i < bufpio->entries; i++) {
        struct bufpio_window *window = &bufpio->window[i];
        uint32_t size = window->port ? room : 0;

        window->offset = (uint16_t)first;
        window->room = (uint16_t)size;
        first += size;
        set_single(bufpio, window,
                   window->port && was_single(before, bufpio->entries, window->port));
        __atomic_store_n(&bufpio->entry[i].buf_size, size, __ATOMIC_RELAXED);
        if (i >= BUFPIO_ENTRIES_MIN)
            __atomic_store_n(&bufpio->entry[i].port, window->port, __ATOMIC_RELAXED);
    }
}

/* After data ports came or went. False: not yet, a vCPU is inside somewhere. */
static bool update(struct bufpio *bufpio)
{
    uint32_t changes = bus_port_changes(bufpio->bus);

    if (!bufpio->stale && changes == bufpio->port_changes)
        return true;
    assert(!bufpio->armed); /* they change by accesses, before which all was taken out */
    bufpio->stale = true;
    for (unsigned i = 0; i < bufpio->entries; i++)
        if (!idle_soon(bufpio, i))
            return false;
    assign(bufpio);
    bufpio->stale = false;
    bufpio->port_changes = changes;
    return true;
}

static void arm(struct bufpio *bufpio, unsigned index)
{
    struct bufpio_window *window = &bufpio->window[index];
    struct bufpio_entry *entry = &bufpio->entry[index];
    uint8_t *buffer = (uint8_t *)bufpio->entry + window->offset;
    bool write = false;
    uint32_t length = bus_port_window(bufpio->bus, window->port, &write, buffer, 0);

    if (length > window->room)
        length = window->room;
    if (length <= 2)
        return; /* not one access would be answered */
    if (!idle_soon(bufpio, index))
        return;
    if (!write)
        bus_port_window(bufpio->bus, window->port, &write, buffer, length);
    __atomic_store_n(&entry->data_end, length, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->flags, (uint16_t)(write ? BUFPIO_WRITES : BUFPIO_READS),
                     __ATOMIC_RELAXED);
    /* Pairs with the hypervisor's load of the word: all of the above is there with it. */
    __atomic_store_n(&entry->word, (uint64_t)window->offset, __ATOMIC_RELEASE);
    window->length = (uint16_t)length;
    window->write = write;
    window->armed = true;
    bufpio->armed++;
    bufpio->counters.refills++;
}

void bufpio_arm(struct bufpio *bufpio)
{
    if (!bufpio->entry || !update(bufpio) || !bufpio->singles)
        return;
    for (unsigned i = 0; i < bufpio->entries; i++)
        if (bufpio->window[i].single && !bufpio->window[i].armed)
            arm(bufpio, i);
}

void bufpio_init(struct bufpio *bufpio, void *page, struct bus *bus, unsigned further)
{
    *bufpio = (struct bufpio){.bus = bus, .entry = page, .stale = true};
    if (!page)
        return;
    bufpio->entries = further < BUFPIO_ENTRIES_MAX - BUFPIO_ENTRIES_MIN
                          ? BUFPIO_ENTRIES_MIN + further
                          : BUFPIO_ENTRIES_MAX;
    for (unsigned i = 0; i < bufpio->entries; i++) {
        struct bufpio_entry *entry = &bufpio->entry[i];

        /* hv_shm: the page is the peer's, whatever was in it. */
        __atomic_exchange_n(&entry->word, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&entry->port, i ? 0 : (uint16_t)bufpio->entries, __ATOMIC_SEQ_CST);
        bufpio->window[i].activity =
            __atomic_load_n(&entry->activity, __ATOMIC_ACQUIRE) & ~BUFPIO_INSIDE;
    }
    update(bufpio);
}

void bufpio_finish(struct bufpio *bufpio)
{
    bufpio_take_out(bufpio);
    bufpio->entry = NULL;
}
