/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest as the control side sees it: its description, where it runs, who holds it.
 *
 *    WAITING ----peer----+                               drained
 *                        v          started              +------> (freed)
 *    PARKED --------> STARTING ----------> RUNNING -> STOPPING
 *      ^ an image or the name is held by a guest that still drains
 *
 * A guest belongs to the daemon's list from guest_attach() until it has drained: its images are
 * free again only then.
 *
 * Names: an hv_shm guest is its name, since that is how its peer finds it. A guest of Xen is its
 * description's name and its domain's number, as xl can have two domains of one description: it
 * renames one that crashed (on_crash="rename-restart"), and so may the administrator.
 */
#ifndef IOEMUD_DAEMON_GUEST_H
#define IOEMUD_DAEMON_GUEST_H

#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/guest_call.h"
#include "daemon/mailbox.h"
#include "daemon/opener.h"
#include "daemon/qmp.h"
#include "daemon/vm.h"

#define GUEST_WHY_SIZE 512
#define GUEST_QMPS     2

enum guest_state {
    GUEST_WAITING,  /* hv_shm: for its peer to connect */
    GUEST_PARKED,   /* for a former guest to drain */
    GUEST_STARTING, /* its worker makes the devices */
    GUEST_RUNNING,
    GUEST_STOPPING, /* its worker ends them; then waits for disk requests in flight */
};

/* What libxl's monitor says of the guest. */
enum guest_run {
    GUEST_CONT,
    GUEST_STOP,
    GUEST_PRELAUNCH, /* dm_restrict=: until the first `cont` */
};

/* Where its description came from, and so what a reload of the configuration reads again. */
enum guest_origin {
    GUEST_OF_REQUEST, /* somebody else's file: nothing */
    GUEST_OF_FILE,    /* guests_dir/NAME.json alone */
    GUEST_OF_LINE,    /* xl's line, and guests_dir/NAME.json over it, if there is one */
};

struct guest_attach {
    struct guest_config config; /* taken over */
    enum guest_origin origin;
    const json_t *line;     /* GUEST_OF_LINE's, as JSON; the caller's */
    uint32_t domid;         /* hv_xen */
    void *peer;             /* hv_shm; NULL: wait for one */
    enum guest_run run;     /* what QMP says of it at first */
    bool by_itself;         /* nobody asked: daemon/guests_dir.h */
    bool reset;             /* it ran on a former daemon's devices, whose state is lost */
    uint32_t vcpus;         /* plugged in at the start; 0: all that the domain has */
    struct rpc_conn *lease; /* when it closes the guest is detached, in whatever state; NULL */
    /* Once, possibly before guest_attach() returns: err 0 when the guest runs (or waits for its
     * peer), else -errno and why. NULL: nobody asks. */
    void (*done)(void *ctx, struct guest *guest, int err, const char *why);
    void *ctx;
};

struct guest_dial;

struct guest {
    struct daemon *daemon;
    struct guest *next;
    enum guest_state state;
    struct guest_config config;     /* with the name that it was attached by, the log's */
    char name[CONFIG_NAME_MAX + 1]; /* for people: guest_names_refresh() */
    bool named_as_domain;           /* it follows when the domain is renamed */
    enum guest_origin origin;
    char *line;      /* guest_attach's, as text; NULL: none */
    char *described; /* what it has been given, as a description in JSON: daemon/reload.c */
    bool by_itself;
    struct trace *trace; /* daemon/trace.h; NULL: none */
    struct log log;      /* the daemon's, or with a level of its own */
    uint32_t domid;
    uint32_t vcpus;
    void *peer;
    void (*done)(void *ctx, struct guest *guest, int err, const char *why);
    void *done_ctx;
    void (*gone)(void *ctx); /* told when it has been freed; for `detach` */
    void *gone_ctx;
    bool detach_wanted; /* while it starts */
    bool retry;         /* guest_unpark()'s */

