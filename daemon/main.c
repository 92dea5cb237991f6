/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/worker_process.h"

static const char help[] =
    "Usage: ioemud [OPTION]...\n"
    "       ioemud --check [FILE]...\n"
    "One device model daemon for all HVM guests of a Xen host. Runs in the foreground.\n"
    "\n"
    "  -c, --config FILE   daemon configuration (default " DAEMON_CONFIG_FILE ",\n"
    "                      or built-in defaults where that does not exist)\n"
    "      --check         check the daemon configuration and every guest in its\n"
    "                      guests_dir, or the guest FILEs given; start nothing\n"
    "      --log-level N   emerg, alert, crit, err, warning, notice, info or debug\n"
    "                      (default: as configured)\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "\n"
    "Exit status: 0 ended as asked, 1 failed (the log says why), 2 usage.\n"
    "See ioemud(8), ioemud.json(5), ioemuctl(1).\n";

enum option_value { OPTION_CHECK = 256, OPTION_LOG_LEVEL };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, OPTION_CHECK},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* `given` NULL: the default file, and the built-in defaults where there is none. */
static int load_config(const char *given, struct daemon_config *ret_config)
{
    struct config_error error;
    int err = daemon_config_load(given ? given : DAEMON_CONFIG_FILE, ret_config, &error);

    if (err == -ENOENT && !given)
        return daemon_config_defaults(ret_config);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    return err;
}

/* Returns how many of the files are bad. What xl's line may still add is not missing. */
static unsigned check_guest(const char *path)
{
    struct guest_config config;
    struct config_error error;

    if (guests_dir_load(path, &config, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    printf("%s: good\n", path);
    guest_config_finish(&config);
    return 0;
}

static int check(const struct daemon_config *config, char **files, int n_files)
{
    char pattern[PATH_MAX];
    glob_t found = {0};
    unsigned bad = 0;

    for (int i = 0; i < n_files; i++)
        bad += check_guest(files[i]);
    snprintf(pattern, sizeof(pattern), "%s/*.json", config->guests_dir);
    if (!n_files && !glob(pattern, 0, NULL, &found))
        for (size_t i = 0; i < found.gl_pathc; i++)
            bad += check_guest(found.gl_pathv[i]);
    if (!n_files && !found.gl_pathc)
        printf("%s: no guests described\n", config->guests_dir);
    globfree(&found);
    if (bad)
        fprintf(stderr, "%u bad configuration file%s\n", bad, bad == 1 ? "" : "s");
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Else a guest's disk could become descriptor 2, and get the log. */
static void occupy_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* As in daemon_start(). */
static const struct hv_ops *const hypervisors[] = {
    [DAEMON_XEN] = &hv_xen_ops, [DAEMON_SHM] = &hv_shm_ops};

int main(int argc, char **argv)
{
    const char *config_path = NULL;
    struct daemon_config config;
    struct daemon daemon;
    bool check_only = false;
    int option, level = -1;

    if (argc == 2 && !strcmp(argv[1], WORKER_ARGUMENT))
        worker_child_main(WORKER_LINK, hypervisors);
    occupy_standard_descriptors();
    while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            config_path = optarg;
            break;
        case OPTION_CHECK:
            check_only = true;
            break;
        case OPTION_LOG_LEVEL:
            level = log_level_parse(optarg);
            if (level >= 0)
                break;
            fprintf(stderr,
                    "ioemud: no log level %s: emerg, alert, crit, err, warning, notice, info or "
                    "debug\n",
                    optarg);
            return 2;
        case 'h':
            fputs(help, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("ioemud " IOEMUD_VERSION);
            return EXIT_SUCCESS;
        default:
            fputs("Try ioemud --help.\n", stderr);
            return 2;
        }
    }
    if (optind < argc && !check_only) {
        fprintf(stderr, "ioemud: what to do with %s? Guests are attached by xl or ioemuctl.\n",
                argv[optind]);
        return 2;
    }
    if (load_config(config_path, &config))
        return EXIT_FAILURE;
    if (check_only) {
        int status = check(&config, argv + optind, argc - optind);

        daemon_config_finish(&config);
        return status;
    }
    if (level >= 0)
        config.log_level = level;
    umask(0027);
    if (daemon_start(&daemon, &config))
        return EXIT_FAILURE;
    daemon_set_source(&daemon, config_path, level >= 0);
    daemon_run(&daemon);
    daemon_finish(&daemon);
    return EXIT_SUCCESS;
}
