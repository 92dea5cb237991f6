/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial port's file that is full, and the next one:
 *
 *   worker   guest_serial_full()           run_fresh() -> vm_renew_serial()
 *                  |                             ^
 *   main           +--> run_full(): the opener --+
 *
 * Messages keep their order, so what is posted while the guest is RUNNING arrives before it is
 * stopped, and what its worker posted before it is freed.
 */
#include "daemon/guest.h"

#define OWNER(mail, member)                                                                        \
    ((struct guest_file *)((char *)(mail)-offsetof(struct guest_file, member)))

static void run_fresh(struct mail *mail) /* worker */
{
    const struct guest_file *file = OWNER(mail, fresh);

    vm_renew_serial(file->guest->vm, file->port, file->fd);
}

static void run_full(struct mail *mail)
{
    struct guest_file *file = OWNER(mail, full);
    struct guest *guest = file->guest;
    char why[OPENER_WHY_SIZE];

    if (guest->state != GUEST_RUNNING)
        return;
    if (opener_next_log_file(guest->config.serial[file->port].path, &file->fd, why)) {
        file->fd = -1;
        guest_log(guest, LOG_WARNING, "event=serial-full port=%u why=\"%s\"", file->port, why);
    }
    mailbox_post(&guest->worker->mailbox, &file->fresh);
}

void guest_serial_init(struct guest *guest)
{
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        guest->file[i] = (struct guest_file){
            .guest = guest, .port = i, .full.run = run_full, .fresh.run = run_fresh};
}

void guest_serial_full(void *ctx, unsigned port)
{
    struct guest *guest = ctx;

    mailbox_post(&guest->daemon->mailbox, &guest->file[port].full);
}
