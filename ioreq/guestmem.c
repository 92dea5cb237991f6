/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioreq/guestmem.h"

#include <errno.h>
#include <string.h>

/* How many entries, at least 1, or -errno. A pin that covers nothing is an error as well: of it
 * nothing follows about the memory. */
static int pin(const struct hv_ops *hv, struct hv_guest *guest, uint64_t gpa, size_t len,
               bool write, struct iovec *iov, size_t *ret_len)
{
    int n = hv->pin(guest, gpa, len, write, iov, ret_len);

    if (n < 0)
        return n;
    return n > 0 && *ret_len > 0 && *ret_len <= len ? n : -EIO;
}

int guestmem_read(const struct hv_ops *hv, struct hv_guest *guest, uint64_t gpa, void *buf,
                  size_t len)
{
    struct iovec iov[HV_PIN_IOV];
    uint8_t *to = buf;

    while (len) {
        size_t pinned;
        int n = pin(hv, guest, gpa, len, false, iov, &pinned);

        if (n < 0) {
            memset(to, 0xff, len);
            return n;
        }
        for (int i = 0; i < n; i++) {
            if (iov[i].iov_base)
                memcpy(to, iov[i].iov_base, iov[i].iov_len);
            else
                memset(to, 0xff, iov[i].iov_len);
            to += iov[i].iov_len;
        }
        hv->unpin(guest, gpa, pinned);
        gpa += pinned;
        len -= pinned;
    }
    return 0;
}

int guestmem_write(const struct hv_ops *hv, struct hv_guest *guest, uint64_t gpa, const void *buf,
                   size_t len)
{
    struct iovec iov[HV_PIN_IOV];
    const uint8_t *from = buf;

    while (len) {
        size_t pinned;
        int n = pin(hv, guest, gpa, len, true, iov, &pinned);

        if (n < 0)
            return n;
        for (int i = 0; i < n; i++) {
            if (iov[i].iov_base)
                memcpy(iov[i].iov_base, from, iov[i].iov_len);
            from += iov[i].iov_len;
        }
        hv->mark_dirty(guest, gpa, pinned);
        hv->unpin(guest, gpa, pinned);
        gpa += pinned;
        len -= pinned;
    }
    return 0;
}

uint64_t guestmem_rest(struct guestmem_rest *rest, const struct hv_counters *counters,
                       uint64_t now_ns)
{
    uint64_t made = counters->map_calls - rest->maps;

    rest->maps = counters->map_calls;
    if (made > GUESTMEM_MAPS_FREE)
        rest->until_ns = now_ns + made * GUESTMEM_MAP_NS;
    return rest->until_ns > now_ns ? rest->until_ns : 0;
}
