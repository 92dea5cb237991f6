/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guests of cut.sh say on stdout: up to which record they have been told that all is
 * safe, a line each. */
#ifndef IOEMUD_TESTS_DURABILITY_TOLD_H
#define IOEMUD_TESTS_DURABILITY_TOLD_H

#include <stdint.h>

/* Written at once: what was said is not lost with us. Ends the program with 3 if it cannot be. */
void told(uint32_t record);

#endif
