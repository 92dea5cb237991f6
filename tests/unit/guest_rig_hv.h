/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest_rig.c (the daemon around it), guest_rig_hv.c (the hypervisor, and the guests' half). */
#ifndef IOEMUD_TESTS_UNIT_GUEST_RIG_HV_H
#define IOEMUD_TESTS_UNIT_GUEST_RIG_HV_H

#include "tests/unit/guest_rig.h"

struct hv_host {
    struct guest_rig *rig;
};

extern const struct hv_ops guest_rig_hv_ops;

#endif
