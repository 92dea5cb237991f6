/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/worker_wire.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* ---- orders -----------------------------------------------------------------------------------*/

#define SIZE_WITH(member)                                                                          \
    (offsetof(struct worker_order, member) + sizeof(((struct worker_order *)0)->member))

size_t worker_order_size(enum worker_order_kind kind)
{
    static const size_t size[] = {
        [ORDER_SETUP] = SIZE_WITH(setup),     [ORDER_START] = SIZE_WITH(start),
        [ORDER_REQUEST] = SIZE_WITH(request), [ORDER_END] = SIZE_WITH(id),
        [ORDER_BEAT] = SIZE_WITH(id),
    };

    return size[kind];
}

static unsigned start_fds(struct worker_start *start, int **ret_fds)
{
    unsigned count = 0;

    ret_fds[count++] = &start->counts_fd;
    for (unsigned i = 0; i < start->hv_guest.count && i < HV_PACKED_FDS; i++)
        ret_fds[count++] = &start->hv_guest.fds[i];
    for (unsigned i = 0; i < start->n_disks && i < MACHINE_IDE_DRIVES; i++)
        ret_fds[count++] = &start->disk[i].raw.fd;
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        ret_fds[count++] = &start->serial[i].fd;
    for (unsigned i = 0; i < MACHINE_NICS; i++) {
        if (!*start->nic[i].model)
            continue;
        ret_fds[count++] = &start->nic[i].fd;
        ret_fds[count++] = &start->nic[i].keep_fd;
        ret_fds[count++] = &start->nic[i].rom_fd;
    }
    return count;
}

unsigned worker_order_fds(struct worker_order *order, int *ret_fds[WORKER_ORDER_FDS])
{
    _Static_assert(WORKER_ORDER_FDS <= 253, "one message can have them");
    _Static_assert(WORKER_ORDER_FDS >= VM_REQUEST_FDS, "of every kind");
    switch (order->kind) {
    case ORDER_SETUP:
        ret_fds[0] = &order->setup.counts_fd;
        return 1;
    case ORDER_START:
        return start_fds(&order->start, ret_fds);
    case ORDER_REQUEST:
        return vm_request_fds(&order->request, ret_fds);
    case ORDER_END:
    case ORDER_BEAT:
        break;
    }
    return 0;
}

void worker_order_discard(struct worker_order *order)
{
    int *fds[WORKER_ORDER_FDS];
    unsigned count = worker_order_fds(order, fds);

    for (unsigned i = 0; i < count; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

bool worker_is_short(int err)
{
    return err == -ENOMEM || err == -ENOBUFS || err == -ETOOMANYREFS;
}

size_t worker_vm_counts_size(uint32_t vcpus)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = sizeof(struct vm_counts) + vcpus * sizeof(struct dispatch_vcpu) +
                  MACHINE_IDE_DRIVES * sizeof(struct blk_histograms);

    return (size + page - 1) / page * page;
}

/* ---- reports ----------------------------------------------------------------------------------*/

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

void worker_bool_check(bool *value)
{
    uint8_t byte;

    memcpy(&byte, value, sizeof(byte));
    *value = byte != 0;
}

/* As nbd_image_hello() would have it. */
static bool is_export(struct nbd_export *export)
{
    const uint32_t block = export->physical_block;

    worker_bool_check(&export->read_only);
    worker_bool_check(&export->discard);
    worker_bool_check(&export->write_through);
    return export->bytes >= BLK_SECTOR && export->bytes <= INT64_MAX && block >= BLK_SECTOR &&
           !(block & (block - 1));
}

/* Of a unit that is a PV disk's. */
static bool is_pv_news(unsigned unit, struct vm_pv_news *news)
{
    if (unit < MACHINE_IDE_DRIVES || unit >= VM_UNITS)
        return false;
    end_text(news->why, sizeof(news->why));
    switch (news->event) {
    case VM_PV_BROKEN:
    case VM_PV_DRAINED:
    case VM_PV_LOST:
        return news->error == 0;
    case VM_PV_SEALED:
        return is_error(news->error);
    case VM_PV_HEARD:
        return is_error(news->error) || (news->error == 0 && is_export(&news->export));
    case VM_PV_EVENTS:
        break;
    }
    return false;
}

bool worker_report_check(struct worker_report *report, size_t length)
{
    if (length != sizeof(*report) || report->kind >= REPORTS)
        return false;
    switch (report->kind) {
    case REPORT_FAILED:
    case REPORT_STARTED:
    case REPORT_REPLY:
        worker_bool_check(&report->reply.closing);
        worker_bool_check(&report->reply.drained);
        end_text(report->reply.why, sizeof(report->reply.why));
        return !report->reply.err || is_error(report->reply.err);
    case REPORT_IO_STOPPED:
        return report->io_stopped.unit < VM_UNITS && report->io_stopped.what.op <= BLK_DISCARD &&
               is_error(report->io_stopped.what.error);
    case REPORT_SERIAL_FULL:
        return report->port < MACHINE_SERIALS;
    case REPORT_DIAL:
        return report->nic < MACHINE_NICS;
    case REPORT_PV_NEWS:
        return is_pv_news(report->pv.unit, &report->pv.news);
    case REPORT_LOG:
        end_text(report->log.device, sizeof(report->log.device));
        end_text(report->log.text, sizeof(report->log.text));
        /* Not more urgent than a device's line can be. */
        return report->log.priority >= LOG_ERR && report->log.priority <= LOG_DEBUG;
    default:
        return true;
    }
}
