/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `list` and `stats` look like to people. What the daemon did not send shows as "-", so that a
 * newer client and an older daemon get along.
 */
#ifndef IOEMUD_DAEMON_CTL_SHOW_H
#define IOEMUD_DAEMON_CTL_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

void ctl_show_list(const json_t *result, unsigned width, FILE *out);
/* Of `show`: the guest as in the list, and its description as a file of guests.d has it. */
void ctl_show_guest(const json_t *result, unsigned width, FILE *out);
/* `details`: of one guest, its devices' own counters and its memory, too. */
void ctl_show_stats(const json_t *result, bool details, unsigned width, FILE *out);

#endif
