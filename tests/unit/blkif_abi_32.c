// SPDX-License-Identifier: GPL-2.0-or-later
/* Xen's header as a frontend compiled for 32 bits sees it: 64-bit members are aligned to 4. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <xenctrl.h>

#pragma pack(push, 4)
#include <xen/io/blkif.h>
#pragma pack(pop)

#include "tests/unit/blkif_abi_same.h"

struct blkif_layout blkif_layout_32(void);
struct blkif_layout blkif_layout_32(void)
{
    const struct blkif_layout layout = BLKIF_LAYOUT_32;

    check_layout(&layout);
    return layout;
}
