/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_shm: messages in and out; HELLO checked and turned into mappings. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ioreq/hv_shm_priv.h"

#define WELCOME_FDS (2 + HV_SHM_VCPUS_MAX)

/* The most that the kernel lets through at a time: one that did not fit would be closed by it, and
 * our thread would wait for that. */
#define SCM_FDS 253

/* The descriptors that came with a message, the first ones into fds; returns how many came. */
static unsigned take_fds(struct msghdr *msg, struct hv_shm_reaper *reaper,
                         int fds[HV_SHM_HELLO_FDS])
{
    unsigned count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++, count++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (count < HV_SHM_HELLO_FDS)
                fds[count] = fd;
            else
                hv_shm_reaper_close(reaper, fd);
        }
    }
    return count;
}

int hv_shm_receive(int sock, struct hv_shm_reaper *reaper, void *buf, int fds[HV_SHM_HELLO_FDS],
                   unsigned *ret_fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SCM_FDS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = HV_SHM_MESSAGE_MAX};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    const struct hv_shm_header *header = buf;
    unsigned count;
    ssize_t len;

    do
        len = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? -EAGAIN : 0;
    count = take_fds(&msg, reaper, fds);
    if (len >= (ssize_t)sizeof(*header) && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
        count <= HV_SHM_HELLO_FDS && header->magic == HV_SHM_MAGIC &&
        header->length == (size_t)len && header->fds == count) {
        *ret_fd_count = count;
        return (int)len;
    }
    hv_shm_reaper_close_all(reaper, fds, count < HV_SHM_HELLO_FDS ? count : HV_SHM_HELLO_FDS);
    return len ? -EPROTO : 0;
}

int hv_shm_send(int sock, enum hv_shm_type type, void *message, size_t length, const int *fds,
                unsigned fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(WELCOME_FDS * sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = message, .iov_len = length};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct hv_shm_header *header = message;
    ssize_t len;

    header->magic = HV_SHM_MAGIC;
    header->type = (uint16_t)type;
    header->fds = (uint16_t)fd_count;
    header->length = (uint32_t)length;
    if (fd_count) {
        struct cmsghdr *c;

        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    do
        /* A worker process must not send what could have descriptors (daemon/sandbox.h). */
        len = fd_count ? sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)
                       : send(sock, message, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (len < 0 && errno == EINTR);
    return len == (ssize_t)length ? 0 : -EPIPE;
}

int hv_shm_map(int fd, uint64_t offset, uint64_t size, bool write, void **ret_base,
               const char **ret_why)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct statfs fs;
    struct stat st;
    void *base;

    if (seals < 0) {
        *ret_why = "descriptor is not a memfd";
        return -EINVAL;
    }
    if (!(seals & F_SEAL_SHRINK)) {
        *ret_why = "memfd is not sealed against shrinking";
        return -EPERM;
    }
    /* Huge pages can run out at the moment of an access, which would be a SIGBUS. */
    if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC) {
        *ret_why = "memfd is not of ordinary pages";
        return -EINVAL;
    }
    if (fstat(fd, &st) < 0 || st.st_size < 0 || offset > (uint64_t)st.st_size ||
        size > (uint64_t)st.st_size - offset) {
        *ret_why = "memfd is shorter than what is to be mapped";
        return -EINVAL;
    }
    base =
        mmap(NULL, size, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, (off_t)offset);
    if (base == MAP_FAILED) {
        *ret_why = "memfd cannot be mapped";
        return -errno;
    }
    madvise(base, size, MADV_DONTDUMP);
    *ret_base = base;
    return 0;
}

/* As guest_config_name_is_good(), and zeros after its end. */
static bool name_valid(const char name[HV_SHM_NAME_SIZE])
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "._+@:-";
    size_t len = strnlen(name, HV_SHM_NAME_SIZE);

    if (!len || len == HV_SHM_NAME_SIZE || strspn(name, allowed) != len ||
        strchr("._+@:-", name[0]))
        return false;
    for (size_t i = len; i < HV_SHM_NAME_SIZE; i++)
        if (name[i])
            return false;
    return true;
}

static const char *hello_check(const struct hv_shm_hello *hello, size_t length, unsigned fd_count)
{
    if (hello->header.type != HV_SHM_HELLO)
        return "first message is not HELLO";
    if (length < sizeof(*hello) || hello->regions > HV_SHM_REGIONS_MAX ||
        length != sizeof(*hello) + hello->regions * sizeof(struct hv_shm_region))
        return "HELLO has the wrong length";
    if (hello->version < 1)
        return "version 0 does not exist";
    if (!hello->vcpus || hello->vcpus > HV_SHM_VCPUS_MAX)
        return "number of vCPUs is not 1 to 128";
    if (!name_valid(hello->name))
        return "name is not 1 to 63 of A-Z a-z 0-9 . _ + @ : -";
    for (size_t i = 0; i < sizeof(hello->reserved) / sizeof(hello->reserved[0]); i++)
        if (hello->reserved[i])
            return "reserved field is not 0";
    if (!fd_count)
        return "no descriptor for the pages";
    return NULL;
}

size_t hv_shm_pages_size(uint32_t features)
{
    unsigned pages = HV_SHM_PAGES;

    if (features & HV_SHM_FEATURE_GRANTS)
        pages += HV_SHM_GRANT_PAGES;
    return (size_t)pages * IOREQ_PAGE;
}

int hv_shm_hello_parse(const void *message, size_t length, const int *fds, unsigned fd_count,
                       struct hv_shm_hello_info *ret_info, const char **ret_why)
{
    const struct hv_shm_hello *hello = message;
    const struct hv_shm_region *regions = (const void *)(hello + 1);
    struct hv_shm_hello_info info = {0};
    void *pages;
    int rc;

    *ret_why = hello_check(hello, length, fd_count);
    if (*ret_why)
        return -EINVAL;
    info.vcpus = hello->vcpus;
    info.features = hello->features & HV_SHM_FEATURES;
    if (!(info.features & HV_SHM_FEATURE_GRANTS))
        info.features &= ~HV_SHM_FEATURE_SWAP;
    info.mem.swaps = info.features & HV_SHM_FEATURE_SWAP;
    memcpy(info.name, hello->name, sizeof(info.name));
    rc = hv_shm_map(fds[0], 0, hv_shm_pages_size(info.features), true, &pages, ret_why);
    if (rc < 0)
        return rc;
    info.pages = pages;
    for (unsigned i = 0; i < hello->regions && rc == 0; i++) {
        if (regions[i].fd == 0 || regions[i].fd >= fd_count) {
            *ret_why = "region names a descriptor that did not come";
            rc = -EINVAL;
        } else {
            rc = hv_shm_mem_add(&info.mem, &regions[i], fds[regions[i].fd], ret_why);
        }
    }
    if (rc < 0) {
        hv_shm_hello_finish(&info);
        return rc;
    }
    *ret_info = info;
    return 0;
}

void hv_shm_hello_finish(struct hv_shm_hello_info *info)
{
    if (info->pages)
        munmap(info->pages, hv_shm_pages_size(info->features));
    hv_shm_mem_finish(&info->mem);
    *info = (struct hv_shm_hello_info){0};
}
