/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The initramfs' init of the Linux test guest: loads the modules that /modules lists, waits for the
 * root partition, mounts it and goes on with its /sbin/init. Without a C library, since each
 * sector of the initramfs is read by programmed I/O through the device model under test.
 */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <stddef.h>

#define WAIT_MS 20000

void start(void);

static long call(long number, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

static void say(const char *text)
{
    long n = 0;

    while (text[n])
        n++;
    call(__NR_write, 2, (long)text, n, 0, 0);
}

static long mount(const char *from, const char *to, const char *type, long flags)
{
    return call(__NR_mount, (long)from, (long)to, (long)type, flags, 0);
}

/* As modprobe does: the words MODULE.PARAMETER of the kernel's command line, for the module in the
 * file /MODULE.ko. */
static const char *parameters(const char *file)
{
    static char line[2048], found[2048];
    long fd = call(__NR_open, (long)"/proc/cmdline", O_RDONLY, 0, 0, 0);
    long n = call(__NR_read, fd, (long)line, sizeof(line) - 1, 0, 0), used = 0;

    call(__NR_close, fd, 0, 0, 0, 0);
    for (long i = 0; i < n; i++) {
        long at = 0;
        if (i && line[i - 1] != ' ')
            continue;
        while (file[1 + at] && file[1 + at] != '.' && file[1 + at] == line[i + at])
            at++;
        if (!at || file[1 + at] != '.' || line[i + at] != '.')
            continue;
        for (i += at + 1; i < n && line[i] != ' ' && line[i] != '\n'; i++)
            found[used++] = line[i];
        found[used++] = ' ';
    }
    found[used] = 0;
    return found;
}

static void load_modules(void)
{
    static char names[4096];
    long fd = call(__NR_open, (long)"/modules", O_RDONLY, 0, 0, 0);
    long n = call(__NR_read, fd, (long)names, sizeof(names) - 1, 0, 0);
    char *begin = names;

    for (long i = 0; i < n; i++) {
        if (names[i] != '\n')
            continue;
        names[i] = 0;
        fd = call(__NR_open, (long)begin, O_RDONLY, 0, 0, 0);
        if (call(__NR_finit_module, fd, (long)parameters(begin), 0, 0, 0)) {
            say(begin);
            say(": module not loaded\n");
        }
        call(__NR_close, fd, 0, 0, 0, 0);
        begin = names + i + 1;
    }
}

/* Disks are found side by side, so that any may be the first; PV disks have their places. */
static long mount_root(void)
{
    static char root[] = "/dev/sda2";

    for (root[7] = 'a'; root[7] <= 'd'; root[7]++) {
        if (!mount(root, "/new", "ext4", MS_NOATIME))
            return 0;
    }
    return mount("/dev/xvda2", "/new", "ext4", MS_NOATIME);
}

void start(void)
{
    static const char *const argv[] = {"/sbin/init", NULL};
    static const char *const envp[] = {"PATH=/bin:/sbin", "HOME=/", NULL};
    static const long tick[2] = {0, 20000000};

    mount("dev", "/dev", "devtmpfs", 0);
    mount("proc", "/proc", "proc", 0);
    load_modules();
    for (int ms = 0; mount_root() && ms < WAIT_MS; ms += 20)
        call(__NR_nanosleep, (long)tick, 0, 0, 0, 0);
    mount("/dev", "/new/dev", NULL, MS_MOVE);
    call(__NR_chdir, (long)"/new", 0, 0, 0, 0);
    mount(".", "/", NULL, MS_MOVE);
    call(__NR_chroot, (long)".", 0, 0, 0, 0);
    call(__NR_execve, (long)argv[0], (long)argv, (long)envp, 0, 0);
    say("GUEST no root\n");
    call(__NR_exit, 1, 0, 0, 0, 0);
}

/* The kernel aligns the stack for a process, not for a function. */
__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call start\n");