    const struct hv_ops *hv;
    struct hv_guest *hv_guest;
    bool recorded;
    struct worker *worker;
    struct worker_seat *seat; /* with a worker process: daemon/worker_process_priv.h */
    struct vm *vm; /* the worker's; its counters are read from here while RUNNING. NULL: it is in
                      a process of its own */
    struct vm_params params;
    /* What is in each drive, for its counters, and those of media that were taken out. */
    struct blk *blk[MACHINE_IDE_DRIVES];
    struct blk_counters past[MACHINE_IDE_DRIVES];
    unsigned changing;                     /* drives whose medium is being changed: a bit each */
    char nic_ifname[MACHINE_NICS][16];     /* of tap interfaces; "": none */
    char *nic_socket[MACHINE_NICS];        /* bound for a NIC; NULL: none */
    struct guest_dial *dial[MACHINE_NICS]; /* daemon/guest_dial.h */
    struct rom *rom[MACHINE_NICS];         /* daemon/guest_nics.c */
    char serial_path[MACHINE_SERIALS][OPENER_PATH_SIZE]; /* for `xl console`, `list` */

    /* Messages to its worker and back. */
    struct mail start, started, stop, stopped, drained, lost, traced;
    struct guest_call resume;
    int start_err;
    char start_why[VM_WHY_SIZE];
    struct log_limit log_limit; /* the vm's, when it has ended */
    struct guest_file {
        struct guest *guest;
        unsigned port;
        struct mail full; /* from the worker */
        bool renewing;    /* the next one is on its way */
    } file[MACHINE_SERIALS];

    /* Who holds it: ioemu-dm's connection, and libxl's two QMP sockets. */
    struct rpc_conn *lease;
    struct qmp *qmp[GUEST_QMPS];
    struct log_limit qmp_limit;
    uint64_t online[HV_MAX_VCPUS / 64]; /* vCPUs that are plugged in: a bit each */
    enum guest_run run;                 /* reported, nothing else: Xen pauses the vCPUs */
    bool pv_settled;                    /* guest_settle_pv() */
    bool pv_watched;                    /* daemon/guest_pvdisk.h, as are its PV disks */
    struct pvdisk *pvdisks;
    struct log_limit pv_said;            /* of what their frontends bring about */
    struct pvdisk *pv_unit[VM_PV_DISKS]; /* by unit; a worker reads those that it has opened */
    uint32_t pv_heard;                   /* VM_PV_HEARs so far: their serial numbers */
    struct raw_image twin[MACHINE_IDE_DRIVES]; /* of drives, for these; fd -1: none */
    bool reset;          /* its devices started anew under it: until it reboots it has no disks */
    uint64_t revived_ns; /* when they last did for the end of its worker process; 0: never */

    /* daemon/guest_stop.c: units, a bit each, whose disks' errors have stopped the guest. */
    unsigned io_stopped;
    unsigned resuming; /* of these, those whose worker has been told to go on */
    bool paused;       /* its vCPUs, by us */
    bool unpause;      /* when it goes on */
    void (*resumed_done)(void *ctx);
    void *resumed_ctx;
    unsigned units; /* drives, and where there may be any PV disks */
    struct guest_stop {
        struct mail mail;
        struct guest *guest;
        unsigned unit;
        struct blk_stop what;
    } io_stop[]; /* their mail is the worker's while they are not `io_stopped` */
};

/* What comes of it is told through done(). */
void guest_attach(struct daemon *daemon, struct guest_attach *attach);
/* One of this description and domain that nobody has asked for yet; NULL: there is none. */
struct guest *guest_attached_by_itself(struct daemon *daemon, const struct guest_config *config,
                                       uint32_t domid);
/* Somebody asks for it now, and is told as by guest_attach(), at once if it is known. */
void guest_when_attached(struct guest *guest,
                         void (*done)(void *ctx, struct guest *guest, int err, const char *why),
                         void *ctx);
/* daemon/guest_lease.c. From now on it ends when this connection does; NULL: with none. */
void guest_set_lease(struct guest *guest, struct rpc_conn *lease);
/* Its device model, with a lease, has come for one that was attached by itself: nothing emulated,
 * so its line says nothing that it would not have yet. Told as by guest_attach(). */
