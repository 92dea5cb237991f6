/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "devices/backend/nets.h"

static enum net_sent null_send(struct net_port *port, const struct iovec *iov, unsigned n_iov,
                               const struct net_offload *offload)
{
    return NET_SENT;
}

static void null_set_reading(struct net_port *port, bool on)
{
}

static void null_close(struct net_port *port)
{
    free(port);
}

static const struct net_backend_ops null_ops = {
    .name = "null",
    .send = null_send,
    .set_reading = null_set_reading,
    .close = null_close,
};

int net_null_open(const struct loop *loop, struct net_port **ret_port)
{
    struct net_port *port = calloc(1, sizeof(*port));

    if (!port)
        return -ENOMEM;
    *port = (struct net_port){
        .ops = &null_ops,
        .loop = loop,
        .caps = NET_CAN_CSUM | NET_CAN_TCP4 | NET_CAN_TCP6 | NET_CAN_UDP,
        .max_frame = NET_FRAME_MAX,
    };
    *ret_port = port;
    return 0;
}
