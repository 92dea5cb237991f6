/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's control side and workers without a hypervisor: an ops table whose every step can be
 * told to fail, and that asserts the order of calls which ioreq/hv.h prescribes.
 */
#ifndef IOEMUD_TESTS_UNIT_GUEST_RIG_H
#define IOEMUD_TESTS_UNIT_GUEST_RIG_H

#include <semaphore.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"

enum rig_step {
    RIG_NONE,
    RIG_INTEND,
    RIG_CREATE,
    RIG_START,
    RIG_CLAIM, /* the one after `fail_after` others */
    RIG_ENABLE,
};

#define RIG_DOMAINS 256u

struct guest_rig {
    struct daemon daemon; /* one worker, unless the test makes more */
    char dir[32];
    uint32_t domid; /* of the next guest */
    struct rpc_server *rpc;
    /* What the toolstack says of the domains; named as the first guest attached to each. */
    struct rig_domain {
        char name[CONFIG_NAME_MAX + 1];
        bool over, gone;
    } domain[RIG_DOMAINS];
    /* What is to fail next, with -ENXIO. */
    enum rig_step fail;
    unsigned fail_after;
    int pin_error; /* of every pin; -ESRCH at first. 0: a page of RAM, whatever the address */
    /* Seen. Worker and main thread: read after the loop has come to rest. */
    unsigned hv_guests, claimed; /* now */
    unsigned paused;             /* guests whose vCPUs are */
    struct hv_guest *last;       /* as created */
    unsigned server_id;          /* of the next server; 1 is what is intended */
    bool have_pv;                /* what disks_have_pv() is to say */
    unsigned n_pv;               /* and what it was asked */
    bool own_pv;
    unsigned pv_place[CONFIG_DISKS];
    char pv_path[CONFIG_DISKS][64]; /* "": none */
    bool nics_have_pv;              /* what nic_has_pv() is to say of each */
    struct hv_nic_credit credit;
    sem_t held, release; /* rig_hold_worker() */
    struct mail hold;
};

struct rig_outcome {
    unsigned told;
    int err;
    char why[GUEST_WHY_SIZE];
};

void guest_rig_start(struct guest_rig *rig);
/* Asserts that nothing is left. */
void guest_rig_stop(struct guest_rig *rig);

/* Runs the main thread's loop until `done` says so; fails the test after 10 s. */
void guest_rig_run(struct guest_rig *rig, bool (*done)(struct guest_rig *rig, void *arg),
                   void *arg);
/* Until there are so many guests, none of them starting or stopping. */
void guest_rig_settle(struct guest_rig *rig, unsigned guests);
/* Worker 0 does nothing until it is released. */
void guest_rig_hold_worker(struct guest_rig *rig);
void guest_rig_release_worker(struct guest_rig *rig);

/* Attaches a Xen guest described by JSON (quotes as '). It is valid until the next call. */
void guest_rig_attach(struct guest_rig *rig, const char *json, struct rig_outcome *outcome);

/* As that, an hv_shm guest whose peer is there. */
void guest_rig_attach_peer(struct guest_rig *rig, const char *json, struct rig_outcome *outcome);

/* Makes DIR/guests.d the folder of guests' files; a file in it (quotes as '), NULL: none any more.
 * It comes under its name whole. */
void guest_rig_folder(struct guest_rig *rig);
void guest_rig_file(struct guest_rig *rig, const char *name, const char *text);

/* A connection to the control socket; a line to it (quotes as '); the next line that comes, valid
 * until the next call. */
int guest_rig_dial(struct guest_rig *rig);
void guest_rig_say(int fd, const char *text);
const char *guest_rig_hear(struct guest_rig *rig, int fd);

/* Makes the file DIR/NAME, 1 MiB. */
void guest_rig_image(struct guest_rig *rig, const char *name);
/* Of 'disks': one in memory. */
#define GUEST_RIG_DISK                                                                             \
    "{'vdev': 'hda', 'format': 'mem', 'size': 1048576, 'serial': 'S-1', 'model': 'M 1'}"
/* The JSON of guest 'a' with everything that takes descriptors: disks of both kinds, a pty, a
 * listening socket; whether that socket is gone. Valid until the next call. */
const char *guest_rig_everything(struct guest_rig *rig);
bool guest_rig_socket_gone(struct guest_rig *rig);
unsigned guest_rig_descriptors(void);
/* Files in DIR/guests. */
unsigned guest_rig_records(struct guest_rig *rig);
bool guest_rig_has_record(struct guest_rig *rig, const char *name, uint32_t domid,
                          unsigned server_id);

/* The guest's half of the fake: raises vCPU 0's event, or says that the domain is gone. */
void guest_rig_kick(struct hv_guest *guest, bool stay_ready);
void guest_rig_lose(struct hv_guest *guest);
/* Puts a one-byte port read into the slot; whether it has been answered. */
void guest_rig_ask(struct hv_guest *guest, uint32_t vcpu, uint16_t port);
/* As that, a string of `count` bytes to memory, or from it. */
void guest_rig_ask_string(struct hv_guest *guest, uint32_t vcpu, uint16_t port, uint32_t count,
                          bool read);
/* Puts a port write of `size` bytes into vCPU 0's. */
void guest_rig_tell(struct hv_guest *guest, uint16_t port, uint32_t size, uint32_t value);
/* What no hypervisor would send. */
void guest_rig_ask_nonsense(struct hv_guest *guest, uint32_t vcpu);
bool guest_rig_answered(struct hv_guest *guest, uint32_t vcpu);
/* The byte that was read. */
uint8_t guest_rig_answer(struct hv_guest *guest, uint32_t vcpu);

#endif
