/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon's "isolation" does not let a guest have. */
#include <assert.h>
#include <stdlib.h>

#include "config/guest_config.h"

/* The key of a NIC that takes connections of the worker's own; NULL: none does. */
static const char *nic_that_connects(const struct nic_config *nic)
{
    if (nic->backend == NIC_USER)
        return "backend";
    return nic->backend == NIC_SOCKET && nic->mode == NIC_DGRAM && nic->peer[0] ? "peer" : NULL;
}

static const char needs_connections[] = "this takes connections of the worker's own, which "
                                        "\"isolation\": \"process\" does not let it make";

int guest_config_check_isolation(const struct guest_config *config, const char *where,
                                 int isolation, struct config_error *ret_error)
{
    struct config_reader reader = {.file = where, .error = ret_error};
    struct config_error unread;
    char *text = NULL;
    int error = 0;

    for (unsigned i = 0; isolation == ISOLATION_PROCESS && i < config->n_nics && !error; i++) {
        const char *key = nic_that_connects(&config->nic[i]);

        if (!key)
            continue;
        if (!config_read_file(where, &text, &reader.length, &unread))
            reader.text = text;
        error = config_enter_key(&reader, "nics");
        assert(!error);
        error = config_enter_index(&reader, i);
        assert(!error);
        if (!text) { /* no line to name: the path is all there is */
            error = config_enter_key(&reader, key);
            assert(!error);
        }
        error = text ? config_fail_at(&reader, key, "%s", needs_connections)
                     : config_fail(&reader, "%s", needs_connections);
        free(text);
    }
    return error;
}
