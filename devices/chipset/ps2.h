/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 keyboard or mouse at rest: it answers commands and sends nothing by itself (IBM PS/2
 * Hardware Interface Technical Reference, "Keyboards" and "Mouse"). A command throws away what was
 * left of the answer to the one before, so the queue is bounded by the longest answer.
 */
#ifndef IOEMUD_DEVICES_CHIPSET_PS2_H
#define IOEMUD_DEVICES_CHIPSET_PS2_H

#include <stdbool.h>
#include <stdint.h>

struct state_reader;
struct state_writer;

#define PS2_ANSWER_MAX 4

struct ps2 {
    uint8_t answer[PS2_ANSWER_MAX];
    uint8_t head, count;
    uint8_t parameter_of; /* a command that waits for its parameter; 0: none */
    uint8_t last;         /* byte sent, for "resend" */
    uint8_t scancode_set; /* keyboard */
    uint8_t flags;        /* mouse status byte: remote mode, enabled, scaling */
    uint8_t resolution, rate;
};

void ps2_reset(struct ps2 *ps2);
/* One byte from the host. */
void ps2_keyboard_command(struct ps2 *ps2, uint8_t byte);
void ps2_mouse_command(struct ps2 *ps2, uint8_t byte);
/* The next byte of the answer; false when there is none. */
bool ps2_take(struct ps2 *ps2, uint8_t *ret_byte);

void ps2_save(const struct ps2 *ps2, struct state_writer *writer);
void ps2_load(struct ps2 *ps2, struct state_reader *reader);

#endif
