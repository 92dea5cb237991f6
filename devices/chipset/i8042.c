/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keyboard controller (Intel 8042, IBM PC/AT Technical Reference, "Keyboard Controller") with a
 * keyboard and a mouse that nobody touches: they answer commands, so that firmware and an OS find
 * them, and never send anything of their own.
 *
 *     0x60 read   the output buffer               write  data for the controller, or the keyboard
 *     0x64 read   status                          write  a command for the controller
 *
 * A byte in the output buffer raises IRQ 1 (controller and keyboard) or IRQ 12 (mouse) while the
 * command byte allows it; reading it makes room for the next.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/ports.h"
#include "devices/chipset/ps2.h"
#include "devices/models.h"

#define STATUS_OBF     0x01 /* output buffer full */
#define STATUS_SYSTEM  0x04 /* self-test passed */
#define STATUS_COMMAND 0x08 /* the last write was to 0x64 */
#define STATUS_UNLOCK  0x10
#define STATUS_AUX     0x20 /* the byte in the buffer is the mouse's */

/* The command byte, RAM address 0. */
#define CTR_KBD_INT   0x01
#define CTR_AUX_INT   0x02
#define CTR_SYSTEM    0x04
#define CTR_KBD_OFF   0x10
#define CTR_AUX_OFF   0x20
#define CTR_TRANSLATE 0x40
#define CTR_RESET     (CTR_KBD_INT | CTR_AUX_INT)

#define CMD_READ_RAM    0x20 /* to 0x3f */
#define CMD_WRITE_RAM   0x60 /* to 0x7f */
#define CMD_AUX_DISABLE 0xa7
#define CMD_AUX_ENABLE  0xa8
#define CMD_AUX_TEST    0xa9
#define CMD_SELF_TEST   0xaa
#define CMD_KBD_TEST    0xab
#define CMD_KBD_DISABLE 0xad
#define CMD_KBD_ENABLE  0xae
#define CMD_READ_INPUT  0xc0
#define CMD_READ_OUTPUT 0xd0
#define CMD_WRITE_OUT   0xd1
#define CMD_WRITE_KBD   0xd2 /* as if the keyboard had sent it */
#define CMD_WRITE_AUX   0xd3 /* as if the mouse had sent it */
#define CMD_TO_AUX      0xd4
#define CMD_A20_OFF     0xdd
#define CMD_A20_ON      0xdf
#define CMD_PULSE       0xf0 /* to 0xff: pulses the low output lines whose bits are 0 */

/* The output port. */
#define OUT_RESET 0x01 /* low: the CPU is held in reset */
#define OUT_A20   0x02
#define OUT_OBF   0x10
#define OUT_AUX   0x20
#define OUT_IDLE  0xcc /* lines without a function here, high */

#define INPUT_PORT 0x80 /* keyboard not locked */

#define IRQ_KBD 1
#define IRQ_AUX 12

#define RAM_SIZE 32

struct i8042 {
    struct dev dev;
    struct bus *bus;
    const struct host *host;

    uint8_t ram[RAM_SIZE]; /* [0] is the command byte */
    uint8_t status;
    uint8_t output; /* the output buffer, valid with STATUS_OBF */
    uint8_t out_port;
    uint8_t pending; /* a command that waits for its byte at 0x60; 0: none */
    struct ps2 kbd, aux;
};

static void irq_update(struct i8042 *kbc)
{
    bool full = kbc->status & STATUS_OBF, aux = kbc->status & STATUS_AUX;

    host_isa_irq(kbc->host, IRQ_KBD, full && !aux && (kbc->ram[0] & CTR_KBD_INT));
    host_isa_irq(kbc->host, IRQ_AUX, full && aux && (kbc->ram[0] & CTR_AUX_INT));
}

/* The controller itself does not wait for room: what was not read is lost, as on the real part. */
static void put(struct i8042 *kbc, uint8_t byte, bool aux)
{
    kbc->output = byte;
    kbc->status |= STATUS_OBF;
    kbc->status &= (uint8_t)~STATUS_AUX;
    if (aux)
        kbc->status |= STATUS_AUX;
    irq_update(kbc);
}

/* Scan code set 2 to set 1, for those bytes that this keyboard's answers hold. */
static uint8_t translate(uint8_t byte)
{
    static const struct {
        uint8_t from, to;
    } map[] = {{0x01, 0x43}, {0x02, 0x41}, {0x03, 0x3f}, {0x83, 0x41}};

    for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        if (byte == map[i].from)
            return map[i].to;
    }
    return byte;
}

