/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of who closes what others have sent. After cmocka.h. */
#ifndef IOEMUD_TESTS_UNIT_LINGERING_H
#define IOEMUD_TESTS_UNIT_LINGERING_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* A TCP socket full of data that nobody takes: its last close() waits for ten seconds. */
static inline int lingering_socket(int *ret_other)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger linger = {.l_onoff = 1, .l_linger = 10};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static const char data[65536];

    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    *ret_other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    while (send(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
        ;
    return fd;
}

#endif
