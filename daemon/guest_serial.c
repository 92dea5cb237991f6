/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial port's file that is full, and the next one:
 *
 *   worker   guest_serial_full()           VM_RENEW_SERIAL -> vm_renew_serial()
 *                  |                             ^
 *   main           +--> guest_next_file(): the opener
 *
 * Messages keep their order, so what is posted while the guest is RUNNING arrives before it is
 * stopped, and what its worker posted before it is freed. Without memory to ask for it the port
 * stays as it is, full.
 */
#include <stdlib.h>
#include <unistd.h>

#include "daemon/guest.h"

#define OWNER(mail, member)                                                                        \
    ((struct guest_file *)((char *)(mail)-offsetof(struct guest_file, member)))

static void renewed(struct guest_call *call)
{
    call->guest->file[call->request.serial.port].renewing = false;
    free(call);
}

void guest_next_file(struct guest *guest, unsigned port)
{
    const struct serial_config *serial = &guest->config.serial[port];
    struct guest_call *call;
    char why[OPENER_WHY_SIZE];
    int fd;

    if (guest->state != GUEST_RUNNING || port >= guest->config.n_serials ||
        serial->kind != SERIAL_FILE || !serial->max_size || guest->file[port].renewing)
        return;
    if (opener_next_log_file(serial->path, &fd, why)) {
        fd = -1;
        guest_log(guest, LOG_WARNING, "event=serial-full port=%u why=\"%s\"", port, why);
    }
    call = calloc(1, sizeof(*call));
    if (!call) {
        if (fd >= 0)
            close(fd);
        return;
    }
    call->request.op = VM_RENEW_SERIAL;
    call->request.serial.port = port;
    call->request.serial.fd = fd;
    call->done = renewed;
    guest->file[port].renewing = true;
    guest_call(guest, call);
}

static void run_full(struct mail *mail)
{
    const struct guest_file *file = OWNER(mail, full);

    guest_next_file(file->guest, file->port);
}

void guest_serial_init(struct guest *guest)
{
    for (unsigned i = 0; i < MACHINE_SERIALS; i++)
        guest->file[i] = (struct guest_file){.guest = guest, .port = i, .full.run = run_full};
}

void guest_serial_full(void *ctx, unsigned port)
{
    struct guest *guest = ctx;

    mailbox_post(&guest->daemon->mailbox, &guest->file[port].full);
}
