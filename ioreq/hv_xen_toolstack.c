/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the toolstack wrote to XenStore of the ways that a domain has to its devices. */
#include "ioreq/hv_xen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "devices/pv/xenbus.h"

static struct xs_handle *xs_of(struct hv_host *host)
{
    return hv_xen_host_store(host)->ctx;
}

char *hv_xen_read_path(struct hv_host *host, const char *format, ...)
{
    char path[256];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    return len > 0 && (size_t)len < sizeof(path) ? xs_read(xs_of(host), XBT_NULL, path, NULL)
                                                 : NULL;
}

/* "vbd" is the kernel's blkback, which libxl uses for files as well (by a loop device); "qdisk" is
 * what it expects the domain's own device model to serve, if it is in our domain. */
static bool backend_serves(const char *backend, bool own)
{
    unsigned domid;
    char type[16];

    return sscanf(backend, "/local/domain/%u/backend/%15[^/]/", &domid, type) == 2 &&
           (domid != 0 || !strcmp(type, "vbd") || (own && !strcmp(type, "qdisk")));
}

bool hv_xen_disks_have_pv(struct hv_host *host, uint32_t domid, const struct hv_disk *disks,
                          unsigned n_disks, bool own)
{
    char path[64];
    unsigned count = 0, found = 0;
    char **devices;

    /* libxl's own copy, which the guest cannot write. */
    snprintf(path, sizeof(path), "/libxl/%u/device/vbd", domid);
    devices = xs_directory(xs_of(host), XBT_NULL, path, &count);
    for (unsigned i = 0; devices && i < count; i++) {
        unsigned devid = (unsigned)strtoul(devices[i], NULL, 10);
        char *backend = hv_xen_read_path(host, "%s/%s/backend", path, devices[i]);
        char *params = hv_xen_read_path(host, "%s/%s/params", path, devices[i]);

        for (unsigned j = 0; j < n_disks && backend && backend_serves(backend, own); j++)
            found |= hv_xen_vbd_is(devid, params, &disks[j]) ? 1u << j : 0;
        free(params);
        free(backend);
    }
    free(devices);
    return found == (1u << n_disks) - 1;
}

bool hv_xen_nic_has_pv(struct hv_host *host, uint32_t domid, unsigned devid,
                       struct hv_nic_credit *ret_credit)
{
    char *backend = hv_xen_read_path(host, "/libxl/%u/device/vif/%u/backend", domid, devid);
    char *rate = backend ? hv_xen_read_path(host, "%s/rate", backend) : NULL;
    unsigned long long bytes;
    unsigned interval_us;

    /* "BYTES,MICROSECONDS" */
    if (rate && sscanf(rate, "%llu,%u", &bytes, &interval_us) == 2 && interval_us)
        *ret_credit = (struct hv_nic_credit){bytes, interval_us};
    free(rate);
    free(backend);
    return backend != NULL;
}
