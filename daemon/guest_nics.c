/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/guest_nics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/guest_dial.h"
#include "daemon/usernet.h"
#include "daemon/worker_process.h"

/* Debian's ipxe-qemu; its files are called as QEMU calls the models, and so are ours. */
#define ROM_PATTERN "/usr/lib/ipxe/qemu/pxe-%s.rom"
/* What may go at once after silence: 50 ms' worth, the interval that xl credits by default. */
#define BURST_SHARE 20

/* ROMs that are alike are one, however many guests have them. */
struct rom {
    struct rom *next;
    unsigned users;
    uint32_t bytes;
    uint8_t *data;
    int fd; /* a memfd with the same, for worker processes; -1: not made yet */
};

static int rom_get(struct daemon *daemon, const char *path, struct rom **ret_rom, char *why)
{
    uint8_t *data;
    uint32_t bytes;
    struct rom *rom;
    int err = opener_rom(path, &data, &bytes, why);

    if (err)
        return err;
    for (rom = daemon->roms; rom; rom = rom->next)
        if (rom->bytes == bytes && !memcmp(rom->data, data, bytes))
            break;
    if (rom) {
        free(data);
    } else {
        rom = calloc(1, sizeof(*rom));
        if (!rom) {
            free(data);
            snprintf(why, OPENER_WHY_SIZE, "ROM %s: out of memory", path);
            return -ENOMEM;
        }
        *rom = (struct rom){.next = daemon->roms, .bytes = bytes, .data = data, .fd = -1};
        daemon->roms = rom;
    }
    rom->users++;
    *ret_rom = rom;
    return 0;
}

static void rom_put(struct daemon *daemon, struct rom *rom)
{
    if (!rom || --rom->users)
        return;
    for (struct rom **at = &daemon->roms; *at; at = &(*at)->next) {
        if (*at != rom)
            continue;
        *at = rom->next;
        break;
    }
    if (rom->fd >= 0)
        close(rom->fd);
    free(rom->data);
    free(rom);
}

/* Nobody can change it any more. */
static int fill_rom_fd(struct rom *rom, int fd)
{
    ssize_t written = pwrite(fd, rom->data, rom->bytes, 0);

    if (written != (ssize_t)rom->bytes)
        return written < 0 ? -errno : -ENOSPC;
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ? -errno
                                                                                            : 0;
}

