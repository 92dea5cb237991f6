/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reading, merging and checking a guest's description share; nobody else includes it. */
#ifndef IOEMUD_CONFIG_GUEST_CONFIG_H
#define IOEMUD_CONFIG_GUEST_CONFIG_H

#include "config/tables.h"

/* A description without disks, NICs and serial ports; strings are "". */
int guest_config_defaults(struct guest_config *ret_config);

/* What no key alone can show. `complete`: nothing will be merged any more, so what is missing now
 * is missing for good. */
int guest_config_check_with(struct config_reader *reader, const struct guest_config *config,
                            bool complete);

/* config/nic_config.c: NICs. */
int nic_config_defaults(struct nic_config *nic); /* -ENOMEM: finish it all the same */
int nic_config_read_all(struct config_reader *reader, const json_t *value, void *into);
int nic_config_check(struct config_reader *reader, const struct nic_config *nic, bool complete);
json_t *nic_config_write(const struct nic_config *nic); /* NULL on ENOMEM */
int nic_config_copy(const struct nic_config *from, uint32_t given, struct nic_config *into);
void nic_config_drop_void(struct nic_config *nic);

#endif
