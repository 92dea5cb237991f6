/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `reload`, `log-level` and `trace` look like to people, and files that are not good. */
#ifndef IOEMUD_DAEMON_CTL_LIVE_H
#define IOEMUD_DAEMON_CTL_LIVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "daemon/ctl_client.h"

void ctl_show_reload(const json_t *result, FILE *out);
void ctl_show_levels(const json_t *result, FILE *out);
/* Of `list`: the guests' files that are not good; nothing if all are. */
void ctl_show_bad_files(const json_t *result, FILE *out);
/* After `trace`: what comes, a line a request, until no more does. 0, or as ctl_client_call(). */
int ctl_follow_trace(struct ctl_client *client, bool json, FILE *out);

#endif