void guest_take_over(struct guest *guest, struct guest_attach *attach);
/* Ends the guest from whatever state; `gone(ctx)` (may be NULL: then whoever asked before is told)
 * follows when it has drained. One can ask at a time: see guest->gone. */
void guest_detach(struct guest *guest, void (*gone)(void *ctx), void *ctx);

/* Gives those that are PARKED another try; for guest.c, when one has drained. */
void guest_unpark(struct daemon *daemon);

/* It ends, or will as soon as it has started: its name, domain and images come free. */
static inline bool guest_leaves(const struct guest *guest)
{
    return guest->state == GUEST_STOPPING || guest->detach_wanted;
}

/* daemon/guest_names.c. Of those that do not leave. */
struct guest *guest_of_peer(struct daemon *daemon, const char *name); /* hv_shm; NULL */
struct guest *guest_by_hv(struct daemon *daemon, const struct hv_guest *hv_guest); /* NULL */
bool guest_is_attached(const struct daemon *daemon, const struct guest_config *config,
                       uint32_t domid);
/* Before the description's next domain starts: those of its guests end whose domain is over, which
 * xl's on_xxx= may have preserved. Nothing in there can need its devices, its successor does. */
void guest_make_way(struct daemon *daemon, const char *name);
/* When it has its hypervisor's half: called as its domain is, it goes on to be. */
void guest_follow_name(struct guest *guest);
/* What xl renamed has its new name in guest->name. */
void guest_names_refresh(struct daemon *daemon);
/* Whom an administrator means: a name or, if none is called that, the number of a domain; `domid`
 * says which of several (0: not said). NULL, and why: there is none, or more than one. */
struct guest *guest_find(struct daemon *daemon, const char *name, uint32_t domid, char *ret_why);

/* A peer calls itself `name`: the waiting guest of that name gets it. -ENOENT, or what failed. */
int guest_peer(struct daemon *daemon, const char *name, void *peer);
/* What came of attaching it: 0, or -ECONNREFUSED: it failed and is gone, as the log says. */
int guest_peer_outcome(struct daemon *daemon, const char *name);

/* A line about the guest; of one that a peer made, as many as daemon/peer_log.h lets it have. */
__attribute__((format(printf, 3, 4))) void guest_log(struct guest *guest, int priority,
                                                     const char *format, ...);

/* daemon/guest_pv.c: what the guest may do to its emulated devices. It must not lose a disk or NIC
 * by unplugging all of them, also those that the folder's file has and xl's line does not. */
enum machine_unplug guest_unplug(struct guest *guest);
/* Before its vCPUs run for the first time: libxl gives NICs their PV backends, and the rates that
 * go with them, only after the device model has said that it runs. Asks for them again, once. */
void guest_settle_pv(struct guest *guest);

/* For people: a guest that runs is "io-error" while it is stopped for a disk. */
const char *guest_state_name(const struct guest *guest);

/* daemon/guest_stop.c: guests that are stopped for the errors of their disks.
 *
 *   worker: blk_stops() -> vm, guest_io_stopped() --mail--> control: log, pause
 *   control: guest_resume() --VM_RESTART--> worker: vm_restart()
 *            unpause, done() <------------
 */
void guest_stop_init(struct guest *guest);
void guest_io_stopped(void *ctx, unsigned unit, const struct blk_stop *stop); /* worker */
/* All its disks try again; `done(ctx)` (may be NULL) follows. `unpause`: and its vCPUs go on, if we
 * paused them; false: who asks does that. -EALREADY: it is not stopped, or is being resumed. */
int guest_resume(struct guest *guest, bool unpause, void (*done)(void *ctx), void *ctx);
/* Before the hypervisor's half is let go of: nobody else would let the vCPUs go on. */
void guest_unpause(struct guest *guest);
/* What the description says of the disk's errors. */
void guest_disk_errors(const struct disk_config *disk, struct vm_disk *vm_disk);
/* What stopped the disk of this unit; NULL: it is not. Of the main thread. */
const struct blk_stop *guest_disk_stop(const struct guest *guest, unsigned unit);

