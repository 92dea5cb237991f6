/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the journal (tiny/journal.h) to a block device until that fails or is full, and says which
 * of it is safe.
 *
 *   journal DEVICE flush|trust LIFE
 *
 * The records of a batch are in flight together. flush: fdatasync(2) behind each batch, for which
 * the kernel has the disk flush its cache. trust: none, a write that is complete counts as safe.
 * Behind each batch a line "GUEST safe LIFE RECORD", at the end "GUEST ended LIFE WHY".
 */
#define _GNU_SOURCE /* O_DIRECT */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../tiny/journal.h"

static struct journal_sector buffer[JOURNAL_BATCH_MAX][JOURNAL_RECORD_MAX]
    __attribute__((aligned(4096)));

static bool all_written(aio_context_t aio, const struct iocb *control, long count)
{
    struct io_event event[JOURNAL_BATCH_MAX];
    bool good = true;

    if (syscall(SYS_io_getevents, aio, count, count, event, NULL) != count)
        return false;
    for (long i = 0; i < count; i++)
        good &= event[i].res == (int64_t)control[event[i].data].aio_nbytes;
    return good;
}

/* Returns how many sectors it is; 0: it failed. */
static uint64_t write_batch(aio_context_t aio, int fd, uint32_t first, uint32_t count, uint64_t lba)
{
    struct iocb control[JOURNAL_BATCH_MAX], *list[JOURNAL_BATCH_MAX];
    uint64_t written = 0;

    memset(control, 0, sizeof(control));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t sectors = journal_sectors(first + i);

        for (uint32_t j = 0; j < sectors; j++)
            journal_make(&buffer[i][j], first + i, j);
        control[i].aio_data = i;
        control[i].aio_lio_opcode = IOCB_CMD_PWRITE;
        control[i].aio_fildes = (uint32_t)fd;
        control[i].aio_buf = (uintptr_t)buffer[i];
        control[i].aio_nbytes = sectors * JOURNAL_SECTOR;
        control[i].aio_offset = (int64_t)((lba + written) * JOURNAL_SECTOR);
        list[i] = &control[i];
        written += sectors;
    }
    if (syscall(SYS_io_submit, aio, (long)count, list) != (long)count ||
        !all_written(aio, control, (long)count))
        return 0;
    return written;
}

int main(int argc, char **argv)
{
    bool flush = argc == 4 && !strcmp(argv[2], "flush");
    aio_context_t aio = 0;
    uint64_t lba = 0, bytes;
    const char *why = "full";
    int fd;

    if (argc != 4 || (!flush && strcmp(argv[2], "trust")))
        return 2;
    fd = open(argv[1], O_WRONLY | O_DIRECT);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) ||
        syscall(SYS_io_setup, JOURNAL_BATCH_MAX, &aio)) {
        perror(argv[1]);
        return 2;
    }
    for (uint32_t record = 1;
         (lba + JOURNAL_BATCH_MAX * JOURNAL_RECORD_MAX) * JOURNAL_SECTOR <= bytes;) {
        uint32_t batch = journal_batch(record);
        uint64_t written = write_batch(aio, fd, record, batch, lba);

        if (!written) {
            why = "write";
            break;
        }
        if (flush && fdatasync(fd)) {
            why = "flush";
            break;
        }
        lba += written;
        record += batch;
        printf("GUEST safe %s %u\n", argv[3], record - 1);
        fflush(stdout);
    }
    printf("GUEST ended %s %s\n", argv[3], why);
    return 0;
}
