/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/worker_process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/worker_process_priv.h"

const char *worker_process_name(const struct worker_process *process)
{
    return process->n_seats == 1 ? process->seats->guest->config.name : NULL;
}

void worker_process_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int worker_process_share(const char *name, size_t size, int *ret_fd, void **ret_base)
{
    int err, fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *base = MAP_FAILED;

    if (fd < 0)
        return -errno;
    if (!ftruncate(fd, (off_t)size) &&
        !fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW))
        base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        err = -errno;
        close(fd);
        return err;
    }
    *ret_fd = fd;
    *ret_base = base;
    return 0;
}

/* ---- before there is one ----------------------------------------------------------------------*/

/* One guest alone needs the pages of its disks only; of PV disks nobody knows how many there will
 * be, and each may use a worker's. */
static unsigned pool_pages(const struct daemon *daemon, unsigned disks, bool alone)
{
    return (alone || daemon->config.worker_guests == 1) && !daemon->config.pv_disks
               ? (disks * BLK_HELD_BYTES + 2 * BLK_MAX_BYTES) / POOL_PAGE
               : daemon->config.pool_pages;
}

static struct worker *process_new(struct daemon *daemon, unsigned disks, bool alone)
{
    struct worker_process *process = calloc(1, sizeof(*process));

    if (!process)
        return NULL;
    process->worker.params = (struct worker_params){
        .id = daemon->next_worker++,
        .pool_pages = pool_pages(daemon, disks, alone),
        .aio_depth = daemon->config.aio_depth,
        .poll_us = daemon->config.poll_us,
        .log = &daemon->log,
    };
    process->worker.is_process = true;
    process->alone = alone;
    process->daemon = daemon;
    process->pid_fd = process->sock = process->listener = -1;
    process->tail = &process->first;
    process->next = daemon->processes;
    daemon->processes = process;
    return &process->worker;
}

struct worker *worker_process_choose(struct daemon *daemon, unsigned disks, bool alone)
{
    unsigned most = daemon->config.worker_guests, count = 0;
    struct worker *best = NULL;

    for (struct worker_process *process = daemon->processes; process; process = process->next) {
        struct worker *worker = &process->worker;

        if (process->lost || process->over || process->alone)
            continue;
        count++;
        if ((!most || worker->guests < most) && worker_has_room(worker, disks) &&
            (!best || worker->guests < best->guests))
            best = worker;
    }
    if (!alone && best && count >= daemon_worker_count(daemon))
        return best;
    return process_new(daemon, disks, alone);
}

/* ---- its end ----------------------------------------------------------------------------------*/

static void process_free(struct worker_process *process)
{
    struct worker_process **link = &process->daemon->processes;

    while (*link != process)
        link = &(*link)->next;
    *link = process->next;
    if (process->pid_fd >= 0)
        ev_io_stop(process->daemon->ev, &process->exit_io);
    worker_process_close_fd(&process->pid_fd);
    if (process->counts)
        munmap(process->counts, sizeof(*process->counts));
    if (process->broker)
        process->broker_of->broker_close(process->broker);
    free(process);
}

/* Of this thread alone, which glibc's calls are not. The change keeps others from looking into the
 * daemon, which is undone, too. */
int worker_process_kill(uid_t uid, pid_t pid)
{
    const uid_t mine = geteuid();
    const int dumpable = prctl(PR_GET_DUMPABLE);
    const bool other = mine && uid && !syscall(SYS_setresuid, -1, uid, -1);
    int err = kill(pid, SIGKILL) ? -errno : 0;

    if (other && !syscall(SYS_setresuid, -1, mine, -1))
        prctl(PR_SET_DUMPABLE, dumpable == 1);
    return err;
}

/* All that it has to give back has been given back. */
static void process_end(struct worker_process *process)
{
    process->over = true;
    worker_link_close(process);
    if (!process->pid)
        process_free(process);
    else if (!process->reaped)
        worker_process_kill(process->daemon->worker_uid, process->pid);
}

void worker_process_give_back(struct worker *worker)
{
    if (worker && !worker_process_of(worker)->n_seats)
        process_end(worker_process_of(worker));
}

void worker_process_forget(struct daemon *daemon)
{
    if (daemon->processes)
        ev_timer_stop(daemon->ev, &daemon->beat);
    while (daemon->processes) {
        assert(!daemon->processes->n_seats);
        process_free(daemon->processes);
    }
}

