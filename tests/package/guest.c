/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest without a hypervisor, for the package's test: it looks for its disk controller ten times
 * a second, until it is killed or the daemon does not answer.
 *
 *   guest SOCKET NAME
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/peer/peer.h"

#define IDE_BDF (1u << 3 | 1u) /* 00:01.1 */
#define IDE_ID  0x70108086u    /* PIIX3's */

int main(int argc, char **argv)
{
    struct peer_options options = {.ram_size = 1 << 20};
    char reason[112] = "";
    struct peer *peer;
    int err;

    if (argc != 3) {
        fputs("usage: guest SOCKET NAME\n", stderr);
        return 2;
    }
    options.socket = argv[1];
    options.name = argv[2];
    err = peer_connect(&options, &peer, reason);
    if (!err)
        err = peer_wait_enabled(peer);
    if (err) {
        fprintf(stderr, "guest: %s %s\n", strerror(-err), reason);
        return EXIT_FAILURE;
    }
    for (;;) {
        uint32_t id = peer_pci_read(peer, 0, IDE_BDF, 0, 4);

        err = peer_error(peer);
        if (err || id != IDE_ID) {
            fprintf(stderr, "guest: its disk controller is 0x%08x, %s\n", id, strerror(-err));
            return EXIT_FAILURE;
        }
        usleep(100000);
    }
}
