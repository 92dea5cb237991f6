/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One NS16550A (National PC16550D, 1995) in front of a chr; devices/chipset/uart16550.c puts it on
 * the bus.
 *
 * The transmitter is as fast as its chr takes bytes: a byte leaves at once, and the FIFO fills only
 * while somebody at the other end does not read. The receiver is filled no further than it has
 * room, so that input waits at the other end instead of overrunning. The one use of the baud rate
 * is the receiver's timeout interrupt.
 *
 *     uart_init() -> uart_connect() -> uart_read()/uart_write()/uart_reset() -> uart_finish()
 */
#ifndef IOEMUD_DEVICES_CHIPSET_UART_H
#define IOEMUD_DEVICES_CHIPSET_UART_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/chr.h"
#include "devices/host.h"
#include "devices/state.h"

#define UART_FIFO_SIZE 16
#define UART_REGS      8

struct uart_fifo {
    uint8_t byte[UART_FIFO_SIZE];
    uint8_t error[UART_FIFO_SIZE]; /* the LSR bits that belong to the byte */
    uint8_t head, count;
};

struct uart_state {
    struct uart_fifo rx, tx;
    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, msr, scr;
    bool overrun;      /* LSR_OE */
    bool thre_pending; /* the transmitter emptied and nobody was told */
    bool rx_timeout;   /* input waits below the trigger level for too long */
};

struct uart {
    struct uart_state state;
    const struct host *host;
    struct chr *chr; /* NULL: nothing connected */
    unsigned irq;
    bool rx_stopped; /* the chr was told that there is no room */
    struct host_timer rx_timer;
    struct host_timer tx_timer; /* armed: the other end takes nothing */
    uint64_t rx_bytes, tx_bytes;
};

/* `chr` may be NULL; it stays the caller's. */
void uart_init(struct uart *uart, const struct host *host, unsigned irq, struct chr *chr);
/* From here on the chr may call in. */
void uart_connect(struct uart *uart);
void uart_finish(struct uart *uart);

/* `offset` is 0 to 7. */
uint8_t uart_read(struct uart *uart, uint64_t offset);
void uart_write(struct uart *uart, uint64_t offset, uint8_t value);
void uart_reset(struct uart *uart);

void uart_save(const struct uart *uart, struct state_writer *writer);
void uart_load(struct uart *uart, struct state_reader *reader);

#endif
