/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the control side's half of worker processes.
 *
 *   worker_process.c  they begin, end, and give signs of life
 *   worker_link.c     messages to one and from it
 *   worker_seat.c     the guests of one: what they are asked and what they tell
 */
#ifndef IOEMUD_DAEMON_WORKER_PROCESS_PRIV_H
#define IOEMUD_DAEMON_WORKER_PROCESS_PRIV_H

#include <ev.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/worker_process.h"

/* A guest at its worker process. */
struct worker_seat {
    struct worker_process *process;
    struct worker_seat *next; /* process->seats */
    struct guest *guest;
    uint32_t number;
    struct guest_call *first, **tail; /* on their way, in order */
    uint32_t next_id, end_id;         /* the latter: as its end was ordered */
    struct vm_counts *counts;         /* worker_vm_counts_size() bytes, to be read only */
    uint32_t vcpus;
    struct log_limit said; /* of its lines */
    bool started, ending, ended;
    bool lent_grants, has_grants; /* its guest's went there; are known to have arrived */
};

/* An order that its socket has no room for yet. */
struct worker_waiting {
    struct worker_waiting *next;
    struct worker_order order; /* as much of it as there is of its kind */
};

struct worker_process {
    struct worker worker; /* first: what the rest of the control side sees of it */
    struct daemon *daemon;
    struct worker_process *next; /* daemon->processes */
    struct worker_seat *seats;
    unsigned n_seats;
    uint32_t next_number;
    pid_t pid;                  /* 0: not started */
    int pid_fd, sock, listener; /* -1: none */
    ev_io exit_io, sock_io, room_io, listener_io;
    ev_timer again;                       /* while the kernel is short of what an order takes */
    struct worker_waiting *first, **tail; /* orders */
    unsigned n_waiting;
    struct worker_counts *counts; /* to be read only; NULL: none yet */
    struct hv_broker *broker;     /* NULL: none of its guests has had a PV disk */
    const struct hv_pv_ops *broker_of;
    struct log_limit said;  /* of its own lines */
    struct log_limit tried; /* of its attempts */
    uint32_t beats;         /* unanswered: 0 or 1 */
    bool confined;          /* the listener has come */
    bool lost;              /* not trusted any more, or ended: it gets no more guests */
    bool alone;             /* its guest's only: it gets no other */
    uint64_t started_ns;
    bool hangs;       /* why it is lost */
    bool killed;      /* the kernel has its end in hand */
    uint64_t told_ns; /* of that it hangs */
    bool over;        /* no guests any more: freed when it has ended */
    bool reaped;
};

static inline struct worker_process *worker_process_of(const struct worker *worker)
{
    return (struct worker_process *)(uintptr_t)worker;
}

static inline uint64_t worker_process_now(const struct worker_process *process)
{
    const struct loop *loop = &process->daemon->evloop.loop;

    return loop->ops->now_ns(loop->ctx);
}

/* So long it may take to become a worker, whatever "worker_timeout": a large pool is a while to
 * lock, and a worker has no loop to answer from before. That setting's default. */
#define WORKER_SETUP_NS UINT64_C(180000000000)
/* One that does not go though it was killed is told of again that often. */
#define WORKER_HANGS_NS UINT64_C(3600000000000)

/* Begins, unless it has. -errno. */
int worker_process_spawn(struct worker_process *process);
/* Whose name a line of the log has: its guest's if there is but one; NULL. */
const char *worker_process_name(const struct worker_process *process);
/* It does what ours would not, or nothing. Its end follows. */
void worker_process_lose(struct worker_process *process, const char *why);
/* Ends a process of this user's (0: of our own). Who may change users may do that in the other's
 * name (kill(2)): it takes CAP_SETUID, which workers are made with, and not CAP_KILL, which is for
 * everybody's processes. -errno. */
int worker_process_kill(uid_t uid, pid_t pid);
/* Closes and forgets. */
void worker_process_close_fd(int *fd);
/* Memory that a worker process writes to: a memfd whose size nobody can change, mapped here to be
 * read. -errno. */
int worker_process_share(const char *name, size_t size, int *ret_fd, void **ret_base);

/* worker_link.c */
void worker_link_open(struct worker_process *process, int sock);
void worker_link_close(struct worker_process *process);
/* Takes the order's descriptors over. One that takes no orders any more is ended. Of that, and of
 * one that has ended, comes the answer with its end. */
void worker_link_tell(struct worker_process *process, struct worker_order *order);
/* So many of its reports, of those that have come. It may be `over` afterwards. All that its socket
 * holds (net.core.wmem_default, 208 KiB) is fewer than WORKER_LINK_HOLDS. */
#define WORKER_LINK_HOLDS 1024u
void worker_link_take(struct worker_process *process, unsigned most);

/* worker_seat.c. What the process tells of a guest: the seat may be gone afterwards. */
void worker_seat_take(struct worker_seat *seat, const struct worker_report *report);
struct worker_seat *worker_seat_find(const struct worker_process *process, uint32_t number);
/* Their process has ended: none is left. */
void worker_seats_died(struct worker_process *process, const char *how);
/* It could not become a worker: those who wait for it are told. */
void worker_seats_fail(struct worker_process *process, int err, const char *why);

#endif
