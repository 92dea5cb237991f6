/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/chipset/uart.h"

/* Offsets, 8.0 table II. */
#define REG_DATA 0 /* RBR, THR; DLAB: divisor low */
#define REG_IER  1 /* DLAB: divisor high */
#define REG_IIR  2 /* write: FCR */
#define REG_LCR  3
#define REG_MCR  4
#define REG_LSR  5
#define REG_MSR  6
#define REG_SCR  7

#define IER_RX       0x01
#define IER_THRE     0x02
#define IER_LINE     0x04
#define IER_MODEM    0x08
#define IER_WRITABLE 0x0f

/* Interrupt sources in order of priority, 8.6 table IV. */
#define IIR_LINE    0x06
#define IIR_RX      0x04
#define IIR_TIMEOUT 0x0c
#define IIR_THRE    0x02
#define IIR_MODEM   0x00
#define IIR_NONE    0x01
#define IIR_FIFOS   0xc0

#define FCR_ENABLE  0x01
#define FCR_RX_CLR  0x02
#define FCR_TX_CLR  0x04
#define FCR_TRIGGER 0xc0
#define FCR_STORED  (FCR_ENABLE | FCR_TRIGGER)

#define LCR_BREAK 0x40
#define LCR_DLAB  0x80

#define MCR_DTR      0x01
#define MCR_RTS      0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08 /* on a PC it gates the interrupt line */
#define MCR_LOOP     0x10
#define MCR_WRITABLE 0x1f

#define LSR_DR         0x01
#define LSR_OE         0x02
#define LSR_BI         0x10
#define LSR_ERRORS     0x1e
#define LSR_THRE       0x20
#define LSR_TEMT       0x40
#define LSR_FIFO_ERROR 0x80

#define MSR_DELTAS 0x0f /* CTS, DSR, trailing edge of RI, DCD */
#define MSR_TERI   0x04
#define MSR_CTS    0x10
#define MSR_DSR    0x20
#define MSR_RI     0x40
#define MSR_DCD    0x80
#define MSR_LINES  0xf0

#define CLOCK_HZ      1843200ull
#define TIMEOUT_CHARS 4  /* 8.4: no access and no input for four characters */
#define CHAR_BITS     10 /* start, 8, stop: near enough for a timeout */

static void fifo_push(struct uart_fifo *fifo, uint8_t byte, uint8_t error)
{
    unsigned at = (fifo->head + fifo->count) % UART_FIFO_SIZE;

    fifo->byte[at] = byte;
    fifo->error[at] = error;
    fifo->count++;
}

static uint8_t fifo_pop(struct uart_fifo *fifo)
{
    uint8_t byte = fifo->byte[fifo->head];

    fifo->head = (uint8_t)((fifo->head + 1) % UART_FIFO_SIZE);
    fifo->count--;
    return byte;
}

static void fifo_clear(struct uart_fifo *fifo)
{
    fifo->head = fifo->count = 0;
}

static bool fifos_on(const struct uart_state *state)
{
    return state->fcr & FCR_ENABLE;
}

/* Without the FIFOs there is one holding register each way. */
static unsigned depth(const struct uart_state *state)
{
    return fifos_on(state) ? UART_FIFO_SIZE : 1;
}

static unsigned trigger(const struct uart_state *state)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return fifos_on(state) ? levels[state->fcr >> 6] : 1;
}

static uint8_t lsr(const struct uart_state *state)
{
    const struct uart_fifo *rx = &state->rx;
    uint8_t value = state->overrun ? LSR_OE : 0;

    if (rx->count)
        value |= LSR_DR | rx->error[rx->head];
    for (unsigned i = 0; fifos_on(state) && i < rx->count; i++) {
        if (rx->error[(rx->head + i) % UART_FIFO_SIZE])
            value |= LSR_FIFO_ERROR;
    }
    if (!state->tx.count)
        value |= LSR_THRE | LSR_TEMT;
    return value;
}

/* The modem lines: of a peer that is always ready, or in loopback our own outputs (8.7). */
static uint8_t modem_lines(const struct uart_state *state)
{
    uint8_t lines = 0;

    if (!(state->mcr & MCR_LOOP))
        return MSR_DCD | MSR_DSR | MSR_CTS;
    if (state->mcr & MCR_RTS)
        lines |= MSR_CTS;
    if (state->mcr & MCR_DTR)
        lines |= MSR_DSR;
    if (state->mcr & MCR_OUT1)
        lines |= MSR_RI;
    if (state->mcr & MCR_OUT2)
        lines |= MSR_DCD;
    return lines;
}

