/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/unit/hv_shm_rig.h"

void hv_shm_rig_hello(struct bad_hello *b)
{
    memset(b, 0, sizeof(*b));
    b->hello.header = (struct hv_shm_header){.magic = HV_SHM_MAGIC, .type = HV_SHM_HELLO, .fds = 2};
    b->hello.header.length = sizeof(b->hello) + 2 * sizeof(b->region[0]);
    b->hello.version = 1;
    b->hello.vcpus = 1;
    b->hello.regions = 2;
    strcpy(b->hello.name, "liar");
    b->region[0] = (struct hv_shm_region){.gpa = 0, .size = 0x2000, .fd = 1};
    b->region[1] = (struct hv_shm_region){.gpa = 0x2000, .size = 0x2000, .offset = 0x2000, .fd = 1};
}

static unsigned count_dir(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static unsigned fds_before, maps_before;

int hv_shm_rig_setup(void **state)
{
    fds_before = count_dir("/proc/self/fd");
    maps_before = peer_mappings();
    *state = shm_server_start();
    return 0;
}

int hv_shm_rig_teardown(void **state)
{
    struct shm_server *server = *state;
    struct peer *peer = shm_server_peer(server, "honest", 1);

    peer_out(peer, 0, 0x300, 4, 0x600d);
    assert_int_equal(peer_in(peer, 0, 0x300, 4), 0x600d);
    peer_close(peer);
    shm_server_stop(server);
    assert_int_equal(count_dir("/proc/self/fd"), fds_before);
    assert_int_equal(peer_mappings(), maps_before);
    return 0;
}

int hv_shm_rig_outcome(int sock)
{
    uint64_t buf[HV_SHM_MESSAGE_MAX / 8];
    const struct hv_shm_refused *refused = (const void *)buf;
    struct pollfd pfd = {.fd = sock, .events = POLLIN};

    if (poll(&pfd, 1, 8000) <= 0)
        return -EAGAIN;
    if (recv(sock, buf, sizeof(buf), 0) < (ssize_t)sizeof(*refused))
        return 0;
    assert_int_equal(refused->header.magic, HV_SHM_MAGIC);
    assert_int_equal(refused->header.type, HV_SHM_REFUSED);
    assert_true(memchr(refused->reason, 0, sizeof(refused->reason)) != NULL);
    return refused->error;
}
