/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/hv_xen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenstore.h>

#include <xen/hvm/hvm_op.h>

#include "devices/pv/xenbus.h"
#include "ioreq/grant_swap.h"
#include "ioreq/privcmd.h"

#define PRIVCMD_PATH "/dev/xen/privcmd"
#define EVTCHN_PATH  "/dev/xen/evtchn"

/* How many mappings a process may have, and Linux's default where that cannot be read. */
#define MAX_MAP_COUNT_PATH    "/proc/sys/vm/max_map_count"
#define MAX_MAP_COUNT_DEFAULT 65530u

/* Of a domain (MAX_NR_IOREQ_SERVERS). */
#define SERVERS_MAX 8u

/* Watches taken in one host_dispatch(); the descriptor stays readable while there are more. */
#define WATCH_BUDGET 64

struct hv_host {
    const struct hv_host_events *events;
    void *ctx;
    xc_interface *xc;
    xendevicemodel_handle *dm;
    struct xs_handle *xs;
    struct xenbus store; /* on it */
    struct hv_guest *guests;
    uint32_t map_mib_left; /* of what guests may map together */
    unsigned swap_pages;
    uint32_t swap_from;
    bool swap_told;
    bool bare; /* a worker process's: all else is empty */
};

__attribute__((format(printf, 3, 4))) static void host_log(struct hv_host *host, int priority,
                                                           const char *format, ...)
{
    char line[256];
    va_list args;

    if (!host->events || !host->events->log)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    host->events->log(host->ctx, priority, line);
}

/* The library's errno, which some of its paths forget to set. */
static int last_error(void)
{
    return errno ? -errno : -EIO;
}

/* Host. */

static uint64_t max_map_count(void)
{
    FILE *file = fopen(MAX_MAP_COUNT_PATH, "re");
    unsigned long long count = 0;

    if (!file)
        return MAX_MAP_COUNT_DEFAULT;
    if (fscanf(file, "%llu", &count) != 1)
        count = MAX_MAP_COUNT_DEFAULT;
    fclose(file);
    return count;
}

int hv_xen_host_open(const struct hv_host_params *params, struct hv_host **ret_host)
{
    struct hv_host *host = calloc(1, sizeof(*host));
    const char *what;
    int err;

    if (!host)
        return -ENOMEM;
    host->events = params->events;
    host->ctx = params->ctx;
    host->map_mib_left = mapcache_total_mib(max_map_count());
    host->swap_pages = params->swap_pages;
    host->swap_from = params->swap_from;
    what = "hypervisor";
    host->xc = xc_interface_open(NULL, NULL, 0);
    if (!host->xc)
        goto fail;
    what = "device-model interface";
    host->dm = xendevicemodel_open(NULL, 0);
    if (!host->dm)
        goto fail;
    what = "xenstore";
    host->xs = xs_open(0);
    if (!host->xs)
        goto fail;
    /* Domains that die and that appear; XenStore fires each once at registration, too. */
    if (!xs_watch(host->xs, "@releaseDomain", "release") ||
        !xs_watch(host->xs, "@introduceDomain", "introduce") || xs_fileno(host->xs) < 0)
        goto fail;
    hv_xen_store_init(&host->store, host->xs);
    *ret_host = host;
    return 0;

fail:
    err = last_error();
    host_log(host, LOG_ERR, "event=xen-unavailable what=\"%s\" error=\"%s\"", what, strerror(-err));
    hv_xen_host_close(host);
    return err;
}

void hv_xen_host_close(struct hv_host *host)
{
    if (!host)
        return;
    if (host->xs)
        xs_close(host->xs);
    if (host->dm)
        xendevicemodel_close(host->dm);
    if (host->xc)
        xc_interface_close(host->xc);
    free(host);
}

int hv_xen_host_bare(struct hv_host **ret_host)
{
    struct hv_host *host = calloc(1, sizeof(*host));

    if (!host)
        return -ENOMEM;
    host->bare = true;
    *ret_host = host;
    return 0;
}

