/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon that is denied one thing at a time: the N-th allocation, the N-th system call or the
 * N-th operation of its hypervisor since somebody said so. tests/fault/ioemud_faults is the shipped
 * program, linked so that its own calls of these come by faults.c first; calls that libraries make
 * do not, except jansson's allocations. libev's are left alone: it ends a process that has no
 * memory for it, by design.
 *
 *   test: faults_open() -> $IOEMUD_FAULTS, started by it: faults_arm() -> the daemon works ->
 *         faults_disarm(), which tells what was denied
 *
 * Denied is what can fail on a real machine with the error that it has there: nothing that only
 * gives back (close, munmap, EPOLL_CTL_DEL), no write to an eventfd.
 */
#ifndef IOEMUD_TESTS_FAULT_FAULTS_H
#define IOEMUD_TESTS_FAULT_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

#define FAULTS_VARIABLE "IOEMUD_FAULTS"

enum faults_class {
    FAULTS_MEMORY,
    FAULTS_CALLS,
    FAULTS_HV,
    FAULTS_CLASSES,
};

/* In a file that both have mapped. */
struct faults {
    atomic_uint armed;       /* class + 1; 0: nothing is denied */
    atomic_uint seen;        /* calls of that class since then */
    atomic_uint first, last; /* which of them are denied, from 1 on */
    atomic_uint every;       /* and each time that so many have passed since; 0: then no more */
    atomic_uint denied;      /* how many were */
    char name[32];           /* of the first */
    uint64_t where;          /* its return address */
    char path[32];           /* of the file */
};

/* What was denied, so that who reads of a failure finds it: addr2line -e ioemud_faults WHERE. */
struct faults_report {
    unsigned denied;
    char name[32];
    uint64_t where;
};

/* arm.c, in the test. Makes the file and says in the environment where it is; what cannot be ends
 * the process with 99. */
struct faults *faults_open(void);
void faults_close(struct faults *faults);
/* From now on the calls `first` to `last` of this class are denied. */
void faults_arm(struct faults *faults, enum faults_class class, unsigned first, unsigned last);
/* These and, from there on, as many of each `every`, which is more than these are. */
void faults_arm_every(struct faults *faults, enum faults_class class, unsigned first, unsigned last,
                      unsigned every);
struct faults_report faults_disarm(struct faults *faults);

#endif
