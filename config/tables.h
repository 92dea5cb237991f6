/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every table of keys that there is, for what is made or checked by them: merging, writing, and the
 * test that holds the JSON Schemas (config/schema/) against them. Nobody else includes it. */
#ifndef IOEMUD_CONFIG_TABLES_H
#define IOEMUD_CONFIG_TABLES_H

#include "config/reader.h"

extern const struct config_table daemon_config_table;
extern const struct config_table guest_config_table;
extern const struct config_table disk_config_table;
extern const struct config_table fault_config_table;
extern const struct config_table serial_config_table;
extern const struct config_table nic_config_table;
extern const struct config_table forward_config_table;

#endif