bool hv_xen_host_is_bare(const struct hv_host *host)
{
    return host->bare;
}

const struct xenbus *hv_xen_host_store(const struct hv_host *host)
{
    return &host->store;
}

int hv_xen_host_fd(const struct hv_host *host)
{
    return xs_fileno(host->xs);
}

/* -ESRCH: no such domain, or one that is being torn down. */
static int domain_info(struct hv_host *host, uint32_t domid, xc_dominfo_t *ret_info)
{
    xc_dominfo_t info;
    int got;

    if (domid >= DOMID_FIRST_RESERVED)
        return -ESRCH;
    errno = 0;
    /* Gives the first domain from domid on, which may be another one. */
    got = xc_domain_getinfo(host->xc, domid, 1, &info);
    if (got < 0 && errno != ESRCH)
        return last_error();
    if (got != 1 || info.domid != domid || info.dying)
        return -ESRCH;
    *ret_info = info;
    return 0;
}

static bool guest_is_gone(struct hv_guest *guest)
{
    xc_dominfo_t info;
    int err = domain_info(guest->host, guest->domid, &info);

    return err == -ESRCH || (!err && memcmp(info.handle, guest->handle, sizeof(info.handle)));
}

/* The receiver may destroy the guest it is told of, or others: from the start after each. */
static void tell_gone(struct hv_host *host)
{
    struct hv_guest *guest = host->guests;

    while (guest) {
        if (guest->gone_told || !guest_is_gone(guest)) {
            guest = guest->next;
            continue;
        }
        guest->gone_told = true;
        host->events->guest_gone(host->ctx, guest);
        guest = host->guests;
    }
}

int hv_xen_host_dispatch(struct hv_host *host)
{
    bool released = false, introduced = false;

    for (int i = 0; i < WATCH_BUDGET; i++) {
        char **watch;

        errno = 0;
        watch = xs_check_watch(host->xs);
        if (!watch) {
            if (errno && errno != EAGAIN)
                return -errno;
            break;
        }
        if (!strcmp(watch[XS_WATCH_PATH], "@releaseDomain"))
            released = true;
        else if (!strcmp(watch[XS_WATCH_PATH], "@introduceDomain"))
            introduced = true;
        else if (host->events->store)
            host->events->store(host->ctx, watch[XS_WATCH_PATH], watch[XS_WATCH_TOKEN]);
        free(watch);
    }
    if (released)
        tell_gone(host);
    if (introduced && host->events->domains) /* its predecessor has let go of its images by now */
        host->events->domains(host->ctx);
    return 0;
}

unsigned hv_xen_host_swap(const struct hv_host *host, uint32_t *ret_from)
{
    *ret_from = host->swap_from;
    return host->swap_pages;
}

void hv_xen_host_swap_tell(struct hv_host *host, int err)
{
    if (err)
        host_log(host, LOG_WARNING,
                 "event=swap-unavailable reason=\"%s\" reads of PV disks are copied",
                 grant_swap_refusal(err));
    else if (!host->swap_told)
        host_log(host, LOG_INFO, "event=swap pages=%u from=%u", host->swap_pages, host->swap_from);
    host->swap_told = true;
    if (err)
        host->swap_pages = 0;
}

/* Guests. */

