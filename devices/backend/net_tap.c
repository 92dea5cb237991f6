/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/backend/nets.h"

/* Since Linux 6.2; Debian 12's headers lack them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* An interface queues as many, unless its txqueuelen was raised. */
#define DISCARD_MAX 1000

_Static_assert(sizeof(struct virtio_net_hdr) == NET_TAP_HEADER, "as in nets.h");

struct tap {
    struct net_port port; /* first */
    int fd;
    bool header;
    bool reading, blocked; /* blocked: the kernel takes nothing now */
    bool dead;             /* the interface is gone */
    struct loop_watch *watch;
};

static void rewatch(struct tap *tap)
{
    unsigned events = 0;

    if (tap->reading && !tap->dead)
        events |= LOOP_READ;
    if (tap->blocked && !tap->dead)
        events |= LOOP_WRITE;
    tap->port.loop->ops->rewatch(tap->port.loop->ctx, tap->watch, events);
}

static uint8_t gso_to_header(enum net_gso gso)
{
    switch (gso) {
    case NET_GSO_TCP4:
        return VIRTIO_NET_HDR_GSO_TCPV4;
    case NET_GSO_TCP6:
        return VIRTIO_NET_HDR_GSO_TCPV6;
    case NET_GSO_UDP:
        return VIRTIO_NET_HDR_GSO_UDP_L4;
    case NET_GSO_NONE:
        break;
    }
    return VIRTIO_NET_HDR_GSO_NONE;
}

/* Fields are of the host's own byte order (TUNSETVNETLE is for guests that are not). */
static struct virtio_net_hdr to_header(const struct net_offload *offload)
{
    struct virtio_net_hdr header = {0};

    if (offload->csum_needed) {
        header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.csum_start = offload->csum_start;
        header.csum_offset = offload->csum_offset;
    }
    header.gso_type = gso_to_header(offload->gso);
    if (offload->gso) {
        header.gso_size = offload->gso_size;
        header.hdr_len = offload->header_bytes;
    }
    return header;
}

static struct net_offload from_header(const struct virtio_net_hdr *header)
{
    struct net_offload offload = {
        .csum_needed = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_valid = header->flags & VIRTIO_NET_HDR_F_DATA_VALID,
        .csum_start = header->csum_start,
        .csum_offset = header->csum_offset,
        .gso_size = header->gso_size,
    };

    switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        offload.gso = NET_GSO_TCP4;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        offload.gso = NET_GSO_TCP6;
        break;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        offload.gso = NET_GSO_UDP;
        break;
    default:
        break;
    }
    return offload;
}

static enum net_sent tap_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                              const struct net_offload *offload)
{
    struct tap *tap = (struct tap *)port;
    struct virtio_net_hdr header = to_header(offload);
    struct iovec parts[NET_IOV_MAX + 1] = {{&header, sizeof(header)}};
    unsigned first = tap->header ? 1 : 0;
    ssize_t n;

    memcpy(&parts[first], iov, n_iov * sizeof(*iov));
    n = writev(tap->fd, parts, (int)(n_iov + first));
    if (n >= 0)
        return NET_SENT;
    if (errno != EAGAIN && errno != EINTR)
        return NET_LOST; /* the interface is down or gone, or does not take such a packet */
    tap->blocked = true;
    rewatch(tap);
    return NET_BUSY;
}

/* A packet into the NIC's buffer: its length, 0: none is there; -errno. */
static ssize_t read_packet(struct tap *tap, uint8_t *buffer, struct net_offload *ret_offload)
{
    struct virtio_net_hdr header = {0};
    struct iovec iov[] = {{&header, sizeof(header)}, {buffer, NET_PACKET_MAX}};
    ssize_t n;

    errno = 0; /* for a packet of nothing but a header */
    if (tap->header)
        n = readv(tap->fd, iov, 2) - (ssize_t)sizeof(header);
    else
        n = read(tap->fd, buffer, NET_PACKET_MAX);
    if (n > 0) {
        *ret_offload = from_header(&header);
        return n;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static void take_packets(struct tap *tap)
{
    struct net_offload offload;
    ssize_t n = 0;

    for (unsigned i = 0; i < NET_BUDGET; i++) {
        uint8_t *buffer = net_port_buffer(&tap->port);

        n = read_packet(tap, buffer, &offload);
        if (n <= 0 || !net_port_receive(&tap->port, buffer, (uint32_t)n, &offload))
            break;
    }
    net_port_received(&tap->port);
    if (n == -EBADFD || n == -ENODEV || n == -ENXIO) { /* deleted: for ever readable */
        tap->dead = true;
        rewatch(tap);
        net_port_carrier(&tap->port, false);
    }
}

static void on_events(void *arg, unsigned events)
{
    struct tap *tap = arg;

    if (events & LOOP_READ && tap->reading && !tap->dead)
        take_packets(tap);
    if (events & LOOP_WRITE && tap->blocked) {
        tap->blocked = false;
        rewatch(tap);
        net_port_writable(&tap->port);
    }
}

static void tap_set_reading(struct net_port *port, bool on)
{
    struct tap *tap = (struct tap *)port;

    tap->reading = on;
    rewatch(tap);
}

static void tap_discard(struct net_port *port)
{
    struct tap *tap = (struct tap *)port;
    uint8_t some[64]; /* the rest of each packet is cut off */

    for (unsigned i = 0; i < DISCARD_MAX && read(tap->fd, some, sizeof(some)) > 0; i++)
        ;
}

/* The other side of the cable: a bridge sees its port without a carrier. */
static void tap_set_link(struct net_port *port, bool up)
{
    struct tap *tap = (struct tap *)port;
    int carrier = up;

    (void)ioctl(tap->fd, TUNSETCARRIER, &carrier); /* since Linux 5.0; macvtap has none */
}

static void tap_close(struct net_port *port)
{
    struct tap *tap = (struct tap *)port;

    port->loop->ops->unwatch(port->loop->ctx, tap->watch);
    close(tap->fd);
    free(tap);
}

static const struct net_backend_ops tap_ops = {
    .name = "tap",
    .send = tap_send,
    .set_reading = tap_set_reading,
    .discard = tap_discard,
    .set_link = tap_set_link,
    .close = tap_close,
};

/* What the kernel may hand over unfinished, and with it what it takes unfinished. */
static unsigned negotiate(int fd)
{
    unsigned flags = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    unsigned caps = NET_CAN_CSUM | NET_CAN_TCP4 | NET_CAN_TCP6;

    if (ioctl(fd, TUNSETOFFLOAD, flags | TUN_F_USO4 | TUN_F_USO6) == 0)
        return caps | NET_CAN_UDP;
    return ioctl(fd, TUNSETOFFLOAD, flags) == 0 ? caps : 0;
}

int net_tap_open(int fd, bool header, const struct loop *loop, struct net_port **ret_port)
{
    struct tap *tap = calloc(1, sizeof(*tap));
    int flags = fcntl(fd, F_GETFL), err = -ENOMEM;

    if (!tap)
        return -ENOMEM;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK)) {
        err = -errno;
        goto free_tap;
    }
    tap->port = (struct net_port){
        .ops = &tap_ops,
        .loop = loop,
        .caps = header ? negotiate(fd) : 0,
        .max_frame = NET_FRAME_MAX, /* the kernel knows what the interface's bridge takes */
    };
    tap->header = header;
    err = loop->ops->watch(loop->ctx, fd, 0, on_events, tap, &tap->watch);
    if (err)
        goto free_tap;
    tap->fd = fd;
    *ret_port = &tap->port;
    return 0;

free_tap:
    free(tap);
    return err;
}