static int rom_descriptor(struct rom *rom, int *ret_fd)
{
    int err = 0, fd = rom->fd;

    if (fd < 0) {
        fd = memfd_create("ioemud-rom", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
            return -errno;
        err = fill_rom_fd(rom, fd);
        if (err) {
            close(fd);
            return err;
        }
        rom->fd = fd;
    }
    *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *ret_fd < 0 ? -errno : 0;
}

/* "auto": the model's own where it is installed, when the guest is to look at the network at all:
 * firmware copies all of it, access by access. */
static int open_rom(struct guest *guest, const struct nic_config *nic, struct vm_nic *vm_nic,
                    char *why)
{
    char path[64];
    bool chosen = nic->rom[0] == '/';
    struct rom *rom;
    int err;

    if (!strcmp(nic->rom, "none") || (!chosen && !strchr(guest->config.boot_order, 'n')))
        return 0;
    snprintf(path, sizeof(path), ROM_PATTERN, nic_config_model(nic));
    err = rom_get(guest->daemon, chosen ? nic->rom : path, &rom, why);
    if (err == -ENOENT && !chosen) {
        guest_log(guest, LOG_NOTICE, "event=no-rom nic=%u path=%s package=ipxe-qemu", nic->devid,
                  path);
        return 0;
    }
    if (err)
        return err;
    guest->rom[nic->devid] = rom;
    vm_nic->rom_bytes = rom->bytes;
    if (guest->daemon->config.isolation == ISOLATION_THREAD) {
        vm_nic->rom = rom->data;
        return 0;
    }
    err = rom_descriptor(rom, &vm_nic->rom_fd);
    if (err)
        snprintf(why, OPENER_WHY_SIZE, "ROM: %s", strerror(-err));
    return err;
}

/* Of a socket that was bound, so that it goes with the NIC. */
static int keep_path(struct guest *guest, const struct nic_config *nic, const char *path, char *why)
{
    guest->nic_socket[nic->devid] = strdup(path);
    if (guest->nic_socket[nic->devid])
        return 0;
    unlink(path);
    snprintf(why, OPENER_WHY_SIZE, "socket %s: out of memory", path);
    return -ENOMEM;
}

/* Who connects it to its peer: the worker by itself, or, since one that is a process does not, we.
 */
static int open_dgram(struct guest *guest, const struct nic_config *nic, struct vm_nic *vm_nic,
                      char *why)
{
    int err = opener_dgram(nic->path, &vm_nic->fd, why);

    vm_nic->kind = VM_NET_DGRAM;
    if (err)
        return err;
    err = keep_path(guest, nic, nic->path, why);
    if (err)
        return err;
    if (guest->daemon->config.isolation == ISOLATION_THREAD) {
        snprintf(vm_nic->peer, sizeof(vm_nic->peer), "%s", nic->peer);
        return 0;
    }
    vm_nic->dialled = true;
    err = guest_dial_open(guest, nic->devid, vm_nic->fd, nic->peer);
    if (err)
        snprintf(why, OPENER_WHY_SIZE, "socket %s: %s", nic->path, strerror(-err));
    return err;
}

static int open_socket(struct guest *guest, const struct nic_config *nic, struct vm_nic *vm_nic,
                       char *why)
{
    char own[OPENER_PATH_SIZE];
    int err = -EINVAL;

    switch (nic->mode) {
    case NIC_DGRAM:
        return open_dgram(guest, nic, vm_nic, why);
    case NIC_LISTEN:
        vm_nic->kind = VM_NET_LISTENER;
        err = opener_listen(nic->path, SOCK_STREAM, 0600, "", &vm_nic->fd, why);
        break;
    case NIC_CONNECT:
        vm_nic->kind = VM_NET_STREAM;
        return opener_connect(nic->path, &vm_nic->fd, why);
    case NIC_VDE:
        vm_nic->kind = VM_NET_DGRAM;
        if (snprintf(own, sizeof(own), "%s/%s-%u-nic%u", guest->daemon->config.run_dir,
                     guest->config.name, guest->domid,
                     nic->devid) > (int)sizeof(vm_nic->peer) - 1) {
            snprintf(why, OPENER_WHY_SIZE, "socket %s: the path is too long", own);
            return -ENAMETOOLONG;
        }
        err = opener_vde(nic->path, own, &vm_nic->fd, &vm_nic->keep_fd, why);
        break;
    }
    return err ? err : keep_path(guest, nic, nic->mode == NIC_VDE ? own : nic->path, why);
}

/* libslirp in the worker; or, since one that is a process makes no connections, elsewhere. */
static int open_user(struct guest *guest, const struct nic_config *nic, struct vm_nic *vm_nic,
                     char *why)
{
    const struct daemon_config *config = &guest->daemon->config;
    char *network;
    int err;

    if (config->isolation == ISOLATION_THREAD) {
        vm_nic->kind = VM_NET_USER;
        usernet_options(nic, &vm_nic->user);
        return 0;
    }
    vm_nic->kind = VM_NET_DGRAM;
    vm_nic->connection = true;
    network = nic_config_user_text(nic);
    if (!network) {
        snprintf(why, OPENER_WHY_SIZE, "out of memory");
        return -ENOMEM;
    }
    err = opener_user_network(config->user_network_socket, network, &vm_nic->fd, why);
    free(network);
    return err;
}

static int open_way_out(struct guest *guest, const struct nic_config *nic, struct vm_nic *vm_nic,
                        char *why)
{
    switch (nic->backend) {
    case NIC_TAP:
        vm_nic->kind = VM_NET_TAP;
        return opener_tap(nic, &vm_nic->fd, guest->nic_ifname[nic->devid], why);
    case NIC_MACVTAP:
        vm_nic->kind = VM_NET_TAP;
        memcpy(guest->nic_ifname[nic->devid], nic->ifname, sizeof(nic->ifname));
        return opener_macvtap(nic, vm_nic->mac, &vm_nic->fd, why);
    case NIC_USER:
        return open_user(guest, nic, vm_nic, why);
    case NIC_SOCKET:
        return open_socket(guest, nic, vm_nic, why);
    case NIC_NULL:
        break;
    }
    vm_nic->kind = VM_NET_NULL;
    return 0;
}

static bool has_pv(const struct guest *guest, const struct nic_config *nic,
                   struct hv_nic_credit *ret_credit)
{
    struct hv_host *host =
        guest->daemon->host[guest->config.hypervisor == GUEST_XEN ? DAEMON_XEN : DAEMON_SHM];

    *ret_credit = (struct hv_nic_credit){0};
    return guest->hv->nic_has_pv &&
           guest->hv->nic_has_pv(host, guest->domid, nic->devid, ret_credit);
}

void guest_nic_limits(const struct guest *guest, const struct nic_config *nic,
                      struct net_limits *ret_limits)
{
    struct hv_nic_credit credit;

    *ret_limits = (struct net_limits){
        .tx_rate = nic->rate,
        .tx_burst = nic->rate / BURST_SHARE,
        .rx_rate = nic->rate_in,
        .rx_burst = nic->rate_in / BURST_SHARE,
    };
    if (nic->rate || !has_pv(guest, nic, &credit) || !credit.bytes || !credit.interval_us)
        return;
    ret_limits->tx_rate =
        (uint64_t)((unsigned __int128)credit.bytes * 1000000 / credit.interval_us);
    ret_limits->tx_burst = credit.bytes;
}

static int open_nic(struct guest *guest, const struct nic_config *nic, struct vm_nic *vm_nic,
                    char *why)
{
    char reason[OPENER_WHY_SIZE] = "";
    int err;

    *vm_nic = (struct vm_nic){
        .slot = nic->slot,
        .fd = -1,
        .keep_fd = -1,
        .rom_fd = -1,
        .link = nic->link,
    };
    snprintf(vm_nic->model, sizeof(vm_nic->model), "%s", nic_config_model(nic));
    nic_config_mac(nic, guest->config.name, vm_nic->mac);
    guest_nic_limits(guest, nic, &vm_nic->limits);
    err = open_rom(guest, nic, vm_nic, reason);
    if (!err)
        err = open_way_out(guest, nic, vm_nic, reason);
    if (err) {
        snprintf(why, GUEST_WHY_SIZE, "NIC %u: %s", nic->devid, reason);
        rom_put(guest->daemon, guest->rom[nic->devid]);
        guest->rom[nic->devid] = NULL;
        vm_nic_discard(vm_nic); /* of its ROM */
        vm_nic->model[0] = '\0';
    }
    return err;
}

int guest_nics_open(struct guest *guest, char *why)
{
    int err = 0;

    if (!guest->config.n_nics)
        return 0;
    guest->params.nic = calloc(MACHINE_NICS, sizeof(*guest->params.nic));
    if (!guest->params.nic) {
        snprintf(why, GUEST_WHY_SIZE, "out of memory");
        return -ENOMEM;
    }
    for (unsigned i = 0; i < guest->config.n_nics && !err; i++) {
        const struct nic_config *nic = &guest->config.nic[i];

        if (machine_nic_model(nic_config_model(nic)))
            err = open_nic(guest, nic, &guest->params.nic[nic->devid], why);
        else
            guest_log(guest, LOG_WARNING, "event=nic-left-out nic=%u why=\"there is no %s yet\"",
                      nic->devid, nic_config_model(nic));
    }
    return err;
}

bool guest_nics_have_pv(const struct guest *guest)
{
    struct hv_nic_credit credit;

    for (unsigned i = 0; i < guest->config.n_nics; i++)
        if (!has_pv(guest, &guest->config.nic[i], &credit))
            return false;
    return true;
}

void guest_nics_forget(struct guest *guest)
{
    free(guest->params.nic);
    guest->params.nic = NULL;
}

void guest_nics_discard(struct guest *guest)
{
    for (unsigned i = 0; guest->params.nic && i < MACHINE_NICS; i++)
        vm_nic_discard(&guest->params.nic[i]);
    guest_nics_forget(guest);
}

static void finish_nic(struct guest *guest, unsigned number)
{
    if (guest->nic_socket[number])
        unlink(guest->nic_socket[number]);
    free(guest->nic_socket[number]);
    guest->nic_socket[number] = NULL;
    guest->nic_ifname[number][0] = '\0';
    guest_dial_close(guest, number);
    rom_put(guest->daemon, guest->rom[number]);
    guest->rom[number] = NULL;
}

void guest_nics_finish(struct guest *guest)
{
    for (unsigned i = 0; i < MACHINE_NICS; i++)
        finish_nic(guest, i);
}

/* ---- while it runs --------------------------------------------------------------------------- */

/* Goes to the guest's worker and comes back. The guest is there until then: what ends it goes the
 * same way, behind. */
struct op {
    struct guest_call call; /* first: the op is found by it */
    struct guest *guest;
    unsigned number;
    bool opened;              /* VM_NIC_ADD: there is something to be undone */
    struct nic_config config; /* VM_NIC_ADD */
    int err;
    char why[GUEST_WHY_SIZE];
    guest_nic_done *done;
    void *ctx;
};

static enum vm_op kind_of(const struct op *op)
{
    return op->call.request.op;
}

/* The description follows what was done. */
static void note_added(struct guest *guest, struct nic_config *config)
{
    struct guest_config *of = &guest->config;
    unsigned at = 0;

    while (at < of->n_nics && of->nic[at].devid != config->devid)
        at++;
    nic_config_finish(&of->nic[at]); /* there is one for each devid */
    of->nic[at] = *config;
    if (at == of->n_nics)
        of->n_nics++;
    *config = (struct nic_config){0};
}

static void finish_op(struct op *op)
{
    guest_nic_done *done = op->done;

    if (kind_of(op) == VM_NIC_ADD && !op->err)
        note_added(op->guest, &op->config);
    else if (op->opened)
        finish_nic(op->guest, op->number);
    log_write(&op->guest->log, op->err ? LOG_WARNING : LOG_INFO, op->guest->config.name,
              "event=nic-%s nic=%u%s%s%s",
              kind_of(op) == VM_NIC_LINK      ? "link"
              : kind_of(op) == VM_NIC_CAPTURE ? "capture"
              : kind_of(op) == VM_NIC_ADD     ? "add"
                                              : "remove",
              op->number, op->err ? " why=\"" : "", op->why, op->err ? "\"" : "");
    if (kind_of(op) == VM_NIC_ADD)
        nic_config_finish(&op->config);
    if (done)
        done(op->ctx, op->err, op->why);
    free(op);
}

static void answered(struct guest_call *call)
{
    struct op *op = (struct op *)call;
    const struct vm_reply *reply = &call->reply;

    op->err = reply->err;
    if (op->err == -ENOENT)
        snprintf(op->why, sizeof(op->why), "the guest has no NIC %u", op->number);
    else if (op->err == -ENOTSUP)
        snprintf(op->why, sizeof(op->why),
                 "the guest cannot be asked for a secondary's NIC: insist with --force");
    else if (op->err)
        snprintf(op->why, sizeof(op->why), "%s", *reply->why ? reply->why : strerror(-op->err));
    finish_op(op);
}

/* NULL after done(). */
static struct op *new_op(struct guest *guest, enum vm_op kind, unsigned number,
                         guest_nic_done *done, void *ctx)
{
    struct op *op;

    if (guest->state != GUEST_RUNNING || number >= MACHINE_NICS) {
        done(ctx, -EINVAL,
             number >= MACHINE_NICS ? "NICs have the numbers 0 to 7"
                                    : "the guest does not run yet");
        return NULL;
    }
    op = calloc(1, sizeof(*op));
    if (!op) {
        done(ctx, -ENOMEM, "out of memory");
        return NULL;
    }
    *op = (struct op){
        .call = {.request = {.op = kind,
                             .nic = {.number = number,
                                     .fd = -1,
                                     .nic = {.fd = -1, .keep_fd = -1, .rom_fd = -1}}},
                 .done = answered},
        .guest = guest,
        .number = number,
        .done = done,
        .ctx = ctx,
    };
    return op;
}

static void send_op(struct op *op)
{
    guest_call(op->guest, &op->call);
}

void guest_nic_link(struct guest *guest, unsigned number, bool up, guest_nic_done *done, void *ctx)
{
    struct op *op = new_op(guest, VM_NIC_LINK, number, done, ctx);

    if (!op)
        return;
    op->call.request.nic.flag = up;
    send_op(op);
}

void guest_nic_capture(struct guest *guest, unsigned number, const char *path, uint64_t limit,
                       guest_nic_done *done, void *ctx)
{
    struct op *op = new_op(guest, VM_NIC_CAPTURE, number, done, ctx);

    if (!op)
        return;
    op->call.request.nic.limit = limit;
    if (path)
        op->err = opener_capture(path, &op->call.request.nic.fd, op->why);
    if (op->err)
        finish_op(op);
    else
        send_op(op);
}

void guest_nic_add(struct guest *guest, struct nic_config *config, guest_nic_done *done, void *ctx)
{
    struct op *op = new_op(guest, VM_NIC_ADD, config->devid, done, ctx);

    if (!op) {
        nic_config_finish(config);
        return;
    }
    op->config = *config;
    *config = (struct nic_config){0};
    if (!machine_nic_model(nic_config_model(&op->config))) {
        op->err = -EINVAL;
        snprintf(op->why, sizeof(op->why), "there is no %s yet", nic_config_model(&op->config));
    } else if (guest_has_nic(guest, op->number)) {
        /* Before its socket's file or ROM is replaced under it. */
        op->err = -EEXIST;
        snprintf(op->why, sizeof(op->why), "the guest has a NIC %u already", op->number);
    } else {
        finish_nic(guest, op->number); /* of one that is gone */
        op->err = open_nic(guest, &op->config, &op->call.request.nic.nic, op->why);
        op->opened = !op->err;
    }
    if (op->err)
        finish_op(op);
    else
        send_op(op);
}

void guest_nic_remove(struct guest *guest, unsigned number, bool force, guest_nic_done *done,
                      void *ctx)
{
    struct op *op = new_op(guest, VM_NIC_REMOVE, number, done, ctx);

    if (!op)
        return;
    op->call.request.nic.flag = force;
    send_op(op);
}

bool guest_has_nic(const struct guest *guest, unsigned number)
{
    struct vm_counts counts;

    if (guest->state != GUEST_RUNNING)
        return false;
    if (guest->vm)
        return __atomic_load_n(&guest->vm->net[number], __ATOMIC_ACQUIRE);
    return worker_process_vm_counts(guest, &counts) && counts.nic[number].here;
}
