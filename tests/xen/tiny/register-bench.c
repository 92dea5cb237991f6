/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times reads of port 0x1f2 alone; needs a server for that port and nothing else. */
#include "tiny.h"

void tiny_main(void)
{
    uint32_t n = 2000;
    uint64_t begin;

    inb(0x1f2);
    begin = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        inb(0x1f2);
    bench("register-read", n, n, rdtsc() - begin);
    finish();
}
