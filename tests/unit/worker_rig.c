/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/worker_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioreq/hv_shm_reaper.h"

/* Its thread is there before any child is, which goes on as we are: what a thread takes at its
 * beginning, the address sanitizer's locks among it, would stay taken in there. */
static void start_reaper(struct hv_shm_reaper *reaper)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

    assert_true(fd >= 0);
    hv_shm_reaper_close(reaper, fd);
    while (fcntl(fd, F_GETFD) >= 0)
        usleep(100);
}

/* No threads then, as in the daemon: and no pool, which a child does not get but whose place the
 * address sanitizer would remember. */
void worker_rig_processes(struct guest_rig *rig)
{
    worker_destroy(rig->daemon.worker[0]);
    rig->daemon.worker[0] = NULL;
    rig->daemon.n_workers = 0;
    rig->daemon.config.isolation = ISOLATION_PROCESS;
    rig->daemon.config.worker_guests = 1;
    assert_int_equal(hv_shm_reaper_create(&rig->daemon.reaper), 0);
    start_reaper(rig->daemon.reaper);
}

int worker_rig_setup(void **state)
{
    struct guest_rig *rig = malloc(sizeof(*rig));

    assert_non_null(rig);
    guest_rig_start(rig);
    worker_rig_processes(rig);
    *state = rig;
    return 0;
}

int worker_rig_teardown(void **state)
{
    guest_rig_stop(*state);
    free(*state);
    return 0;
}

pid_t worker_rig_start(struct guest_rig *rig, const char *json)
{
    struct rig_outcome outcome = {0};

    guest_rig_attach(rig, json, &outcome);
    guest_rig_settle(rig, 1);
    assert_int_equal(outcome.told, 1);
    assert_string_equal(outcome.why, "");
    assert_int_equal(outcome.err, 0);
    assert_int_equal(rig->daemon.guests->state, GUEST_RUNNING);
    return worker_process_pid(rig->daemon.guests->worker);
}

void worker_rig_none_stays(unsigned descriptors)
{
    for (unsigned i = 0; i < 1000 && guest_rig_descriptors() != descriptors; i++)
        usleep(1000);
    assert_int_equal(guest_rig_descriptors(), descriptors);
}

int worker_rig_link(pid_t pid)
{
    int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0), found = -1;
    char path[64];
    const struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir && found < 0 && (entry = readdir(dir))) {
        int fd = (int)syscall(SYS_pidfd_getfd, pid_fd, atoi(entry->d_name), 0), type = 0;
        socklen_t size = sizeof(type);

        if (fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET)
            found = fd;
        else if (fd >= 0)
            close(fd);
    }
    if (dir)
        closedir(dir);
    close(pid_fd);
    return found;
}

bool worker_rig_has_another(struct guest_rig *rig, void *arg)
{
    const struct worker_was *was = arg;
    const struct guest *guest = rig->daemon.guests;

    return guest && guest->state == GUEST_RUNNING && worker_process_pid(guest->worker) != was->pid;
}
