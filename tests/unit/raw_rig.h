/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file on the build's filesystem or on tmpfs, and the disk that raw makes of it. */
#ifndef IOEMUD_TESTS_RAW_RIG_H
#define IOEMUD_TESTS_RAW_RIG_H

#include "devices/backend/aio.h"
#include "devices/backend/images.h"
#include "devices/backend/pool.h"
#include "tests/unit/fake_loop.h"

#define RAW_RIG_SECTORS 2048u
#define RAW_RIG_PAGES   128u

struct raw_rig {
    struct fake_loop *fake;
    struct pool *pool;
    struct aio *aio;
    struct raw_image file;
    struct blk *blk; /* NULL: not attached */
    char dir[64], file_path[96];
    char path[96]; /* what is probed: the file, or a device on it */
    char why[256];
    bool done, closed;
    int error;
    unsigned dones, expected;
    struct blk_req *req;
};

/* A test with a file of RAW_RIG_SECTORS; with one on tmpfs besides. */
#define T(name) cmocka_unit_test_setup_teardown(name, raw_rig_setup, raw_rig_teardown)
#define TT(name)                                                                                   \
    T(name),                                                                                       \
    {                                                                                              \
        "tmpfs: " #name, name, raw_rig_setup_tmpfs, raw_rig_teardown, NULL                         \
    }
int raw_rig_setup(void **state);
int raw_rig_setup_tmpfs(void **state);
int raw_rig_teardown(void **state);

/* What the file has at byte `i`; makes it anew with as much of that. */
uint8_t raw_rig_pattern(uint64_t i);
void raw_rig_make_file(struct raw_rig *disk, size_t bytes);
/* A loop device on it, or -1. */
int raw_rig_make_loop(struct raw_rig *disk, unsigned block, unsigned flags, char *ret_path,
                      size_t size);

int raw_rig_probe(struct raw_rig *disk, const struct raw_options *options,
                  struct raw_image *ret_image);
void raw_rig_attach(struct raw_rig *disk, const struct raw_options *options);
void raw_rig_detach(struct raw_rig *disk);
/* What raw_rig_attach() binds, and detach closes with. */
extern const struct blk_client_ops raw_rig_client_ops;
void raw_rig_on_closed(void *arg);

/* Submits, waits; disk->req is to be put. */
int raw_rig_transfer(struct raw_rig *disk, enum blk_op op, uint64_t sector, uint32_t bytes,
                     const void *data);
void assert_pattern(struct raw_rig *disk, uint64_t sector, uint32_t bytes);
/* On a fresh file, which is changed. */
void assert_reads_and_writes(struct raw_rig *disk);

#endif
