/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of who listens. After cmocka.h. */
#ifndef IOEMUD_TESTS_UNIT_FREE_PORT_H
#define IOEMUD_TESTS_UNIT_FREE_PORT_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of the loopback interface, SOCK_STREAM or SOCK_DGRAM; somebody may take it until the test does,
 * which fails that and no more. */
static inline uint16_t free_port(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

#endif
