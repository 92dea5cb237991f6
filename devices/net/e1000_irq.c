/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts: INTA is high while a cause that is not masked is set (SDM 13.4.17), but does not
 * rise within ITR's interval of its last rise (13.4.18). Receive and transmit causes may be
 * delayed: by a timer that starts anew with each packet, and by one that does not (13.4.30, 31, 41,
 * 44).
 */
#include "devices/net/e1000_internal.h"

void e1000_irq_update(struct e1000 *nic)
{
    bool wanted = nic->reg[E1000_R_ICR] & nic->reg[E1000_R_IMS] && nic_may_interrupt(&nic->base);
    uint64_t interval = (uint64_t)nic->reg[E1000_R_ITR] * E1000_ITR_NS;

    if (!wanted)
        nic_disarm(&nic->base, &nic->timer.throttle);
    if (wanted && !nic->base.intx && interval) {
        if (nic->timer.throttle.deadline_ns)
            return;
        uint64_t now = host_now_ns(nic->base.host);
        if (nic->rose_ns && now - nic->rose_ns < interval) {
            nic->counts.throttled++;
            host_timer_arm(nic->base.host, &nic->timer.throttle, nic->rose_ns + interval);
            return;
        }
        nic->rose_ns = now;
    }
    nic_drive(&nic->base, wanted);
}

void e1000_irq_set(struct e1000 *nic, uint32_t causes)
{
    if (!causes)
        return;
    nic->reg[E1000_R_ICR] |= causes;
    e1000_irq_update(nic);
}

uint32_t e1000_icr_read(struct e1000 *nic)
{
    uint32_t icr = nic->reg[E1000_R_ICR];

    nic->reg[E1000_R_ICR] = 0;
    e1000_irq_update(nic);
    return icr;
}

static void throttle_expired(void *arg)
{
    e1000_irq_update(arg);
}

/* Either timer's expiry makes the other one's needless. */
static void rx_expired(void *arg)
{
    e1000_irq_flush_rx(arg);
}

static void tx_expired(void *arg)
{
    e1000_irq_flush_tx(arg);
}

void e1000_irq_flush_rx(struct e1000 *nic)
{
    nic_disarm(&nic->base, &nic->timer.rx_delay);
    nic_disarm(&nic->base, &nic->timer.rx_absolute);
    e1000_irq_set(nic, E1000_INT_RXT0);
}

void e1000_irq_flush_tx(struct e1000 *nic)
{
    nic_disarm(&nic->base, &nic->timer.tx_delay);
    nic_disarm(&nic->base, &nic->timer.tx_absolute);
    e1000_irq_set(nic, E1000_INT_TXDW);
}

/* Starts what delays a cause: `delay` anew, `absolute` unless it runs or is off. */
static void delay(struct e1000 *nic, struct host_timer *timer, uint32_t units,
                  struct host_timer *absolute, uint32_t absolute_units)
{
    nic_arm(&nic->base, timer, (uint64_t)units * E1000_DELAY_NS);
    if (absolute_units && !absolute->deadline_ns)
        nic_arm(&nic->base, absolute, (uint64_t)absolute_units * E1000_DELAY_NS);
}

void e1000_irq_received(struct e1000 *nic, uint32_t causes)
{
    struct e1000_timers *timer = &nic->timer;

    if (nic->reg[E1000_R_RDTR])
        delay(nic, &timer->rx_delay, nic->reg[E1000_R_RDTR], &timer->rx_absolute,
              nic->reg[E1000_R_RADV]);
    else
        causes |= E1000_INT_RXT0;
    e1000_irq_set(nic, causes);
}

void e1000_irq_sent(struct e1000 *nic, uint32_t causes, bool at_once, bool delayed)
{
    struct e1000_timers *timer = &nic->timer;

    if (at_once || (delayed && !nic->reg[E1000_R_TIDV])) {
        nic_disarm(&nic->base, &timer->tx_delay);
        nic_disarm(&nic->base, &timer->tx_absolute);
        causes |= E1000_INT_TXDW;
    } else if (delayed) {
        delay(nic, &timer->tx_delay, nic->reg[E1000_R_TIDV], &timer->tx_absolute,
              nic->reg[E1000_R_TADV]);
    }
    e1000_irq_set(nic, causes);
}

void e1000_irq_init(struct e1000 *nic)
{
    host_timer_init(&nic->timer.throttle, throttle_expired, nic);
    host_timer_init(&nic->timer.rx_delay, rx_expired, nic);
    host_timer_init(&nic->timer.rx_absolute, rx_expired, nic);
    host_timer_init(&nic->timer.tx_delay, tx_expired, nic);
    host_timer_init(&nic->timer.tx_absolute, tx_expired, nic);
}
