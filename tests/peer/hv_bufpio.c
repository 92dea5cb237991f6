/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/peer/hv_bufpio.h"

#include <string.h>

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
static bool inside(struct bufpio_page *page, uint32_t entries, uint32_t index, uint16_t port,
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
        memcpy((uint8_t *)page + bufpio_at(word), value, size);
    else
        memcpy(value, (uint8_t *)page + bufpio_at(word), size);
    return __atomic_compare_exchange_n(&entry->word, &word, next, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

bool hv_bufpio_access(struct hv_bufpio *hv, uint16_t port, unsigned size, bool write,
                      uint32_t *value)
{
    struct bufpio_entry *entry = (struct bufpio_entry *)(void *)hv->page;
    uint32_t moving = write ? *value : 0, entries = bufpio_entries(LOAD(entry[0].port));
    uint32_t index = find(entry, entries, port);
    bool answered;

    if (index == entries || (size != 2 && size != 4))
        return false;
    pthread_mutex_lock(&hv->entry[index].lock);
    __atomic_store_n(&entry[index].activity, hv->entry[index].activity | BUFPIO_INSIDE,
                     __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    answered = inside(hv->page, entries, index, port, size, write, &moving);
    if (answered)
        hv->entry[index].activity += BUFPIO_ANSWER;
    __atomic_store_n(&entry[index].activity, hv->entry[index].activity, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&hv->entry[index].lock);
    __atomic_fetch_add(answered ? &hv->answered : &hv->declined, 1, __ATOMIC_RELAXED);
    if (answered && !write)
        *value = moving;
    return answered;
}

void hv_bufpio_init(struct hv_bufpio *hv, struct bufpio_page *page)
{
    *hv = (struct hv_bufpio){.page = page};
    for (unsigned i = 0; i < BUFPIO_ENTRIES_MAX; i++)
        pthread_mutex_init(&hv->entry[i].lock, NULL);
}

void hv_bufpio_finish(struct hv_bufpio *hv)
{
    for (unsigned i = 0; i < BUFPIO_ENTRIES_MAX; i++)
        pthread_mutex_destroy(&hv->entry[i].lock);
}