static void modem_update(struct uart_state *state)
{
    uint8_t lines = modem_lines(state);
    uint8_t changed = (state->msr ^ lines) & MSR_LINES;

    /* RI counts only when it falls. */
    if ((changed & MSR_RI) && (lines & MSR_RI))
        changed &= (uint8_t)~MSR_RI;
    state->msr = lines | (state->msr & MSR_DELTAS) | changed >> 4;
}

static uint8_t interrupt_source(const struct uart_state *state)
{
    if ((state->ier & IER_LINE) && (lsr(state) & LSR_ERRORS))
        return IIR_LINE;
    if ((state->ier & IER_RX) && state->rx.count >= trigger(state))
        return IIR_RX;
    if ((state->ier & IER_RX) && state->rx_timeout)
        return IIR_TIMEOUT;
    if ((state->ier & IER_THRE) && state->thre_pending)
        return IIR_THRE;
    if ((state->ier & IER_MODEM) && (state->msr & MSR_DELTAS))
        return IIR_MODEM;
    return IIR_NONE;
}

static void irq_update(struct uart *uart)
{
    const struct uart_state *state = &uart->state;
    bool level = (state->mcr & MCR_OUT2) && interrupt_source(state) != IIR_NONE;

    host_isa_irq(uart->host, uart->irq, level);
}

/* The timeout runs while input waits below the trigger level. */
static void rx_timer_update(struct uart *uart)
{
    struct uart_state *state = &uart->state;

    state->rx_timeout = false;
    if (!fifos_on(state) || !(state->ier & IER_RX) || !state->rx.count) {
        host_timer_disarm(uart->host, &uart->rx_timer);
        return;
    }
    uint64_t divisor = state->divisor ? state->divisor : 0x10000;
    uint64_t bit_ns = divisor * 16 * 1000000000ull / CLOCK_HZ;
    host_timer_arm(uart->host, &uart->rx_timer,
                   host_now_ns(uart->host) + bit_ns * CHAR_BITS * TIMEOUT_CHARS);
}

static void rx_timer_expired(void *arg)
{
    struct uart *uart = arg;

    uart->state.rx_timeout = uart->state.rx.count > 0;
    irq_update(uart);
}

static void rx_push(struct uart *uart, uint8_t byte, uint8_t error)
{
    struct uart_state *state = &uart->state;

    if (state->rx.count >= depth(state)) {
        state->overrun = true;
        if (fifos_on(state))
            return; /* 8.4: the byte in the shift register is lost */
        fifo_clear(&state->rx);
    }
    fifo_push(&state->rx, byte, error);
    rx_timer_update(uart);
}

/* Lets the other end go on once there is room again. */
static void rx_restart(struct uart *uart)
{
    const struct uart_state *state = &uart->state;

    if (!uart->rx_stopped || (state->mcr & MCR_LOOP) || state->rx.count >= depth(state))
        return;
    uart->rx_stopped = false;
    chr_accept(uart->chr);
}

/* How long a listener who does not read may hold the guest up: his console is not worth its
 * standstill. Much longer than a terminal needs to scroll. */
#define TX_PATIENCE_NS UINT64_C(2000000000)

/* Sends what the other end takes; what it does not waits for output_writable(). */
static void tx_drain(struct uart *uart)
{
    struct uart_state *state = &uart->state;

    if (!state->tx.count)
        return;
    while (state->tx.count) {
        uint8_t byte = state->tx.byte[state->tx.head];
        if (state->mcr & MCR_LOOP)
            rx_push(uart, byte, 0);
        else if (uart->chr && !chr_write(uart->chr, byte)) {
            if (!uart->tx_timer.deadline_ns)
                host_timer_arm(uart->host, &uart->tx_timer,
                               host_now_ns(uart->host) + TX_PATIENCE_NS);
            return;
        } else
            uart->tx_bytes++;
        fifo_pop(&state->tx);
    }
    state->thre_pending = true;
}

static void write_data(struct uart *uart, uint8_t byte)
{
    struct uart_state *state = &uart->state;

    state->thre_pending = false;
    /* A guest that does not look at THRE overwrites what it wrote last (8.5). */
    if (state->tx.count >= depth(state))
        state->tx.count--;
    fifo_push(&state->tx, byte, 0);
    tx_drain(uart);
}

static uint8_t read_data(struct uart *uart)
{
    struct uart_state *state = &uart->state;
    uint8_t byte = 0;

    if (state->rx.count)
        byte = fifo_pop(&state->rx);
    rx_timer_update(uart);
    rx_restart(uart);
    return byte;
}

static uint8_t read_lsr(struct uart *uart)
{
    struct uart_state *state = &uart->state;
    uint8_t value = lsr(state);

    state->overrun = false;
    if (state->rx.count)
        state->rx.error[state->rx.head] = 0;
    return value;
}

