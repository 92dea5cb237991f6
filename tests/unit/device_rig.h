/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One device on a bus of its own, in a fake host.
 *
 *     rig_init(&rig);  [change rig.spec]  rig_create(&rig, piix4_pm_create);  ... rig_finish(&rig);
 */
#ifndef IOEMUD_TESTS_DEVICE_RIG_H
#define IOEMUD_TESTS_DEVICE_RIG_H

#include "devices/models.h"
#include "tests/unit/fake_host.h"

struct rig {
    struct fake_host fake;
    struct bus *bus;
    struct machine_spec spec;
    struct dev_env env;
    int (*create)(const struct dev_env *env, struct dev **ret_dev);
    struct dev *dev;
};

void rig_init(struct rig *rig);
void rig_create(struct rig *rig, int (*create)(const struct dev_env *env, struct dev **ret_dev));
/* Destroys the device; its ranges must be gone. */
void rig_finish(struct rig *rig);

/* Saves the device, puts a new one in its place, loads it and asserts that it saves the same. */
void rig_reload(struct rig *rig);
/* Asserts that the device refuses (-EBADMSG) or survives its own state with each byte replaced by
 * hostile ones, and refuses it cut short at every length. `poke` uses a device that took one. */
void rig_hostile_states(struct rig *rig, void (*poke)(struct rig *rig));

uint64_t rig_in(struct rig *rig, uint16_t port, unsigned size);
void rig_out(struct rig *rig, uint16_t port, unsigned size, uint64_t value);

#endif
