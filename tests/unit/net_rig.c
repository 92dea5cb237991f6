/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/net_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static enum net_answer receive(void *owner, const uint8_t *frame, uint32_t bytes,
                               const struct net_offload *offload)
{
    struct net_rig *rig = owner;
    unsigned at = rig->got % NET_RIG_FRAMES;

    assert_false(rig->sending);
    assert_false(offload->csum_needed || offload->gso);
    if (!rig->room)
        return NET_NO_ROOM;
    rig->room--;
    rig->got++;
    rig->frame[at].bytes = bytes;
    rig->frame[at].csum_valid = offload->csum_valid;
    memcpy(rig->frame[at].data, frame,
           bytes < sizeof(rig->frame[at].data) ? bytes : sizeof(rig->frame[at].data));
    return NET_TAKEN;
}

static void received(void *owner)
{
    ((struct net_rig *)owner)->batches++;
}

static void writable(void *owner)
{
    struct net_rig *rig = owner;

    assert_false(rig->sending);
    rig->writables++;
}

static void link_changed(void *owner, bool up)
{
    ((struct net_rig *)owner)->link = up;
}

static const struct net_client_ops ops = {
    .receive = receive, .received = received, .writable = writable, .link = link_changed};

void net_rig_init(struct net_rig *rig, struct fake_loop *fake, struct net_port *port)
{
    memset(rig, 0, sizeof(*rig));
    rig->fake = fake;
    rig->room = UINT32_MAX;
    assert_int_equal(net_open(port, &rig->net), 0);
    rig->link = net_link(rig->net);
    net_bind(rig->net, &ops, rig);
    net_receive_enable(rig->net, true);
}

void net_rig_finish(struct net_rig *rig)
{
    net_bind(rig->net, NULL, NULL);
    net_close(rig->net);
}

bool net_rig_send(struct net_rig *rig, const void *frame, uint32_t bytes,
                  const struct net_offload *offload)
{
    const struct iovec iov = {(void *)frame, bytes};
    bool taken;

    rig->sending = true;
    taken = net_send(rig->net, &iov, 1, offload);
    rig->sending = false;
    return taken;
}

bool net_rig_wait(struct net_rig *rig, unsigned got)
{
    while (rig->got < got && fake_loop_turn(rig->fake, 1000))
        ;
    return rig->got >= got;
}
