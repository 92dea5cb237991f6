/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Enough of a device model for libxl to create and unpause a domain, so that hvx.c can be its only
 * real one: `running` in xenstore, and QMP that agrees to everything.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <xenstore.h>

int fakedm(int argc, char **argv);

#define SOCKETS 4

static int listen_at(const char *option)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = strstr(option, "path=");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%.*s", (int)strcspn(path + 5, ","),
             path + 5);
    unlink(address.sun_path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0) {
        perror(address.sun_path);
        exit(1);
    }
    return fd;
}

/* One client, until it hangs up. */
static void talk(int fd)
{
    FILE *peer = fdopen(fd, "r");
    char line[4096];

    dprintf(fd, "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":0,\"minor\":2,\"major\":7},"
                "\"package\":\"\"},\"capabilities\":[]}}\r\n");
    while (fgets(line, sizeof(line), peer)) {
        const char *id = strstr(line, "\"id\"");
        int number = 0;

        if (!id)
            continue;
        sscanf(id + 4, " : %d", &number);
        dprintf(fd, "{\"return\":%s,\"id\":%d}\r\n", strstr(line, "\"query-") ? "[]" : "{}",
                number);
    }
    fclose(peer);
}

int fakedm(int argc, char **argv)
{
    struct pollfd fds[SOCKETS];
    const char *domid = "0";
    struct xs_handle *xs;
    unsigned count = 0;
    char path[128];

    for (int i = 0; i + 1 < argc; i++) {
        if (!strcmp(argv[i], "-xen-domid"))
            domid = argv[i + 1];
        if (!strcmp(argv[i], "-chardev") && strstr(argv[i + 1], "path=") && count < SOCKETS)
            fds[count++] = (struct pollfd){.fd = listen_at(argv[i + 1]), .events = POLLIN};
    }
    xs = xs_open(0);
    snprintf(path, sizeof(path), "/local/domain/0/device-model/%s/state", domid);
    if (!xs || !xs_write(xs, XBT_NULL, path, "running", 7)) {
        perror(path);
        return 1;
    }
    for (;;) {
        if (poll(fds, count, -1) < 0)
            return 1;
        for (unsigned i = 0; i < count; i++)
            if (fds[i].revents)
                talk(accept(fds[i].fd, NULL, NULL));
    }
}
