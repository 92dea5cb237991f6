/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shipped daemon in a folder of its own, with simulated guests: for tests, benchmarks and the
 * demo.
 *
 *   rig_start() -> rig_image(), rig_guest() -> rig_peer() ... peer_close() -> rig_stop()
 *
 * The program is $IOEMUD. What fails here is the surroundings' fault, so it is said on stderr and
 * the process ends with 99. The folder goes away with rig_stop().
 */
#ifndef IOEMUD_TESTS_SHM_RIG_H
#define IOEMUD_TESTS_SHM_RIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/peer/ide.h"
#include "tests/peer/peer.h"

#define RIG_PATH 256

struct rig {
    char dir[64];
    pid_t pid;     /* 0: not running */
    pid_t usernet; /* ioemud-usernet; 0: not running */
    bool captured; /* a worker process was made to do what it must not */
};

/* Whether guests have worker processes, as they do unless $IOEMUD_ISOLATION is "thread". */
bool rig_isolated(void);
/* What ioemud.json has for that, without a comma at its end. */
const char *rig_isolation(void);
/* `more`: further keys of ioemud.json as JSON text ("\"workers\": 2"), or NULL. */
void rig_start(struct rig *rig, const char *more);
/* Starts ioemud-usernet ($IOEMUD_USERNET) where the daemon looks for it; rig_stop() ends it, with
 * its connections' processes. Words of these are in DIR/usernet.log. */
void rig_user_network(struct rig *rig);
void rig_user_network_stop(struct rig *rig);
/* SIGTERM, waits; returns the exit status (as of waitpid), removes the folder. -1: a worker process
 * was denied a system call, and is not `captured`. */
int rig_stop(struct rig *rig);
/* Sends a signal and waits at most `ms` for the end. -1: still there. The folder stays. */
int rig_signal(struct rig *rig, int signal, int ms);
/* Starts the daemon again in the same folder. */
void rig_restart(struct rig *rig);
/* The same; 0, or the exit status (as of waitpid) of one that has ended instead, -1 if that is 0.
 */
int rig_try_restart(struct rig *rig);
/* What it has logged so far; free() it. */
char *rig_log(struct rig *rig);

/* Makes DIR/NAME, `sectors` long; each 512-byte sector says its number (rig_pattern()). */
void rig_image(struct rig *rig, const char *name, uint64_t sectors, char path[RIG_PATH]);
/* What sector `lba` of image number `seed` holds. */
void rig_pattern(uint64_t seed, uint64_t lba, uint8_t sector[512]);
/* How many of the `count` sectors at `data` differ from the pattern. */
unsigned rig_mismatches(uint64_t seed, uint64_t lba, unsigned count, const uint8_t *data);
void rig_fill(uint64_t seed, uint64_t lba, unsigned count, uint8_t *data);

/* Writes guests.d/NAME.json with these disks, the inside of a JSON array: "{\"vdev\": ...}, ..." */
void rig_guest(struct rig *rig, const char *name, const char *disks);
/* The same with further keys: "\"role\": \"secondary\"". */
void rig_guest_more(struct rig *rig, const char *name, const char *disks, const char *more);
/* One that offers buffered PIO. NULL: refused, with the daemon's words. */
struct peer *rig_try_peer(struct rig *rig, const char *name, unsigned vcpus, size_t ram,
                          char reason[112]);
struct peer *rig_peer(struct rig *rig, const char *name, unsigned vcpus, size_t ram);

/* One call on the control socket; params is JSON text or NULL. The result, or NULL and the message
 * of the error in `error` (may be NULL). */
json_t *rig_call(struct rig *rig, const char *method, const char *params, char error[256]);
/* A number of a guest's statistics, of one of their groups. */
uint64_t rig_counted(struct rig *rig, const char *guest, const char *group, const char *name);
/* Waits until the first NIC of a guest, by its place in the list, is gone. */
bool rig_wait_nic_gone(struct rig *rig, unsigned guest, int ms);
/* Waits until all guests that are listed run. A peer has its WELCOME before. */
bool rig_wait_running(struct rig *rig, int ms);
/* Waits until so many guests are listed; when there are none, for the end of their workers, too. */
bool rig_wait_guests(struct rig *rig, unsigned count, int ms);

/* Worker processes that there are, ending ones included. */
unsigned rig_workers(struct rig *rig);
bool rig_wait_workers(struct rig *rig, unsigned count, int ms);
/* Of the daemon and its workers: open descriptors, mappings of guests' memory, private memory in
 * KiB, threads. What is clean does not count: of a program or a library it is private while nobody
 * else runs it. */
unsigned rig_descriptors(struct rig *rig);
/* Until there are no more than `most`: a control connection of ours is closed there a moment later.
 */
bool rig_wait_descriptors(struct rig *rig, unsigned most, int ms);
unsigned rig_memfd_mappings(struct rig *rig);
unsigned long rig_memfd_mappings_of(pid_t pid); /* of one process */
unsigned long rig_private_kib(struct rig *rig);
unsigned rig_threads(struct rig *rig);
/* How often their threads have gone to sleep so far: who is idle is not woken. */
unsigned long rig_wakeups(struct rig *rig);

#endif
