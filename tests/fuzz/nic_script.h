/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The step that is the same for every NIC. */
#ifndef IOEMUD_TESTS_FUZZ_NIC_SCRIPT_H
#define IOEMUD_TESTS_FUZZ_NIC_SCRIPT_H

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/script.h"
#include "tests/unit/nic_rig.h"

/* Another machine takes over a state of which `changes` bytes are made up: it is refused, and then
 * the true one is not, or as good as any other. It is for the caller to resume it. */
static inline void nic_step_hostile_state(struct nic_rig *rig, struct script *script,
                                          unsigned changes)
{
    bool quiet = rig->dev->ops->quiesce(rig->dev);
    size_t size;
    uint8_t *state = nic_rig_save(rig, &size), *bad = malloc(size);

    assert(quiet && bad);
    memcpy(bad, state, size);
    for (unsigned i = 0; i < changes; i++)
        bad[take_n(script, 3) % size] = take(script);
    int err = nic_rig_migrate(rig, bad, size);
    assert(!err || err == -EBADMSG);
    if (err)
        err = nic_rig_migrate(rig, state, size);
    assert(!err);
    free(bad);
    free(state);
}

#endif
