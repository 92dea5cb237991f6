/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times reads of the sector-count register alone; whichever server has the port answers. */
#include "tiny.h"

void tiny_main(void)
{
    struct ide ide, other;
    uint32_t n = 3000;
    uint64_t begin;

    if (!ide_setup(&ide, &other)) {
        check("ide/there", false, "00:01.1 is %08x", pci_read32(9, 0));
        finish();
    }
    delay_us(200000); /* what creating the domain started shall be over */

    inb(0x1f2);
    begin = rdtsc();
    for (uint32_t i = 0; i < n; i++)
        inb(0x1f2);
    bench("register-read", n, n, rdtsc() - begin);
    finish();
}
