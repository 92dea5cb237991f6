/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/backend/capture.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAGIC_NANOSECONDS 0xa1b23c4du
#define VERSION_MAJOR     2
#define VERSION_MINOR     4
#define SNAPLEN           262144u
#define LINKTYPE_ETHERNET 1

#define BUFFER_BYTES (128u * 1024) /* more than one packet, whatever its size */

struct file_header {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t reserved[2];
    uint32_t snaplen, linktype;
};

struct record_header {
    uint32_t seconds, nanoseconds;
    uint32_t captured, original; /* bytes */
};

struct capture {
    int fd;
    const struct loop *loop;
    struct loop_task task;
    struct capture_counters counters;
    uint64_t left; /* bytes until the limit */
    bool failed;
    uint32_t used;
    uint8_t buffer[BUFFER_BYTES];
};

/* -errno, after which the file ends wherever it does. */
static int write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, data, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        data += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static void flush(void *arg)
{
    struct capture *capture = arg;

    if (capture->used && !capture->failed)
        capture->failed = write_all(capture->fd, capture->buffer, capture->used);
    capture->used = 0;
}

int capture_open(int fd, uint64_t limit, const struct loop *loop, struct capture **ret_capture)
{
    const struct file_header header = {
        .magic = MAGIC_NANOSECONDS,
        .major = VERSION_MAJOR,
        .minor = VERSION_MINOR,
        .snaplen = SNAPLEN,
        .linktype = LINKTYPE_ETHERNET,
    };
    struct capture *capture;
    int err = write_all(fd, (const uint8_t *)&header, sizeof(header));

    if (err)
        return err;
    capture = calloc(1, sizeof(*capture));
    if (!capture)
        return -ENOMEM;
    capture->fd = fd;
    capture->loop = loop;
    capture->task = (struct loop_task){.run = flush, .arg = capture};
    capture->left = limit > sizeof(header) ? limit - sizeof(header) : 0;
    *ret_capture = capture;
    return 0;
}

void capture_packet(struct capture *capture, const struct iovec *iov, unsigned n_iov,
                    uint32_t bytes)
{
    struct record_header header = {.captured = bytes, .original = bytes};
    uint32_t size = (uint32_t)sizeof(header) + bytes;
    struct timespec now;

    if (capture->failed || size > BUFFER_BYTES || size > capture->left) {
        capture->counters.dropped++;
        capture->left = size > capture->left ? 0 : capture->left; /* no gaps: it ends here */
        return;
    }
    if (size > BUFFER_BYTES - capture->used)
        flush(capture);
    clock_gettime(CLOCK_REALTIME, &now);
    header.seconds = (uint32_t)now.tv_sec;
    header.nanoseconds = (uint32_t)now.tv_nsec;
    memcpy(capture->buffer + capture->used, &header, sizeof(header));
    capture->used += (uint32_t)sizeof(header);
    for (unsigned i = 0; i < n_iov; i++) {
        memcpy(capture->buffer + capture->used, iov[i].iov_base, iov[i].iov_len);
        capture->used += (uint32_t)iov[i].iov_len;
    }
    capture->left -= size;
    capture->counters.packets++;
    capture->counters.bytes += bytes;
    capture->loop->ops->defer(capture->loop->ctx, &capture->task);
}

const struct capture_counters *capture_counters(const struct capture *capture)
{
    return &capture->counters;
}

void capture_close(struct capture *capture)
{
    if (!capture)
        return;
    capture->loop->ops->undefer(capture->loop->ctx, &capture->task);
    flush(capture);
    close(capture->fd);
    free(capture);
}