/* A descriptor that can do nothing but what concerns this domain. */
static int open_privcmd(uint16_t domid)
{
    int fd = open(PRIVCMD_PATH, O_RDWR | O_CLOEXEC);
    int err;

    if (fd < 0)
        return -errno;
    err = privcmd_restrict(fd, domid);
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

int hv_xen_open_evtchn(uint16_t domid, struct xenevtchn_handle **ret_handle)
{
    int fd = open(EVTCHN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    xenevtchn_handle *handle;
    int err;

    if (fd < 0)
        return -errno;
    errno = 0;
    handle = xenevtchn_fdopen(NULL, fd, 0);
    if (!handle) {
        err = last_error();
        close(fd);
        return err;
    }
    if (xenevtchn_restrict(handle, domid) < 0) {
        err = last_error();
        xenevtchn_close(handle);
        return err;
    }
    *ret_handle = handle;
    return fd;
}

/* A guest without a server and not in the host's list yet. */
static int guest_open(struct hv_host *host, const char *name, const xc_dominfo_t *info,
                      struct hv_guest **ret_guest)
{
    struct hv_guest *guest = calloc(1, sizeof(*guest));
    int err;

    if (!guest)
        return -ENOMEM;
    guest->host = host;
    guest->domid = (uint16_t)info->domid;
    guest->info.domid = info->domid;
    guest->info.vcpus = info->max_vcpu_id + 1;
    guest->info.features = HV_FEATURE_DIRTY_LOG | HV_FEATURE_MSI;
    memcpy(guest->handle, info->handle, sizeof(guest->handle));
    snprintf(guest->name, sizeof(guest->name), "%s", name);
    guest->privcmd_fd = open_privcmd(guest->domid);
    if (guest->privcmd_fd < 0) {
        err = guest->privcmd_fd;
        goto free_guest;
    }
    guest->evtchn_fd = hv_xen_open_evtchn(guest->domid, &guest->evtchn);
    if (guest->evtchn_fd < 0) {
        err = guest->evtchn_fd;
        goto close_privcmd;
    }
    *ret_guest = guest;
    return 0;

close_privcmd:
    close(guest->privcmd_fd);
free_guest:
    free(guest);
    return err;
}

void hv_xen_guest_let_go(struct hv_guest *guest)
{
    hv_xen_guest_stop(guest);
    hv_xen_guest_close_evtchn(guest);
    if (guest->privcmd_fd >= 0)
        close(guest->privcmd_fd);
    free(guest);
}

static int check_domain(struct hv_host *host, const struct hv_guest_params *params,
                        xc_dominfo_t *ret_info)
{
    int err = domain_info(host, params->domid, ret_info);
    const char *why = err == -ESRCH ? "there is no such domain" : strerror(-err);

    if (!err && params->no_server) {
        /* An HVM domain's device model serves its PV disks, too. */
        if (!ret_info->hvm || !(ret_info->arch_config.emulation_flags & XEN_X86_EMU_PM))
            return 0;
        err = -ENOTSUP;
        why = "an HVM domain has emulated devices";
    } else if (!err && !ret_info->hvm) {
        err = -ENOTSUP;
        why = "a PV domain has no use for a device model";
    } else if (!err && ret_info->max_vcpu_id >= HV_MAX_VCPUS) {
        err = -ENOTSUP;
        why = "more vCPUs than one ioreq page holds";
    }
    if (err)
        host_log(host, LOG_ERR, "event=attach-failed guest=%s domid=%u reason=\"%s\"", params->name,
                 params->domid, why);
    return err;
}

/* Its part of the mappings that all guests have together. */
static void reserve_maps(struct hv_guest *guest, uint32_t wanted_mib)
{
    struct hv_host *host = guest->host;

    wanted_mib = wanted_mib ? wanted_mib : MAPCACHE_DEFAULT_MIB;
    guest->map_limit_mib = mapcache_share_mib(wanted_mib, host->map_mib_left);
    guest->map_reserved_mib =
        guest->map_limit_mib < host->map_mib_left ? guest->map_limit_mib : host->map_mib_left;
    host->map_mib_left -= guest->map_reserved_mib;
    if (guest->map_limit_mib < wanted_mib)
        host_log(host, LOG_WARNING,
                 "event=map-limit-reduced guest=%s domid=%u map_limit_mib=%u wanted=%u "
                 "hint=\"raise vm.max_map_count, which all guests share\"",
                 guest->name, guest->domid, guest->map_limit_mib, wanted_mib);
}

int hv_xen_guest_create(struct hv_host *host, const struct hv_guest_params *params,
                        struct hv_guest **ret_guest)
{
    struct hv_guest *guest;
    xc_dominfo_t info;
    ioservid_t id;
    int err = check_domain(host, params, &info);

    if (err)
        return err;
    err = guest_open(host, params->name, &info, &guest);
    if (err) {
        host_log(host, LOG_ERR,
                 "event=attach-failed guest=%s domid=%u reason=\"Xen's devices: %s\"", params->name,
                 params->domid, strerror(-err));
        return err;
    }
    guest->buffered_pio = params->buffered_pio;
    if (params->no_server) {
        guest->server_id = HV_XEN_NO_SERVER;
        guest->info.vcpus = 0;
        goto enlist;
    }
    /* The last step that can fail, so that no server is ever made in vain. */
    errno = 0;
    if (xendevicemodel_create_ioreq_server(host->dm, guest->domid, HVM_IOREQSRV_BUFIOREQ_ATOMIC,
                                           &id) < 0) {
        err = last_error();
        host_log(
            host, LOG_ERR,
            "event=attach-failed guest=%s domid=%u reason=\"cannot make an ioreq server%s: %s\"",
            params->name, params->domid, err == -ENOSPC ? " (it has all eight)" : "",
            strerror(-err));
        hv_xen_guest_let_go(guest);
        return err;
    }
    guest->server_id = id;
    reserve_maps(guest, params->map_limit_mib);

enlist:
    guest->next = host->guests;
    host->guests = guest;
    *ret_guest = guest;
    return 0;
}

/* Gone already, with its domain or without, is as good. */
static int server_destroy(struct hv_host *host, uint16_t domid, uint16_t server_id)
{
    errno = 0;
    if (!xendevicemodel_destroy_ioreq_server(host->dm, domid, server_id) || errno == ENOENT)
        return 0;
    return last_error();
}

void hv_xen_guest_destroy(struct hv_guest *guest)
{
    struct hv_host *host;
    struct hv_guest **link;
    int err;

    if (!guest)
        return;
    host = guest->host;
    hv_xen_guest_stop(guest);
    err = guest->server_id == HV_XEN_NO_SERVER
              ? 0
              : server_destroy(host, guest->domid, guest->server_id);
    if (err && err != -ESRCH && !guest_is_gone(guest))
        host_log(host, LOG_ERR, "event=server-left guest=%s domid=%u server=%u error=\"%s\"",
                 guest->name, guest->domid, guest->server_id, strerror(-err));
    for (link = &host->guests; *link != guest; link = &(*link)->next)
        ;
    *link = guest->next;
    host->map_mib_left += guest->map_reserved_mib;
    hv_xen_guest_let_go(guest);
}

/* Xen counts pauses: an administrator's own stays. */
int hv_xen_guest_pause(struct hv_guest *guest, bool pause)
{
    xc_interface *xc = guest->host->xc;
    int err;

    errno = 0;
    err = pause ? xc_domain_pause(xc, guest->domid) : xc_domain_unpause(xc, guest->domid);
    return err ? last_error() : 0;
}

/* As libxl prints it. */
static void handle_to_text(const xen_domain_handle_t handle, char *text, size_t size)
{
    char *at = text;

    for (int i = 0; i < 16; i++) {
        const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";

        at += snprintf(at, size - (size_t)(at - text), "%s%02x", dash, handle[i]);
    }
}

/* A server's id is the lowest that is free (common/ioreq.c 4.17). There is no list of them, but
 * each can be asked about; those of other domains refuse to answer. */
int hv_xen_guest_intend(struct hv_host *host, const struct hv_guest_params *params,
                        struct hv_record *ret_record)
{
    struct hv_record record = {.domid = params->domid};
    evtchn_port_t port;
    xc_dominfo_t info;
    int err = check_domain(host, params, &info);

    if (err)
        return err;
    for (; record.server_id < SERVERS_MAX; record.server_id++)
        if (xendevicemodel_get_ioreq_server_info(host->dm, (domid_t)params->domid,
                                                 (ioservid_t)record.server_id, NULL, NULL, &port) &&
            errno == ENOENT)
            break;
    if (record.server_id == SERVERS_MAX)
        return -ENOSPC;
    handle_to_text(info.handle, record.domain_handle, sizeof(record.domain_handle));
    *ret_record = record;
    return 0;
}

void hv_xen_guest_record(const struct hv_guest *guest, struct hv_record *ret_record)
{
    ret_record->domid = guest->domid;
    ret_record->server_id = guest->server_id;
    handle_to_text(guest->handle, ret_record->domain_handle, sizeof(ret_record->domain_handle));
}

int hv_xen_find_domain(struct hv_host *host, const char *name, uint32_t *ret_domid)
{
    unsigned count = 0;
    char **domids = xs_directory(host->xs, XBT_NULL, "/local/domain", &count);
    int err = -ENOENT;

    for (unsigned i = 0; domids && i < count && err; i++) {
        char *its_name = hv_xen_read_path(host, "/local/domain/%s/name", domids[i]);
        uint32_t domid = (uint32_t)strtoul(domids[i], NULL, 10);
        xc_dominfo_t info;

        /* One that is being torn down may still have its name while its successor starts. */
        if (its_name && !strcmp(its_name, name) && !domain_info(host, domid, &info)) {
            *ret_domid = domid;
            err = 0;
        }
        free(its_name);
    }
    free(domids);
    return err;
}

/* Not one that is suspended, or that a soft reset (xl's on_soft_reset=) lets begin anew. */
static bool is_over(const xc_dominfo_t *info)
{
    return info->crashed || (info->shutdown && (info->shutdown_reason == SHUTDOWN_poweroff ||
                                                info->shutdown_reason == SHUTDOWN_reboot ||
                                                info->shutdown_reason == SHUTDOWN_watchdog));
}

int hv_xen_guest_domain(const struct hv_guest *guest, struct hv_domain *ret_domain)
{
    xc_dominfo_t info;
    int err = domain_info(guest->host, guest->domid, &info);
    char *name;

    if (!err && memcmp(info.handle, guest->handle, sizeof(info.handle)))
        err = -ESRCH;
    if (err)
        return err;
    name = hv_xen_read_path(guest->host, "/local/domain/%u/name", guest->domid);
    if (!name)
        return -ESRCH;
    snprintf(ret_domain->name, sizeof(ret_domain->name), "%s", name);
    ret_domain->over = is_over(&info);
    free(name);
    return 0;
}

/* Lets go of vCPUs that wait for the dead daemon: they would wait for ever once the server is
 * gone. Done as its successor; failing in it costs no more than that. */
static void orphan_release_vcpus(struct hv_host *host, const xc_dominfo_t *info, uint16_t server_id)
{
    struct hv_guest *guest;

    if (info->max_vcpu_id >= HV_MAX_VCPUS || guest_open(host, "orphan", info, &guest))
        return;
    guest->server_id = server_id;
    if (!hv_xen_guest_start(guest, NULL))
        hv_xen_guest_enable(guest);
    hv_xen_guest_let_go(guest);
}

int hv_xen_orphan_remove(struct hv_host *host, const struct hv_record *record)
{
    char handle[sizeof(record->domain_handle)];
    xc_dominfo_t info;
    int err = domain_info(host, record->domid, &info);

    if (err)
        return err;
    handle_to_text(info.handle, handle, sizeof(handle));
    if (strcmp(handle, record->domain_handle))
        return -ESRCH;
    if (record->server_id > UINT16_MAX)
        return -EINVAL;
    orphan_release_vcpus(host, &info, (uint16_t)record->server_id);
    return server_destroy(host, (uint16_t)record->domid, (uint16_t)record->server_id);
}
