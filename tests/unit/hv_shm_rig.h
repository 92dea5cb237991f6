/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm among peers that mean harm. */
#ifndef IOEMUD_TESTS_HV_SHM_RIG_H
#define IOEMUD_TESTS_HV_SHM_RIG_H

#include "tests/unit/shm_server.h"

#define PAGES_SIZE (HV_SHM_PAGES * 4096)

/* A HELLO that is good as it stands, to be spoilt. */
struct bad_hello {
    struct hv_shm_hello hello;
    struct hv_shm_region region[HV_SHM_REGIONS_MAX + 1];
};

/* The state is a struct shm_server. */
int hv_shm_rig_setup(void **state);
/* Whatever was tried, an honest peer is served, and nothing is left of the others. */
int hv_shm_rig_teardown(void **state);

void hv_shm_rig_hello(struct bad_hello *b);
/* The REFUSED that a peer gets, or the bare end of the connection (0). */
int hv_shm_rig_outcome(int sock);

#endif
