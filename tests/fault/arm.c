/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In the test: see faults.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fault/faults.h"

struct faults *faults_open(void)
{
    char path[] = "/tmp/ioemud-faults.XXXXXX";
    int fd = mkstemp(path);
    struct faults *faults = MAP_FAILED;

    if (fd >= 0 && !ftruncate(fd, sizeof(*faults)))
        faults = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (faults == MAP_FAILED) {
        perror(path);
        _exit(99);
    }
    close(fd);
    memcpy(faults->path, path, sizeof(path));
    setenv(FAULTS_VARIABLE, path, 1);
    return faults;
}

void faults_close(struct faults *faults)
{
    unlink(faults->path);
    unsetenv(FAULTS_VARIABLE);
    munmap(faults, sizeof(*faults));
}

void faults_arm(struct faults *faults, enum faults_class class, unsigned first, unsigned last)
{
    faults_arm_every(faults, class, first, last, 0);
}

void faults_arm_every(struct faults *faults, enum faults_class class, unsigned first, unsigned last,
                      unsigned every)
{
    atomic_store(&faults->seen, 0);
    atomic_store(&faults->denied, 0);
    atomic_store(&faults->first, first);
    atomic_store(&faults->last, last);
    atomic_store(&faults->every, every);
    atomic_store(&faults->armed, class + 1u);
}

struct faults_report faults_disarm(struct faults *faults)
{
    struct faults_report report = {0};

    atomic_store(&faults->armed, 0);
    report.denied = atomic_load(&faults->denied);
    if (report.denied) {
        memcpy(report.name, faults->name, sizeof(report.name));
        report.where = faults->where;
    }
    return report;
}
