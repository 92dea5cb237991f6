/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/chipset/ps2.h"

#include <assert.h>

#include "devices/state.h"

#define ACK    0xfa
#define RESEND 0xfe
#define BAT_OK 0xaa /* basic assurance test passed */

/* Commands that both understand. */
#define CMD_GET_ID   0xf2
#define CMD_SET_RATE 0xf3 /* typematic, or samples: one parameter */
#define CMD_ENABLE   0xf4
#define CMD_DISABLE  0xf5 /* keyboard: with defaults */
#define CMD_DEFAULTS 0xf6
#define CMD_RESEND   0xfe
#define CMD_RESET    0xff

#define KBD_SET_LEDS      0xed /* one parameter */
#define KBD_ECHO          0xee
#define KBD_SCANCODE_SET  0xf0 /* one parameter; 0 asks */
#define KBD_ALL_FIRST     0xf7 /* key types of set 3: accepted */
#define KBD_ALL_LAST      0xfa
#define KBD_KEY_FIRST     0xfb /* the same for one key: a parameter */
#define KBD_KEY_LAST      0xfd
#define KBD_ID_LOW        0xab
#define KBD_ID_HIGH       0x83
#define KBD_DEFAULT_SET   2
#define KBD_SCANCODE_SETS 3

#define MOUSE_SCALE_1_1      0xe6
#define MOUSE_SCALE_2_1      0xe7
#define MOUSE_SET_RESOLUTION 0xe8 /* one parameter */
#define MOUSE_STATUS         0xe9
#define MOUSE_STREAM         0xea
#define MOUSE_READ_DATA      0xeb
#define MOUSE_UNWRAP         0xec
#define MOUSE_REMOTE         0xf0
#define MOUSE_ID             0x00
#define MOUSE_DEFAULT_RES    2
#define MOUSE_DEFAULT_RATE   100

/* Of the status byte. */
#define MOUSE_FLAG_2_1     0x10
#define MOUSE_FLAG_ENABLED 0x20
#define MOUSE_FLAG_REMOTE  0x40
#define MOUSE_FLAGS        (MOUSE_FLAG_2_1 | MOUSE_FLAG_ENABLED | MOUSE_FLAG_REMOTE)

#define MOVEMENT_ALWAYS_1 0x08 /* first byte of a movement report */

static void defaults(struct ps2 *ps2)
{
    ps2->scancode_set = KBD_DEFAULT_SET;
    ps2->flags = 0;
    ps2->resolution = MOUSE_DEFAULT_RES;
    ps2->rate = MOUSE_DEFAULT_RATE;
}

void ps2_reset(struct ps2 *ps2)
{
    *ps2 = (struct ps2){.last = BAT_OK};
    defaults(ps2);
}

static void answer(struct ps2 *ps2, uint8_t byte)
{
    assert(ps2->count < PS2_ANSWER_MAX);
    ps2->answer[ps2->count++] = byte;
}

bool ps2_take(struct ps2 *ps2, uint8_t *ret_byte)
{
    if (ps2->head == ps2->count)
        return false;
    ps2->last = ps2->answer[ps2->head++];
    *ret_byte = ps2->last;
    return true;
}

static void keyboard_parameter(struct ps2 *ps2, uint8_t command, uint8_t byte)
{
    if (command == KBD_SCANCODE_SET && byte > KBD_SCANCODE_SETS) {
        answer(ps2, RESEND);
        return;
    }
    answer(ps2, ACK);
    if (command != KBD_SCANCODE_SET)
        return;
    if (byte)
        ps2->scancode_set = byte;
    else
        answer(ps2, ps2->scancode_set);
}

void ps2_keyboard_command(struct ps2 *ps2, uint8_t byte)
{
    uint8_t parameter_of = ps2->parameter_of;

    ps2->head = ps2->count = ps2->parameter_of = 0;
    /* A byte that can only be a command ends the one that waited. */
    if (parameter_of && byte < KBD_SET_LEDS) {
        keyboard_parameter(ps2, parameter_of, byte);
        return;
    }
    switch (byte) {
    case KBD_ECHO:
        answer(ps2, KBD_ECHO);
        return;
    case CMD_RESEND:
        answer(ps2, ps2->last);
        return;
    case KBD_SET_LEDS:
    case KBD_SCANCODE_SET:
    case CMD_SET_RATE:
    case KBD_KEY_FIRST ... KBD_KEY_LAST:
        ps2->parameter_of = byte;
        answer(ps2, ACK);
        return;
    case CMD_GET_ID:
        answer(ps2, ACK);
        answer(ps2, KBD_ID_LOW);
        answer(ps2, KBD_ID_HIGH);
        return;
    case CMD_DISABLE:
    case CMD_DEFAULTS:
        defaults(ps2);
        answer(ps2, ACK);
        return;
    case CMD_ENABLE:
    case KBD_ALL_FIRST ... KBD_ALL_LAST:
        answer(ps2, ACK);
        return;
    case CMD_RESET:
        defaults(ps2);
        answer(ps2, ACK);
        answer(ps2, BAT_OK);
        return;
    default:
        answer(ps2, RESEND);
        return;
    }
}

