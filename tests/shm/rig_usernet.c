/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/shm/rig.h"

/* The child's half: its words do not go where ours do. */
__attribute__((noreturn)) static void run(const char *path, const char *log)
{
    const char *program = getenv("IOEMUD_USERNET");
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    dup2(fd, 1);
    dup2(fd, 2);
    execlp(program ? program : "ioemud-usernet", "ioemud-usernet", "--listen", path, (char *)NULL);
    dprintf(2, "%s: %s\n", program ? program : "ioemud-usernet", strerror(errno));
    _exit(127);
}

void rig_user_network(struct rig *rig)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char log[RIG_PATH];

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/usernet.sock", rig->dir);
    snprintf(log, sizeof(log), "%s/usernet.log", rig->dir);
    rig->usernet = fork();
    if (!rig->usernet)
        run(addr.sun_path, log);
    for (int i = 0; rig->usernet > 0 && i < 1000; i++) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        bool listens = !connect(fd, (struct sockaddr *)&addr, sizeof(addr));

        close(fd);
        if (listens)
            return;
        usleep(10000);
    }
    fprintf(stderr, "ioemud-usernet does not listen\n");
    _exit(99);
}

void rig_user_network_stop(struct rig *rig)
{
    if (!rig->usernet)
        return;
    kill(rig->usernet, SIGTERM);
    waitpid(rig->usernet, NULL, 0);
    rig->usernet = 0;
}
