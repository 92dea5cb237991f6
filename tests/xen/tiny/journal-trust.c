/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal without flushes: what it calls safe is not, which the test of it is to find. */
#define JOURNAL_FLUSHES false
#include "journal.c"
