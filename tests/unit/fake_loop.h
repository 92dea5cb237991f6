/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A loop for tests, on poll(2): `struct loop` whose turns the test makes itself.
 *
 *   struct fake_loop *fake = fake_loop_create();
 *   thing_create(fake_loop(fake), ...);
 *   while (!happened && fake_loop_turn(fake, 1000))
 *       ;
 *   fake_loop_destroy(fake);
 */
#ifndef IOEMUD_TESTS_UNIT_FAKE_LOOP_H
#define IOEMUD_TESTS_UNIT_FAKE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/loop.h"

struct fake_loop;

struct fake_loop *fake_loop_create(void); /* aborts when out of memory */
/* Fails the test by abort() when a watch, a task or a timer was left behind. */
void fake_loop_destroy(struct fake_loop *fake);
const struct loop *fake_loop(struct fake_loop *fake);

/* One turn: descriptors, waited for at most `timeout_ms` (not at all while tasks are queued, not
 * beyond the first timer), then timers, then the tasks that were queued by then. False: nothing
 * happened. */
bool fake_loop_turn(struct fake_loop *fake, int timeout_ms);
/* Turns until *flag or until nothing has happened for `timeout_ms`; returns *flag. */
bool fake_loop_until(struct fake_loop *fake, const bool *flag, int timeout_ms);
/* Turns until nothing happens for `timeout_ms`; returns how many turns had something to do: a
 * watcher that spins shows up as `max`. */
unsigned fake_loop_settle(struct fake_loop *fake, int timeout_ms, unsigned max);
/* As a loop does that is awake: looks once at all that can be found so. */
void fake_loop_look(struct fake_loop *fake);
/* Stops the clock at, and moves it by, what the test says; 0 lets it run again. */
void fake_loop_set_clock(struct fake_loop *fake, uint64_t now_ns);
unsigned fake_loop_watches(const struct fake_loop *fake);
unsigned fake_loop_timers(const struct fake_loop *fake); /* armed */

#endif
