/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One device of a guest. A model embeds struct dev first in its own struct and fills it in its
 * create function; the machine (devices/machine.h) owns devices and walks them in creation order
 * (reset, save, load) or in reverse (destroy).
 */
#ifndef IOEMUD_DEVICES_DEV_H
#define IOEMUD_DEVICES_DEV_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/host.h"
#include "devices/state.h"

struct dev;

/* A named counter of a device, read by the statistics; `value` is written by the worker only. */
struct dev_counter {
    const char *name; /* in the field's terms, snake_case */
    const uint64_t *value;
};

struct dev_ops {
    const char *model; /* as in configuration, state and logs */
    uint32_t version;  /* of the saved state, counted from 1 */

    /* Hardware reset (RST#, as at power-on). May be NULL. */
    void (*reset)(struct dev *dev);
    /* Stops starting new work; true when nothing is in flight. Called again after each completion
     * until it says true; resume() undoes it. NULL: never has anything in flight. */
    bool (*quiesce)(struct dev *dev);
    void (*resume)(struct dev *dev);
    /* Between the machine's state_begin and state_end; the device must be quiesced. */
    void (*save)(const struct dev *dev, struct state_writer *writer);
    /* Into a freshly created device. On an error the device is destroyed, never used. */
    void (*load)(struct dev *dev, struct state_reader *reader, uint32_t version);
    /* Releases ranges, orphans requests, frees. */
    void (*destroy)(struct dev *dev);
};

struct dev {
    const struct dev_ops *ops;
    const char *name;                   /* of this instance: "ide0", "uart0" */
    uint32_t instance;                  /* tells two of one model apart in saved state */
    const struct dev_counter *counters; /* may be NULL */
    unsigned n_counters;
    /* How many data ports (bus.h) it may have at a time, beside those at 0x1f0 and 0x170. */
    unsigned data_ports;
};

#endif