static uint8_t read_iir(struct uart *uart)
{
    struct uart_state *state = &uart->state;
    uint8_t source = interrupt_source(state);

    if (source == IIR_THRE)
        state->thre_pending = false;
    return fifos_on(state) ? source | IIR_FIFOS : source;
}

static void write_ier(struct uart *uart, uint8_t value)
{
    struct uart_state *state = &uart->state;
    uint8_t rising = (uint8_t)(~state->ier & value & IER_WRITABLE);

    state->ier = value & IER_WRITABLE;
    if ((rising & IER_THRE) && !state->tx.count)
        state->thre_pending = true;
    if (rising & IER_RX)
        rx_timer_update(uart);
}

static void write_fcr(struct uart *uart, uint8_t value)
{
    struct uart_state *state = &uart->state;
    bool toggled = (state->fcr ^ value) & FCR_ENABLE;

    /* 8.4: changing the mode clears both; the other bits count only while the FIFOs are on. */
    if (toggled || (value & (FCR_ENABLE | FCR_RX_CLR)) == (FCR_ENABLE | FCR_RX_CLR)) {
        fifo_clear(&state->rx);
        state->overrun = false;
    }
    if (state->tx.count &&
        (toggled || (value & (FCR_ENABLE | FCR_TX_CLR)) == (FCR_ENABLE | FCR_TX_CLR))) {
        fifo_clear(&state->tx);
        state->thre_pending = true;
    }
    state->fcr = value & FCR_ENABLE ? value & FCR_STORED : 0;
    rx_timer_update(uart);
    rx_restart(uart);
}

static void write_lcr(struct uart *uart, uint8_t value)
{
    struct uart_state *state = &uart->state;
    bool break_begins = ~state->lcr & value & LCR_BREAK;

    state->lcr = value;
    /* A chr cannot carry a break; the receiver in loopback sees it as a zero with BI. */
    if (break_begins && (state->mcr & MCR_LOOP))
        rx_push(uart, 0, LSR_BI);
}

static void write_mcr(struct uart *uart, uint8_t value)
{
    struct uart_state *state = &uart->state;

    state->mcr = value & MCR_WRITABLE;
    modem_update(state);
    tx_drain(uart);
    rx_restart(uart);
}

uint8_t uart_read(struct uart *uart, uint64_t offset)
{
    struct uart_state *state = &uart->state;
    bool dlab = state->lcr & LCR_DLAB;
    uint8_t value;

    switch (offset) {
    case REG_DATA:
        value = dlab ? (uint8_t)state->divisor : read_data(uart);
        break;
    case REG_IER:
        return dlab ? (uint8_t)(state->divisor >> 8) : state->ier;
    case REG_IIR:
        value = read_iir(uart);
        break;
    case REG_LCR:
        return state->lcr;
    case REG_MCR:
        return state->mcr;
    case REG_LSR:
        value = read_lsr(uart);
        break;
    case REG_MSR:
        value = state->msr;
        state->msr &= MSR_LINES;
        break;
    default:
        return state->scr;
    }
    irq_update(uart);
    return value;
}

void uart_write(struct uart *uart, uint64_t offset, uint8_t value)
{
    struct uart_state *state = &uart->state;
    bool dlab = state->lcr & LCR_DLAB;

    switch (offset) {
    case REG_DATA:
        if (dlab)
            state->divisor = (state->divisor & 0xff00) | value;
        else
            write_data(uart, value);
        break;
    case REG_IER:
        if (dlab)
            state->divisor = (uint16_t)((state->divisor & 0x00ff) | value << 8);
        else
            write_ier(uart, value);
        break;
    case REG_IIR:
        write_fcr(uart, value);
        break;
    case REG_LCR:
        write_lcr(uart, value);
        break;
    case REG_MCR:
        write_mcr(uart, value);
        break;
    case REG_SCR:
        state->scr = value;
        break;
    default: /* LSR and MSR are for factory tests only */
        break;
    }
    irq_update(uart);
}

static size_t input_room(void *owner)
{
    struct uart *uart = owner;
    const struct uart_state *state = &uart->state;

    /* In loopback the line is cut off. */
    if ((state->mcr & MCR_LOOP) || state->rx.count >= depth(state)) {
        uart->rx_stopped = true;
        return 0;
    }
    return depth(state) - state->rx.count;
}

static void input(void *owner, const uint8_t *bytes, size_t len)
{
    struct uart *uart = owner;

    for (size_t i = 0; i < len; i++)
        rx_push(uart, bytes[i], 0);
    uart->rx_bytes += len;
    irq_update(uart);
}