static void describe_end(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

/* Its descriptors are closed by then, and with them the locks of its images. */
static void on_exit_io(struct ev_loop *ev, ev_io *io, int revents)
{
    struct worker_process *process = io->data;
    char how[64];
    int status;

    if (waitpid(process->pid, &status, WNOHANG) != process->pid)
        return;
    ev_io_stop(ev, io);
    worker_process_close_fd(&process->pid_fd);
    process->reaped = process->lost = true;
    process->hangs = false;
    /* What it said before: no more, for somebody else may have the other end and go on. */
    worker_link_take(process, WORKER_LINK_HOLDS);
    if (process->n_seats) {
        describe_end(status, how, sizeof(how));
        log_write(&process->daemon->log, LOG_ERR, worker_process_name(process),
                  "event=worker-died worker=%u guests=%u how=\"%s\"", process->worker.params.id,
                  process->n_seats, how);
        worker_link_close(process);
        worker_seats_died(process, how);
    }
    process_free(process);
}

void worker_process_lose(struct worker_process *process, const char *why)
{
    if (process->lost)
        return;
    log_write(&process->daemon->log, LOG_CRIT, worker_process_name(process),
              "event=worker-killed worker=%u guests=%u why=\"%s\"", process->worker.params.id,
              process->n_seats, why);
    process->lost = true;
    worker_link_close(process);
    if (!process->reaped)
        process->killed = !worker_process_kill(process->daemon->worker_uid, process->pid);
}

/* ---- signs of life ----------------------------------------------------------------------------*/

/* on_exit_io() is to follow. */
static bool has_ended(const struct worker_process *process)
{
    siginfo_t info = {0};

    return !waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

static void tell_that_it_hangs(struct worker_process *process, const char *hint)
{
    process->hangs = true;
    process->told_ns = worker_process_now(process);
    log_write(&process->daemon->log, LOG_CRIT, worker_process_name(process),
              "event=worker-hangs worker=%u pid=%d guests=%u hint=\"%s\"",
              process->worker.params.id, (int)process->pid, process->n_seats, hint);
}

/* One that has not answered for a whole interval: it does not come back to its loop, and all its
 * guests wait. Not if that is for want of what an order takes, which is no fault of its. */
static bool is_late(const struct worker_process *process)
{
    uint64_t setup = process->daemon->config.worker_timeout * UINT64_C(1000000000);

    if (process->confined)
        return process->beats && !ev_is_active(&process->again);
    setup = setup > WORKER_SETUP_NS ? setup : WORKER_SETUP_NS;
    return worker_process_now(process) - process->started_ns > setup;
}

static void beat(struct worker_process *process)
{
    struct worker_order order = {.kind = ORDER_BEAT};

    /* What it has said is looked at before it is judged: we may not have come to that. */
    if (process->beats)
        worker_link_take(process, WORKER_LINK_HOLDS);
    if (process->hangs && worker_process_now(process) - process->told_ns >= WORKER_HANGS_NS)
        tell_that_it_hangs(process, "it was ended, but the kernel does not let it go: its guests "
                                    "stand still");
    if (process->lost || process->over || !process->pid)
        return;
    if (is_late(process)) {
        if (has_ended(process))
            return;
        tell_that_it_hangs(process, "it is ended, and its guests get another one");
        worker_process_lose(process, "it gives no sign of life");
        return;
    }
    if (!process->confined || process->beats)
        return;
    process->beats = 1;
    worker_link_tell(process, &order);
}

static void on_beat(struct ev_loop *ev, ev_timer *timer, int revents)
{
    struct daemon *daemon = timer->data;

    for (struct worker_process *process = daemon->processes; process; process = process->next)
        beat(process);
    worker_process_beat_again(daemon);
}

/* Once, from now on, of which the loop may not know yet. One that repeats would, after we have been
 * away from the loop, come twice at a time, and leave no interval in between to answer in. */
static void start_beating(struct daemon *daemon)
{
    if (!daemon->config.worker_timeout || ev_is_active(&daemon->beat))
        return;
    ev_now_update(daemon->ev);
    ev_timer_init(&daemon->beat, on_beat, daemon->config.worker_timeout, 0.);
    daemon->beat.data = daemon;
    ev_timer_start(daemon->ev, &daemon->beat);
}

void worker_process_beat_again(struct daemon *daemon)
{
    ev_timer_stop(daemon->ev, &daemon->beat);
    if (daemon->processes)
        start_beating(daemon);
}

bool worker_process_progress(const struct daemon *daemon)
{
    for (const struct worker_process *process = daemon->processes; process; process = process->next)
        if (process->hangs && !process->killed)
            return false;
    return true;
}

/* ---- its beginning ----------------------------------------------------------------------------*/

/* Between fork(2) and execve(2). Nothing is left open but its end of the link, 0 to 2 included,
 * which worker_child_main() has lead nowhere. */
__attribute__((noreturn)) static void become(const struct daemon *daemon, int sock)
{
    char *const argv[] = {(char[]){"ioemud"}, (char[]){WORKER_ARGUMENT}, NULL};

    if (sock != WORKER_LINK && dup2(sock, WORKER_LINK) < 0)
        _exit(EXIT_FAILURE);
    if (fcntl(WORKER_LINK, F_SETFD, 0) || syscall(SYS_close_range, WORKER_LINK + 1, UINT32_MAX, 0))
        _exit(EXIT_FAILURE);
    if (!daemon->worker_program)
        worker_child_main(WORKER_LINK, daemon->hv);
    execv(daemon->worker_program, argv);
    _exit(EXIT_FAILURE);
}

static int fork_it(struct worker_process *process, int sock)
{
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (!pid)
        become(process->daemon, sock);
    process->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process->pid_fd < 0) { /* EMFILE */
        int err = -errno;

        worker_process_kill(process->daemon->worker_uid, pid);
        waitpid(pid, NULL, 0); /* it has nothing yet that could keep it */
        return err;
    }
    process->pid = pid;
    process->started_ns = worker_process_now(process);
    ev_io_init(&process->exit_io, on_exit_io, process->pid_fd, EV_READ);
    process->exit_io.data = process;
    /* What it said comes before its end. */
    ev_set_priority(&process->exit_io, EV_MINPRI);
    ev_io_start(process->daemon->ev, &process->exit_io);
    return 0;
}

static void set_up(struct worker_process *process, int counts_fd)
{
    const struct daemon *daemon = process->daemon;
    const struct worker_params *params = &process->worker.params;
    struct worker_order order = {
        .kind = ORDER_SETUP,
        .setup = {.id = params->id,
                  .pool_pages = params->pool_pages,
                  .aio_depth = params->aio_depth,
                  .poll_us = params->poll_us,
                  .log_level = log_level(&daemon->log),
                  .counts_fd = counts_fd,
                  .uid = daemon->worker_uid,
                  .gid = daemon->worker_gid},
    };

    for (unsigned i = 0; i < WORKER_HVS; i++)
        order.setup.hvs |= daemon->host[i] ? 1u << i : 0;
    if (daemon->worker_uid)
        snprintf(order.setup.root, sizeof(order.setup.root), "%s/empty", daemon->config.run_dir);
    worker_link_tell(process, &order);
}

int worker_process_spawn(struct worker_process *process)
{
    int sock[2], counts_fd, err;
    void *counts;

    if (process->pid)
        return 0;
    err = worker_process_share("ioemud-worker", sizeof(*process->counts), &counts_fd, &counts);
    if (err)
        return err;
    process->counts = counts;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock)) {
        err = -errno;
        goto close_counts;
    }
    err = fork_it(process, sock[1]);
    close(sock[1]);
    if (err) {
        close(sock[0]);
        goto close_counts;
    }
    worker_link_open(process, sock[0]);
    set_up(process, counts_fd);
    start_beating(process->daemon);
    return 0;

close_counts:
    munmap(process->counts, sizeof(*process->counts));
    process->counts = NULL;
    close(counts_fd);
    return err;
}

/* ---- what it counts ---------------------------------------------------------------------------*/

struct worker *worker_process_next(const struct daemon *daemon, const struct worker *worker)
{
    struct worker_process *process = worker ? worker_process_of(worker)->next : daemon->processes;

    while (process && !process->n_seats)
        process = process->next;
    return process ? &process->worker : NULL;
}

bool worker_process_counts(const struct worker *worker, struct worker_counts *ret_counts)
{
    const struct worker_process *process = worker_process_of(worker);

    if (!process->counts)
        return false;
    vm_counts_move(ret_counts, process->counts, sizeof(*ret_counts));
    worker_bool_check(&ret_counts->pool.locked);
    worker_bool_check(&ret_counts->pool.huge);
    return true;
}

pid_t worker_process_pid(const struct worker *worker)
{
    return worker_process_of(worker)->pid;
}
