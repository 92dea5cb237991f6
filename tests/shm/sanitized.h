/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SANITIZED: true in a build with the address sanitizer, whose memory is not what it would be. */
#ifndef IOEMUD_TESTS_SHM_SANITIZED_H
#define IOEMUD_TESTS_SHM_SANITIZED_H

#include <stdbool.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#endif
