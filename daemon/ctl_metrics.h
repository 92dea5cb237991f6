/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics for the textfile collector of Prometheus's node exporter: it reads the files *.prom of a
 * folder whenever it likes, so they must be whole at any time.
 */
#ifndef IOEMUD_DAEMON_CTL_METRICS_H
#define IOEMUD_DAEMON_CTL_METRICS_H

#define CTL_WHY_SIZE 512

/* Puts `text` into `path`, in place of what was there: at once or, with -errno and why, not at all.
 * It is for everybody to read. */
int ctl_write_textfile(const char *path, const char *text, char ret_why[CTL_WHY_SIZE]);

#endif
