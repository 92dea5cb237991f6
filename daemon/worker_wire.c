/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/worker_wire.h"

#include <errno.h>
#include <string.h>

/* Control characters are log_vwrite()'s; the rest has to be UTF-8 for JSON and the journal. */
static void end_text(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (char *at = text; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

/* Of strerror()'s range. */
static bool is_error(int err)
{
    return err < 0 && err > -4096;
}

bool worker_report_check(struct worker_report *report, size_t length)
{
    if (length != sizeof(*report) || report->kind >= REPORTS)
        return false;
    switch (report->kind) {
    case REPORT_STARTED:
    case REPORT_REPLY:
        end_text(report->reply.why, sizeof(report->reply.why));
        return !report->reply.err || is_error(report->reply.err);
    case REPORT_IO_STOPPED:
        return report->io_stopped.drive < MACHINE_IDE_DRIVES &&
               report->io_stopped.what.op <= BLK_DISCARD && is_error(report->io_stopped.what.error);
    case REPORT_SERIAL_FULL:
        return report->port < MACHINE_SERIALS;
    case REPORT_LOG:
        end_text(report->log.device, sizeof(report->log.device));
        end_text(report->log.text, sizeof(report->log.text));
        /* Not more urgent than a device's line can be. */
        return report->log.priority >= LOG_ERR && report->log.priority <= LOG_DEBUG;
    default:
        return true;
    }
}
