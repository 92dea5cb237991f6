/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * eject [-t]: opens the tray of /dev/sr0, or closes it. Debian's busybox has none. Without a C
 * library, as guests/linux/init.c.
 */
#include <asm/unistd.h>
#include <linux/cdrom.h>
#include <linux/fcntl.h>

int run(const long *stack);

static long call(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

/* `stack`: argc, argv. */
int run(const long *stack)
{
    long fd = call(__NR_open, (long)"/dev/sr0", O_RDONLY | O_NONBLOCK, 0);
    long error = call(__NR_ioctl, fd, stack[0] > 1 ? CDROMCLOSETRAY : CDROMEJECT, 0);

    return fd < 0 || error < 0;
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call run\n"
        " mov %eax, %edi\n mov $60, %eax\n syscall\n");