static void mouse_parameter(struct ps2 *ps2, uint8_t command, uint8_t byte)
{
    if (command == MOUSE_SET_RESOLUTION)
        ps2->resolution = byte & 3;
    else
        ps2->rate = byte;
    answer(ps2, ACK);
}

static void mouse_flag(struct ps2 *ps2, uint8_t flag, bool set)
{
    ps2->flags = set ? ps2->flags | flag : ps2->flags & (uint8_t)~flag;
    answer(ps2, ACK);
}

/* Commands that answer with more than an acknowledgement. */
static void mouse_query(struct ps2 *ps2, uint8_t byte)
{
    answer(ps2, ACK);
    switch (byte) {
    case CMD_GET_ID:
        answer(ps2, MOUSE_ID);
        break;
    case MOUSE_STATUS:
        answer(ps2, ps2->flags);
        answer(ps2, ps2->resolution);
        answer(ps2, ps2->rate);
        break;
    case MOUSE_READ_DATA:
        answer(ps2, MOVEMENT_ALWAYS_1);
        answer(ps2, 0);
        answer(ps2, 0);
        break;
    default: /* CMD_RESET */
        defaults(ps2);
        answer(ps2, BAT_OK);
        answer(ps2, MOUSE_ID);
        break;
    }
}

void ps2_mouse_command(struct ps2 *ps2, uint8_t byte)
{
    uint8_t parameter_of = ps2->parameter_of;

    ps2->head = ps2->count = ps2->parameter_of = 0;
    if (parameter_of && byte < MOUSE_SCALE_1_1) {
        mouse_parameter(ps2, parameter_of, byte);
        return;
    }
    switch (byte) {
    case MOUSE_SET_RESOLUTION:
    case CMD_SET_RATE:
        ps2->parameter_of = byte;
        answer(ps2, ACK);
        return;
    case MOUSE_SCALE_1_1:
    case MOUSE_SCALE_2_1:
        mouse_flag(ps2, MOUSE_FLAG_2_1, byte == MOUSE_SCALE_2_1);
        return;
    case CMD_ENABLE:
    case CMD_DISABLE:
        mouse_flag(ps2, MOUSE_FLAG_ENABLED, byte == CMD_ENABLE);
        return;
    case MOUSE_STREAM:
    case MOUSE_REMOTE:
        mouse_flag(ps2, MOUSE_FLAG_REMOTE, byte == MOUSE_REMOTE);
        return;
    case MOUSE_UNWRAP:
        answer(ps2, ACK);
        return;
    case CMD_DEFAULTS:
        defaults(ps2);
        answer(ps2, ACK);
        return;
    case CMD_RESEND:
        answer(ps2, ps2->last);
        return;
    case CMD_GET_ID:
    case MOUSE_STATUS:
    case MOUSE_READ_DATA:
    case CMD_RESET:
        mouse_query(ps2, byte);
        return;
    default:
        answer(ps2, RESEND);
        return;
    }
}

void ps2_save(const struct ps2 *ps2, struct state_writer *writer)
{
    state_put_bytes(writer, ps2->answer, sizeof(ps2->answer));
    state_put_u8(writer, ps2->head);
    state_put_u8(writer, ps2->count);
    state_put_u8(writer, ps2->parameter_of);
    state_put_u8(writer, ps2->last);
    state_put_u8(writer, ps2->scancode_set);
    state_put_u8(writer, ps2->flags);
    state_put_u8(writer, ps2->resolution);
    state_put_u8(writer, ps2->rate);
}

void ps2_load(struct ps2 *ps2, struct state_reader *reader)
{
    state_get_bytes(reader, ps2->answer, sizeof(ps2->answer));
    ps2->head = state_get_u8(reader);
    ps2->count = state_get_u8(reader);
    if (ps2->count > PS2_ANSWER_MAX || ps2->head > ps2->count)
        state_reject(reader);
    ps2->parameter_of = state_get_u8(reader);
    ps2->last = state_get_u8(reader);
    ps2->scancode_set = state_get_u8(reader);
    ps2->flags = state_get_u8(reader) & MOUSE_FLAGS;
    ps2->resolution = state_get_u8(reader) & 3;
    ps2->rate = state_get_u8(reader);
}
