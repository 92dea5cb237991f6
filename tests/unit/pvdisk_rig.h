/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PV disks that the toolstack leaves to the daemon, under test: guest_rig's control side and worker
 * with a hypervisor that has a store and event channels, guest 5's one disk xvda with the image
 * DIR/a.img, and both who write the store, the toolstack and the guest's driver.
 *
 *   pvdisk_attach() -> pvdisk_offer() -> pvdisk_front_connects() -> requests
 *                         -> pvdisk_front_closes() -> pvdisk_front_returns() -> ...
 */
#ifndef IOEMUD_TESTS_UNIT_PVDISK_RIG_H
#define IOEMUD_TESTS_UNIT_PVDISK_RIG_H

#include "ioreq/hv_pv.h"
#include "tests/unit/fake_store.h"
#include "tests/unit/guest_rig.h"
#include "tests/unit/pvblk_rig.h"

#define PVDISK_BACK  "/local/domain/0/backend/qdisk/5/51712"
#define PVDISK_FRONT "/local/domain/5/device/vbd/51712"
#define PVDISK_WHERE "/local/domain/0/backend/qdisk/5"

/* Port that cannot be bound. */
#define PVDISK_BAD_PORT 666u

/* The guest's memory and its end of the ring are pvblk_rig's, whose own disk is not used. */
struct pvdisk_rig {
    struct guest_rig guest;
    struct pv_rig front;
    struct fake_store store;
    struct hv_ops ops;
    unsigned watches, channels, notified; /* watches: now; of the guest's folder and frontends */
    int fd;                               /* of the last disk's event channels, the guest's */
    uint32_t port;
    bool processes;  /* its workers are */
    unsigned denied; /* system calls of theirs */
};

/* cmocka's. After it all is closed and unmapped. */
int pvdisk_setup(void **state);
/* With workers that are processes, which have the rig's memory in common with the test. */
int pvdisk_setup_processes(void **state);
int pvdisk_teardown(void **state);
/* A test with the one, and with the other. */
#define PVDISK_TEST(name) cmocka_unit_test_setup_teardown(name, pvdisk_setup, pvdisk_teardown)
#define PVDISK_TEST_PROCESSES(name)                                                                \
    {                                                                                              \
#name "_with_processes", name, pvdisk_setup_processes, pvdisk_teardown, NULL               \
    }
#define PVDISK_TEST_BOTH(name) PVDISK_TEST(name), PVDISK_TEST_PROCESSES(name)

/* The store. What is written is seen with pvdisk_event(): one watch event. */
void pvdisk_back(struct pvdisk_rig *rig, const char *node, const char *value);
void pvdisk_front(struct pvdisk_rig *rig, const char *node, const char *value);
void pvdisk_event(struct pvdisk_rig *rig);
const char *pvdisk_state(struct pvdisk_rig *rig); /* of the backend */
void pvdisk_wait(struct pvdisk_rig *rig, const char *state);
void pvdisk_wait_gone(struct pvdisk_rig *rig); /* until the guest has no PV disk */

/* The toolstack: what libxl writes for a disk; that, and the backend is ready for its frontend; it
 * asks for the disk back. */
void pvdisk_directories(struct pvdisk_rig *rig, const char *image);
void pvdisk_offer(struct pvdisk_rig *rig);
void pvdisk_take_away(struct pvdisk_rig *rig);

/* The frontend's half of the handshake, each step with what the backend answers. */
void pvdisk_make_ring(struct pvdisk_rig *rig); /* empty */
void pvdisk_front_connects(struct pvdisk_rig *rig);
void pvdisk_front_closes(struct pvdisk_rig *rig);
void pvdisk_front_returns(struct pvdisk_rig *rig);

/* Guest 'a' with these emulated disks, in JSON; until it is gone; all up to the connection. */
struct guest *pvdisk_attach(struct pvdisk_rig *rig, const char *disks);
/* Guest 'a' without emulated devices, domain 5; as guest_attach() says. `ret_why` has
 * GUEST_WHY_SIZE bytes, or is NULL. */
int pvdisk_attach_pv(struct pvdisk_rig *rig, char *ret_why);
void pvdisk_detach(struct pvdisk_rig *rig);
/* Until those that served images (daemon/served.h) have ended. */
void pvdisk_wait_programs(struct pvdisk_rig *rig);
void pvdisk_connect(struct pvdisk_rig *rig, const char *disks);
/* Both agree that the disk goes. */
void pvdisk_detach_disk(struct pvdisk_rig *rig);

/* Requests. */
void pvdisk_kick(struct pvdisk_rig *rig); /* the event alone */
void pvdisk_publish(struct pvdisk_rig *rig);
struct blkfront_response pvdisk_response(struct pvdisk_rig *rig); /* waits */
void pvdisk_expect(struct pvdisk_rig *rig, uint64_t id, int16_t status);
/* Of one page, and it works. */
void pvdisk_request(struct pvdisk_rig *rig, uint8_t operation, uint64_t id, uint64_t sector,
                    uint32_t ref);

/* The emulated twin: what `disks` may say of the drive with the image, and `more`; ports. */
const char *pvdisk_emulated(struct pvdisk_rig *rig, const char *more);
void pvdisk_out(struct pvdisk_rig *rig, uint16_t port, uint32_t size, uint32_t value);
uint8_t pvdisk_in(struct pvdisk_rig *rig, uint16_t port);
/* As firmware does: PCI Command, and the legacy ports (IDETIM). */
void pvdisk_enable_emulated(struct pvdisk_rig *rig);
bool pvdisk_image_is_locked(struct pvdisk_rig *rig);

/* pvdisk_rig_grants.c, for the rig's own ops. */
int pvdisk_broker_open(struct pvdisk_rig *rig, struct hv_broker **ret_broker);
void pvdisk_broker_close(struct hv_broker *broker);
int pvdisk_broker_add(struct hv_broker *broker, uint32_t domid, int ret_fds[HV_GRANT_FDS]);
void pvdisk_broker_cut(struct hv_broker *broker, uint32_t domid);
int pvdisk_grants_adopt(uint32_t domid, const int fds[HV_GRANT_FDS]);
const struct grants *pvdisk_grants(uint32_t domid);
void pvdisk_grants_leave(uint32_t domid);

/* Of the daemon's statistics. */
json_t *pvdisk_statistics(struct pvdisk_rig *rig); /* NULL: no disk */
json_int_t pvdisk_number(const json_t *disk, const char *name);
/* Until so many requests have been counted: by a process somewhat later. */
void pvdisk_wait_counted(struct pvdisk_rig *rig, unsigned requests);

#endif
