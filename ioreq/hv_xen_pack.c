/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_xen: a guest on its way to a worker process. */
#include "ioreq/hv_xen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenevtchn.h>

void hv_xen_guest_close_evtchn(struct hv_guest *guest)
{
    if (guest->evtchn)
        xenevtchn_close(guest->evtchn);
    guest->evtchn = NULL;
    guest->evtchn_fd = -1;
}

struct packed_guest {
    struct hv_guest_info info;
    char name[HV_NAME_MAX + 1];
    uint16_t domid, server_id;
    uint32_t map_limit_mib;
    bool buffered_pio;
};
_Static_assert(sizeof(struct packed_guest) <= HV_PACKED_BYTES, "it fits");

int hv_xen_guest_pack(struct hv_guest *guest, struct hv_packed *ret_packed)
{
    struct packed_guest packed = {
        .info = guest->info,
        .domid = guest->domid,
        .server_id = guest->server_id,
        .map_limit_mib = guest->map_limit_mib,
        .buffered_pio = guest->buffered_pio,
    };
    int fd = fcntl(guest->evtchn_fd, F_DUPFD_CLOEXEC, 0); /* of the same open file */

    if (fd < 0)
        return -errno;
    memcpy(packed.name, guest->name, sizeof(packed.name));
    *ret_packed =
        (struct hv_packed){.bytes = sizeof(packed), .count = 2, .fds = {guest->privcmd_fd, fd}};
    memcpy(ret_packed->data, &packed, sizeof(packed));
    guest->privcmd_fd = -1;
    hv_xen_guest_close_evtchn(guest);
    return 0;
}

int hv_xen_guest_unpack(struct hv_host *host, const struct hv_packed *packed,
                        struct hv_guest **ret_guest)
{
    struct hv_guest *guest = calloc(1, sizeof(*guest));
    struct packed_guest from;

    memcpy(&from, packed->data, sizeof(from));
    if (guest)
        guest->evtchn = xenevtchn_fdopen(NULL, packed->fds[1], 0);
    if (!guest || !guest->evtchn) {
        close(packed->fds[0]);
        close(packed->fds[1]);
        free(guest);
        return -ENOMEM;
    }
    guest->host = host;
    guest->info = from.info;
    memcpy(guest->name, from.name, sizeof(guest->name));
    guest->domid = from.domid;
    guest->server_id = from.server_id;
    guest->map_limit_mib = from.map_limit_mib;
    guest->buffered_pio = from.buffered_pio;
    guest->privcmd_fd = packed->fds[0];
    guest->evtchn_fd = packed->fds[1];
    *ret_guest = guest;
    return 0;
}
