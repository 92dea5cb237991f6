/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A primary machine (devices/machine.h) with disks in raw files, RAM and a clock that stands still,
 * made from QEMU's command line. It has no processor: whoever holds it makes the accesses.
 */
#ifndef IOEMUD_TESTS_DIFF_QTEST_MACHINE_H
#define IOEMUD_TESTS_DIFF_QTEST_MACHINE_H

#include <stdio.h>

#include "devices/backend/aio.h"
#include "devices/backend/net_ops.h"
#include "devices/machine.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_loop.h"

struct pool;

struct qtest_disk {
    const char *path; /* NULL: absent, or an empty tray */
    bool read_only, discard, cdrom;
    char serial[MACHINE_SERIAL_NUMBER_MAX + 1];
    char model[MACHINE_MODEL_MAX + 1];
    char firmware[MACHINE_FIRMWARE_MAX + 1];
    uint64_t wwn;
};

/* Its way out takes everything and gives nothing. */
struct qtest_nic {
    const char *model; /* NULL: absent */
    uint8_t mac[NET_MAC_BYTES];
    uint8_t slot;
    const char
        *dump; /* what leaves is written there, as QEMU's filter-dump does (pcap). NULL: not */
};

struct qtest_port {
    struct net_port port; /* first */
    FILE *dump;           /* NULL: none */
};

struct qtest_options {
    const char *qtest; /* "unix:PATH" or "stdio" */
    uint64_t ram_bytes;
    struct qtest_disk disk[MACHINE_IDE_DRIVES];
    struct qtest_nic nic;
};

/* Understands, and keeps pointers into, what argv has: -qtest, -m, -drive, -device ide-hd, ide-cd
 * or a NIC, and -object filter-dump; takes what else a test would say to QEMU without effect here
 * (-machine, -display, -netdev, ...). Ends the program with a sentence on what it does not
 * understand. */
void qtest_options_parse(int argc, char **argv, struct qtest_options *ret_options);

struct qtest_machine {
    struct fake_host fake;
    struct host_ops ops; /* fake's, with these hooks */
    struct fake_loop *loop;
    struct pool *pool;
    struct aio *aio;
    struct qtest_port port;
    struct net *net; /* NULL: no NIC */
    struct machine_spec spec;
    struct machine *machine;
    bool isa[16];         /* levels */
    bool isa_driven[16];  /* by ISA devices themselves */
    uint32_t intx[4];     /* by slots, of each pin */
    unsigned link_irq[4]; /* 0: not routed */
    bool reset_wanted;
    /* An ISA line changed. Set by the holder after init. */
    void (*irq)(void *arg, unsigned irq, bool level);
    void *irq_arg;
};

/* Ends the program with a sentence when that does not work. */
void qtest_machine_init(struct qtest_machine *machine, const struct qtest_options *options);
void qtest_machine_finish(struct qtest_machine *machine);

/* A frame from the network for the NIC. */
void qtest_machine_receive(struct qtest_machine *machine, const uint8_t *frame, uint32_t bytes);

/* Waits until the disks have nothing more to do: what an access set off has then happened. */
void qtest_machine_settle(struct qtest_machine *machine);

#endif
