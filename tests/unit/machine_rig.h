/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole machine in a fake host: disks in memory, a serial line, and a listener that counts what
 * the hypervisor would be told. For unit tests and fuzzers, so it asserts by abort() only.
 */
#ifndef IOEMUD_TESTS_MACHINE_RIG_H
#define IOEMUD_TESTS_MACHINE_RIG_H

#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "devices/machine.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_loop.h"

#define MACHINE_RIG_SECTORS 256u

/* The serial line: takes `credit` bytes. */
struct chr {
    const struct chr_client_ops *ops;
    void *owner;
    unsigned credit;
    uint64_t sent;
};

struct machine_rig {
    struct fake_host fake;
    struct fake_loop *loop;
    struct pool *pool;
    struct chr line;
    struct machine_spec spec;
    uint8_t *disk[MACHINE_IDE_DRIVES];
    struct machine *machine;

    /* The listener's. */
    unsigned ranges, funcs; /* claimed now */
    unsigned claims_left;   /* further claims are refused with -ENOSPC; UINT_MAX: none is */
};

/* A primary machine's spec with disks on drives 0 and 3, and no machine yet. */
void machine_rig_init(struct machine_rig *rig);
/* What machine_create() said. */
int machine_rig_create(struct machine_rig *rig, char *ret_why, size_t why_size);
/* Destroys the machine, if any, and asserts that nothing is claimed any more. */
void machine_rig_destroy(struct machine_rig *rig);
void machine_rig_finish(struct machine_rig *rig);

/* Until the disks have nothing left to do. */
void machine_rig_settle(struct machine_rig *rig);
/* Quiesces, saves, creates anew and loads; asserts that the new one saves the same. */
void machine_rig_migrate(struct machine_rig *rig);

uint64_t machine_rig_in(struct machine_rig *rig, uint16_t port, unsigned size);
void machine_rig_out(struct machine_rig *rig, uint16_t port, unsigned size, uint64_t value);
/* Configuration mechanism 1. */
uint32_t machine_rig_config(struct machine_rig *rig, uint8_t devfn, uint8_t reg);
void machine_rig_set_config(struct machine_rig *rig, uint8_t devfn, uint8_t reg, unsigned size,
                            uint32_t value);

#endif