/* daemon/guest_media.c: the drive as the machine is told of it, without its medium; true: it is
 * empty. */
bool guest_fill_drive(struct machine_drive *drive, const struct disk_config *disk);

/* What is to lie in a CD-ROM drive. */
struct guest_medium {
    const char *vdev;
    const char *path; /* NULL: nothing. How the image is called, when `fd` is given */
    int fd;           /* of the image, which stays the caller's; -1: `path` is opened */
    bool force;       /* even if the guest has locked the tray */
};
/* Ejects what is there and inserts the other; `done` is told once, perhaps inline, with a sentence
 * for the administrator. The former image is closed when its requests have drained. */
void guest_change_medium(struct guest *guest, const struct guest_medium *medium,
                         void (*done)(void *ctx, int err, const char *why), void *ctx);

/* daemon/reload.c: the description as text, for guest->described; NULL when memory is short. */
char *guest_describe(const struct guest_config *config);

/* daemon/guest_log.c: that it is RUNNING, and what is to be known of that. */
void guest_log_attached(struct guest *guest);

/* daemon/guest_conflict.c: the PCI slot of a secondary's controller; 0, or -EEXIST and why another
 * guest, under whatever name, leaves no place in the domain for this one. */
uint8_t guest_secondary_slot(const struct guest_config *config);
int guest_conflict(const struct daemon *daemon, const struct guest_attach *attach, char *ret_why);

/* daemon/guest_hv.c: the hypervisor's half. The server is recorded before it is made, so that there
 * is none of which the next daemon does not know, wherever this one is killed. `why` as for
 * guest_attach(); what was made is guest_release_hv()'s, also on failure. */
int guest_create_hv(struct guest *guest, char *why);
/* After the worker has let go. */
void guest_release_hv(struct guest *guest);

/*
 * What a worker tells, on the control side: from its messages where it is a thread, from
 * daemon/worker_process.c where it is a process. A captured one may say anything at any time.
 */
/* STARTING is over, whatever came of it: may free the guest. */
void guest_started(struct guest *guest, int err, const char *why);
/* The hypervisor's half is out of use: STOPPING. */
void guest_ended(struct guest *guest);
/* All is given back: frees the guest. */
void guest_drained(struct guest *guest);
/* It cannot go on. */
void guest_lost(struct guest *guest);
void guest_disk_stopped(struct guest *guest, unsigned unit, const struct blk_stop *what);
void guest_next_file(struct guest *guest, unsigned port);
/* The worker process is no more. A domain's devices start anew, once in GUEST_REVIVE_NS, in a
 * process of their own: the guest that ends that one, too, ends nobody else's. Otherwise, and a
 * peer, which has lost its connection, the guest is detached. May free it. */
#define GUEST_REVIVE_NS UINT64_C(60000000000)
void guest_worker_died(struct guest *guest, const char *how);

/* daemon/guest_open.c: all that the description names goes into guest->params. -errno, and why, of
 * GUEST_WHY_SIZE bytes; what was opened is then guest_close_descriptors()'s. */
int guest_open(struct guest *guest, char *why);
/* What no worker got. */
void guest_close_descriptors(struct guest *guest);
/* Of serial ports and NICs, when nobody listens on them any more; ROMs, too. */
void guest_remove_sockets(struct guest *guest);

/* daemon/guest_serial.c: files that serial ports write to. */
void guest_serial_init(struct guest *guest);
void guest_serial_full(void *ctx, unsigned port); /* vm_params.serial_full */

/* daemon/guest_qmp.c: libxl's monitor for this guest. Takes the listening descriptor over, whatever
 * comes of it; logs why it failed. */
int guest_qmp_add(struct guest *guest, int listen_fd);
void guest_qmp_remove(struct guest *guest);

#endif
