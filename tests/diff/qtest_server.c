// SPDX-License-Identifier: GPL-2.0-or-later
/*
 *   qtest_server -qtest unix:PATH|stdio -drive file=IMAGE,if=ide,index=N,format=raw ...
 *   qtest_server -qtest ... -drive file=IMAGE,if=none,id=ID,format=raw
 *                -device ide-hd,drive=ID,bus=ide.0,unit=1,serial=TEXT,model=TEXT ...
 *   qtest_server -qtest ... -device e1000,mac=02:00:00:00:00:01,addr=4
 *
 * Our devices behind QEMU's qtest protocol: a test that drives `qemu-system-x86_64 -machine pc
 * -accel qtest` over port, memory and interrupt lines can drive them instead. As QEMU does, it
 * connects to PATH, where the test listens, and ends when the test hangs up. There is no QMP.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/diff/qtest_commands.h"

#define LINE_MAX_BYTES (256u << 20) /* a `write` of all that it can */

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "qtest_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = strcspn(path, ",");

    if (fd < 0)
        die("socket");
    if (len >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        die(path);
    }
    memcpy(address.sun_path, path, len);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
        die(path);
    return fd;
}

static bool send_all(struct qtest *qtest, int fd)
{
    for (size_t at = 0; at < qtest->out_len;) {
        ssize_t n = write(fd, qtest->out + at, qtest->out_len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    qtest->out_len = 0;
    return true;
}

/* Requests may come many at a time; their answers leave together. */
static void serve(struct qtest *qtest, int in, int out)
{
    char *buf = NULL;
    size_t size = 0, len = 0;

    for (;;) {
        if (len == size) {
            size = 2 * size + 65536;
            buf = size <= LINE_MAX_BYTES ? realloc(buf, size) : NULL;
            if (!buf)
                die("a line too long");
        }
        ssize_t n = read(in, buf + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;

        size_t begin = 0;
        for (char *end; (end = memchr(buf + begin, '\n', len - begin)); begin = end + 1 - buf) {
            *end = 0;
            if (end > buf + begin && end[-1] == '\r')
                end[-1] = 0;
            qtest_command(qtest, buf + begin);
        }
        memmove(buf, buf + begin, len - begin);
        len -= begin;
        if (!send_all(qtest, out))
            break;
    }
    free(buf);
}

int main(int argc, char **argv)
{
    struct qtest_options options;
    struct qtest qtest;

    signal(SIGPIPE, SIG_IGN);
    qtest_options_parse(argc, argv, &options);
    qtest_init(&qtest, &options);
    if (!strcmp(options.qtest, "stdio")) {
        serve(&qtest, STDIN_FILENO, STDOUT_FILENO);
    } else if (!strncmp(options.qtest, "unix:", 5)) {
        int fd = connect_to(options.qtest + 5);
        serve(&qtest, fd, fd);
        close(fd);
    } else {
        fprintf(stderr, "qtest_server: -qtest unix:PATH or -qtest stdio\n");
        return 2;
    }
    qtest_finish(&qtest);
    return 0;
}
