/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/usernet.h"

static const char help[] =
    "Usage: ioemud-usernet\n"
    "       ioemud-usernet --listen PATH\n"
    "The user network of a NIC, for guests of ioemud that worker processes serve. Runs in the\n"
    "foreground, a process for each NIC.\n"
    "\n"
    "Without an option it serves the connection that systemd has accepted for it\n"
    "(ioemud-usernet.socket).\n"
    "\n"
    "      --listen PATH   make a socket there, accept connections, and start a process for each\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "\n"
    "Exit status: 0 ended as asked, 1 failed (the log says why), 2 usage.\n"
    "See ioemud-usernet(8), ioemud-guest.json(5).\n";

enum option_value { OPTION_LISTEN = 256 };

static const struct option options[] = {
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* sd_listen_fds(3), for one descriptor. */
static bool was_given_connection(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    bool given = pid && fds && strtol(pid, NULL, 10) == getpid() && !strcmp(fds, "1");

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return given && !fcntl(USERNET_CONNECTION, F_SETFD, FD_CLOEXEC);
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    struct log log;
    int option, status;

    while ((option = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
        switch (option) {
        case OPTION_LISTEN:
            path = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("ioemud-usernet " IOEMUD_VERSION);
            return EXIT_SUCCESS;
        default:
            fputs("Try ioemud-usernet --help.\n", stderr);
            return 2;
        }
    }
    if (optind < argc || (!path && !was_given_connection())) {
        fputs(optind < argc
                  ? "ioemud-usernet: it takes no arguments but those of its options.\n"
                  : "ioemud-usernet: systemd has given it no connection: --listen PATH, or "
                    "systemctl start ioemud-usernet.socket\n",
              stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    log_init(&log, LOG_INFO);
    status = path ? usernet_listen(path, &log) : usernet_serve(USERNET_CONNECTION, &log);
    log_finish(&log);
    return status;
}
