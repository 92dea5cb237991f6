/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's side of the buffered PIO page, step by step as ioreq/bufpio_abi.h has it. */
#include <string.h>

#include "tests/peer/peer_priv.h"

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* The fixed ports by their place, others by what their entries say; `entries` if none does. */
static uint32_t find(const struct bufpio_entry *entry, uint32_t entries, uint16_t port)
{
    if (port == BUFPIO_PORT_PRIMARY)
        return BUFPIO_PRIMARY;
    if (port == BUFPIO_PORT_SECONDARY)
        return BUFPIO_SECONDARY;
    for (uint32_t i = BUFPIO_ENTRIES_MIN; i < entries && port; i++)
        if (LOAD(entry[i].port) == port)
            return i;
    return entries;
}

/* With the entry's lock, and `activity` saying so. */
static bool access_inside(uint8_t *page, uint32_t entries, uint32_t index, uint16_t port,
                          unsigned size, bool write, uint32_t *value)
{
    struct bufpio_entry *entry = (struct bufpio_entry *)(void *)page + index;
    uint64_t word = __atomic_load_n(&entry->word, __ATOMIC_ACQUIRE), next;

    if (!word || (index >= BUFPIO_ENTRIES_MIN && LOAD(entry->port) != port))
        return false;
    next = bufpio_advance(word, LOAD(entry->data_end), LOAD(entry->flags), entries, size, write);
    if (!next)
        return false;
    if (write)
        memcpy(page + bufpio_at(word), value, size);
    else
        memcpy(value, page + bufpio_at(word), size);
    return __atomic_compare_exchange_n(&entry->word, &word, next, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

bool peer_bufpio(struct peer *peer, uint16_t port, unsigned size, bool write, uint32_t *value)
{
    uint8_t *page = (uint8_t *)&peer->pages->bufpio;
    struct bufpio_entry *entry = peer->pages->bufpio.entry;
    uint32_t moving = write ? *value : 0, entries, index;
    struct peer_entry *own;
    bool answered;

    if (!(peer->features & HV_SHM_FEATURE_BUFFERED_PIO) || (size != 2 && size != 4))
        return false;
    entries = bufpio_entries(LOAD(entry[0].port));
    index = find(entry, entries, port);
    if (index == entries)
        return false;
    own = &peer->entry[index];
    pthread_mutex_lock(&own->lock);
    __atomic_store_n(&entry[index].activity, own->activity | BUFPIO_INSIDE, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    answered = access_inside(page, entries, index, port, size, write, &moving);
    if (answered)
        own->activity += BUFPIO_ANSWER;
    __atomic_store_n(&entry[index].activity, own->activity, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&own->lock);
    __atomic_fetch_add(answered ? &peer->bufpio.answered : &peer->bufpio.declined, 1,
                       __ATOMIC_RELAXED);
    if (answered && !write)
        *value = moving;
    return answered;
}

void peer_bufpio_counters(struct peer *peer, struct peer_bufpio *ret_counters)
{
    ret_counters->answered = LOAD(peer->bufpio.answered);
    ret_counters->declined = LOAD(peer->bufpio.declined);
}

struct bufpio_page *peer_bufpio_page(struct peer *peer)
{
    return &peer->pages->bufpio;
}