/* Takes the next byte off a device's line, if there is room and the line is enabled. */
static void transfer(struct i8042 *kbc)
{
    uint8_t byte;

    if (kbc->status & STATUS_OBF)
        return;
    if (!(kbc->ram[0] & CTR_KBD_OFF) && ps2_take(&kbc->kbd, &byte))
        put(kbc, kbc->ram[0] & CTR_TRANSLATE ? translate(byte) : byte, false);
    else if (!(kbc->ram[0] & CTR_AUX_OFF) && ps2_take(&kbc->aux, &byte))
        put(kbc, byte, true);
}

static uint64_t data_read(void *dev, uint64_t offset, unsigned size)
{
    struct i8042 *kbc = dev;
    uint8_t byte = kbc->output;

    kbc->status &= (uint8_t) ~(STATUS_OBF | STATUS_AUX);
    irq_update(kbc);
    transfer(kbc);
    return byte;
}

static void set_ctr(struct i8042 *kbc, uint8_t ctr)
{
    kbc->ram[0] = ctr;
    kbc->status =
        (uint8_t)((kbc->status & ~STATUS_SYSTEM) | (ctr & CTR_SYSTEM ? STATUS_SYSTEM : 0));
    irq_update(kbc);
    transfer(kbc);
}

static void set_out_port(struct i8042 *kbc, uint8_t value)
{
    kbc->out_port = value & (OUT_RESET | OUT_A20);
    if (!(value & OUT_RESET)) {
        kbc->out_port |= OUT_RESET;
        host_power(kbc->host, HOST_POWER_RESET);
    }
}

static uint8_t read_out_port(const struct i8042 *kbc)
{
    uint8_t value = kbc->out_port | OUT_IDLE;

    if (kbc->status & STATUS_OBF)
        value |= kbc->status & STATUS_AUX ? OUT_AUX : OUT_OBF;
    return value;
}

static void data_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *kbc = dev;
    uint8_t byte = (uint8_t)value, pending = kbc->pending;

    kbc->pending = 0;
    kbc->status &= (uint8_t)~STATUS_COMMAND;
    switch (pending) {
    case CMD_WRITE_RAM:
        set_ctr(kbc, byte);
        break;
    case CMD_WRITE_OUT:
        set_out_port(kbc, byte);
        break;
    case CMD_WRITE_KBD:
        put(kbc, byte, false);
        break;
    case CMD_WRITE_AUX:
        put(kbc, byte, true);
        break;
    case CMD_TO_AUX:
        ps2_mouse_command(&kbc->aux, byte);
        transfer(kbc);
        break;
    case 0:
        kbc->ram[0] &= (uint8_t)~CTR_KBD_OFF; /* talking to the keyboard enables its line */
        ps2_keyboard_command(&kbc->kbd, byte);
        transfer(kbc);
        break;
    default: /* CMD_WRITE_RAM + n */
        kbc->ram[pending - CMD_WRITE_RAM] = byte;
        break;
    }
}

static void self_test(struct i8042 *kbc)
{
    kbc->status |= STATUS_SYSTEM;
    kbc->ram[0] |= CTR_SYSTEM;
    put(kbc, 0x55, false);
}

/* Commands that only answer, or only change the command byte. */
static void simple_command(struct i8042 *kbc, uint8_t command)
{
    switch (command) {
    case CMD_AUX_DISABLE:
        set_ctr(kbc, kbc->ram[0] | CTR_AUX_OFF);
        break;
    case CMD_AUX_ENABLE:
        set_ctr(kbc, kbc->ram[0] & (uint8_t)~CTR_AUX_OFF);
        break;
    case CMD_KBD_DISABLE:
        set_ctr(kbc, kbc->ram[0] | CTR_KBD_OFF);
        break;
    case CMD_KBD_ENABLE:
        set_ctr(kbc, kbc->ram[0] & (uint8_t)~CTR_KBD_OFF);
        break;
    case CMD_SELF_TEST:
        self_test(kbc);
        break;
    case CMD_AUX_TEST:
    case CMD_KBD_TEST:
        put(kbc, 0x00, false);
        break;
    case CMD_READ_INPUT:
        put(kbc, INPUT_PORT, false);
        break;
    case CMD_READ_OUTPUT:
        put(kbc, read_out_port(kbc), false);
        break;
    case CMD_A20_OFF:
        kbc->out_port &= (uint8_t)~OUT_A20;
        break;
    case CMD_A20_ON:
        kbc->out_port |= OUT_A20;
        break;
    default: /* not a command of the part */
        break;
    }
}

