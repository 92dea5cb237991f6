/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypervisor's side of the buffered PIO page, step by step as ioreq/bufpio_abi.h has it: for the
 * peer library and for tests that have a page only. Any number of threads, as vCPUs.
 */
#ifndef IOEMUD_TESTS_PEER_HV_BUFPIO_H
#define IOEMUD_TESTS_PEER_HV_BUFPIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "ioreq/bufpio_abi.h"

struct hv_bufpio {
    struct bufpio_page *page;
    struct {
        pthread_mutex_t lock;
        uint32_t activity;
    } entry[BUFPIO_ENTRIES_MAX];
    uint64_t answered, declined; /* atomic; declined: requests whose port has an entry */
};

void hv_bufpio_init(struct hv_bufpio *hv, struct bufpio_page *page);
void hv_bufpio_finish(struct hv_bufpio *hv);
/* A single IN (into *value) or OUT (of *value). False: the device model is to be asked. */
bool hv_bufpio_access(struct hv_bufpio *hv, uint16_t port, unsigned size, bool write,
                      uint32_t *value);

#endif