static void output_writable(void *owner)
{
    struct uart *uart = owner;

    host_timer_disarm(uart->host, &uart->tx_timer);
    tx_drain(uart);
    irq_update(uart);
}

static void tx_timer_expired(void *arg)
{
    struct uart *uart = arg;

    chr_give_up(uart->chr);
    tx_drain(uart);
    irq_update(uart);
}

static const struct chr_client_ops chr_ops = {
    .room = input_room, .input = input, .writable = output_writable};

void uart_init(struct uart *uart, const struct host *host, unsigned irq, struct chr *chr)
{
    *uart = (struct uart){.host = host, .irq = irq, .chr = chr};
    uart->state.divisor = 1; /* undefined on the part; 115200 is as good as any */
    uart->state.msr = modem_lines(&uart->state);
    host_timer_init(&uart->rx_timer, rx_timer_expired, uart);
    host_timer_init(&uart->tx_timer, tx_timer_expired, uart);
}

void uart_connect(struct uart *uart)
{
    if (!uart->chr)
        return;
    chr_bind(uart->chr, &chr_ops, uart);
    chr_accept(uart->chr); /* the machine before this one may have left it waiting */
}

void uart_finish(struct uart *uart)
{
    host_timer_disarm(uart->host, &uart->rx_timer);
    host_timer_disarm(uart->host, &uart->tx_timer);
    if (uart->chr)
        chr_bind(uart->chr, NULL, NULL);
}

/* Master reset, 8.1: the scratch and divisor registers keep their values. */
void uart_reset(struct uart *uart)
{
    struct uart_state *state = &uart->state;

    fifo_clear(&state->rx);
    fifo_clear(&state->tx);
    host_timer_disarm(uart->host, &uart->tx_timer);
    state->ier = state->fcr = state->lcr = state->mcr = 0;
    state->overrun = state->thre_pending = false;
    state->msr = modem_lines(state);
    rx_timer_update(uart);
    rx_restart(uart);
    irq_update(uart);
}

static void fifo_save(const struct uart_fifo *fifo, struct state_writer *writer)
{
    state_put_u8(writer, fifo->count);
    for (unsigned i = 0; i < fifo->count; i++) {
        state_put_u8(writer, fifo->byte[(fifo->head + i) % UART_FIFO_SIZE]);
        state_put_u8(writer, fifo->error[(fifo->head + i) % UART_FIFO_SIZE]);
    }
}

static void fifo_load(struct uart_fifo *fifo, unsigned limit, struct state_reader *reader)
{
    unsigned count = state_get_u8(reader);

    fifo_clear(fifo);
    if (count > limit)
        state_reject(reader);
    for (unsigned i = 0; i < count && !reader->error; i++) {
        uint8_t byte = state_get_u8(reader);
        fifo_push(fifo, byte, state_get_u8(reader) & LSR_ERRORS);
    }
}

void uart_save(const struct uart *uart, struct state_writer *writer)
{
    const struct uart_state *state = &uart->state;

    state_put_u16(writer, state->divisor);
    state_put_u8(writer, state->ier);
    state_put_u8(writer, state->fcr);
    state_put_u8(writer, state->lcr);
    state_put_u8(writer, state->mcr);
    state_put_u8(writer, state->msr);
    state_put_u8(writer, state->scr);
    state_put_u8(writer, state->overrun);
    state_put_u8(writer, state->thre_pending);
    state_put_u8(writer, state->rx_timeout);
    fifo_save(&state->rx, writer);
    fifo_save(&state->tx, writer);
}

void uart_load(struct uart *uart, struct state_reader *reader)
{
    struct uart_state *state = &uart->state;
    bool rx_timeout;

    state->divisor = state_get_u16(reader);
    state->ier = state_get_u8(reader) & IER_WRITABLE;
    state->fcr = state_get_u8(reader) & FCR_STORED;
    state->lcr = state_get_u8(reader);
    state->mcr = state_get_u8(reader) & MCR_WRITABLE;
    state->msr = state_get_u8(reader);
    state->scr = state_get_u8(reader);
    state->overrun = state_get_u8(reader) & 1;
    state->thre_pending = state_get_u8(reader) & 1;
    rx_timeout = state_get_u8(reader) & 1;
    fifo_load(&state->rx, depth(state), reader);
    fifo_load(&state->tx, depth(state), reader);
    if (reader->error)
        return;
    rx_timer_update(uart);
    state->rx_timeout = rx_timeout && state->rx.count;
    /* What this end's chr takes may go at once; the guest hears of it. */
    tx_drain(uart);
    irq_update(uart);
}