static void command_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *kbc = dev;
    uint8_t command = (uint8_t)value;

    kbc->status |= STATUS_COMMAND;
    kbc->pending = 0;
    if (command >= CMD_PULSE) {
        if (!(command & OUT_RESET))
            host_power(kbc->host, HOST_POWER_RESET);
    } else if (command >= CMD_READ_RAM && command < CMD_READ_RAM + RAM_SIZE) {
        put(kbc, kbc->ram[command - CMD_READ_RAM], false);
    } else if ((command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + RAM_SIZE) ||
               (command >= CMD_WRITE_OUT && command <= CMD_TO_AUX)) {
        kbc->pending = command;
    } else {
        simple_command(kbc, command);
    }
}

static uint64_t status_read(void *dev, uint64_t offset, unsigned size)
{
    return ((struct i8042 *)dev)->status;
}

static const struct bus_io_ops data_io = {.read = data_read, .write = data_write};
static const struct bus_io_ops command_io = {.read = status_read, .write = command_write};

static const struct port_range ranges[] = {
    {0x60, 1, &data_io},
    {0x64, 1, &command_io},
};

static void i8042_reset(struct dev *dev)
{
    struct i8042 *kbc = (struct i8042 *)dev;

    memset(kbc->ram, 0, sizeof(kbc->ram));
    kbc->ram[0] = CTR_RESET;
    kbc->status = STATUS_UNLOCK | STATUS_COMMAND;
    kbc->output = 0;
    kbc->out_port = OUT_RESET | OUT_A20;
    kbc->pending = 0;
    ps2_reset(&kbc->kbd);
    ps2_reset(&kbc->aux);
    irq_update(kbc);
}

static void i8042_save(const struct dev *dev, struct state_writer *writer)
{
    const struct i8042 *kbc = (const struct i8042 *)dev;

    state_put_bytes(writer, kbc->ram, sizeof(kbc->ram));
    state_put_u8(writer, kbc->status);
    state_put_u8(writer, kbc->output);
    state_put_u8(writer, kbc->out_port);
    state_put_u8(writer, kbc->pending);
    ps2_save(&kbc->kbd, writer);
    ps2_save(&kbc->aux, writer);
}

static bool pending_is_valid(uint8_t pending)
{
    return !pending || (pending >= CMD_WRITE_RAM && pending < CMD_WRITE_RAM + RAM_SIZE) ||
           (pending >= CMD_WRITE_OUT && pending <= CMD_TO_AUX);
}

static void i8042_load(struct dev *dev, struct state_reader *reader, uint32_t version)
{
    struct i8042 *kbc = (struct i8042 *)dev;

    state_get_bytes(reader, kbc->ram, sizeof(kbc->ram));
    kbc->status =
        (state_get_u8(reader) & (STATUS_OBF | STATUS_SYSTEM | STATUS_COMMAND | STATUS_AUX)) |
        STATUS_UNLOCK;
    kbc->output = state_get_u8(reader);
    kbc->out_port = (state_get_u8(reader) & OUT_A20) | OUT_RESET;
    kbc->pending = state_get_u8(reader);
    if (!pending_is_valid(kbc->pending))
        state_reject(reader);
    ps2_load(&kbc->kbd, reader);
    ps2_load(&kbc->aux, reader);
    if (!reader->error)
        irq_update(kbc);
}

static void i8042_destroy(struct dev *dev)
{
    struct i8042 *kbc = (struct i8042 *)dev;

    ports_release(kbc->bus, ranges, PORTS_COUNT(ranges));
    free(kbc);
}

static const struct dev_ops i8042_ops = {
    .model = "i8042",
    .version = 1,
    .reset = i8042_reset,
    .save = i8042_save,
    .load = i8042_load,
    .destroy = i8042_destroy,
};

int i8042_create(const struct dev_env *env, struct dev **ret_dev)
{
    struct i8042 *kbc = calloc(1, sizeof(*kbc));

    if (!kbc)
        return -ENOMEM;
    kbc->dev.ops = &i8042_ops;
    kbc->dev.name = "i8042";
    kbc->bus = env->bus;
    kbc->host = env->host;
    i8042_reset(&kbc->dev);
    int err = ports_claim(env->bus, ranges, PORTS_COUNT(ranges), kbc);
    if (err) {
        free(kbc);
        return err;
    }
    *ret_dev = &kbc->dev;
    return 0;
}
