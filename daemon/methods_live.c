/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods that change how the daemon runs: docs/rpc.md. */
#include <string.h>

#include "daemon/guest.h"
#include "daemon/guest_live.h"
#include "daemon/methods.h"
#include "daemon/reload.h"

/* {} */
void method_reload(void *ctx, struct rpc_call *call, const json_t *params)
{
    reload_begin(ctx, call);
}

static json_t *levels(struct daemon *daemon)
{
    json_t *guests = json_array();

    for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (guest->log.level != LOG_AS_BASE)
            json_array_append_new(guests, json_pack("{s:s, s:i, s:s}", "name", guest->name, "domid",
                                                    (int)guest->domid, "level",
                                                    log_level_name(guest->log.level)));
    return json_pack("{s:s, s:o}", "level", log_level_name(log_level(&daemon->log)), "guests",
                     guests);
}

/* {level?, name?, domid?}: without a level nothing changes. */
void method_log_level(void *ctx, struct rpc_call *call, const json_t *params)
{
    struct daemon *daemon = ctx;
    const json_t *given = json_object_get(params, "level");
    const char *name = json_string_value(given);
    struct guest *guest = NULL;
    int level = name ? log_level_parse(name) : -1;

    if (given && level < 0 && !(name && !strcmp(name, "default"))) {
        rpc_fail(call, RPC_INVALID_PARAMS,
                 "\"level\" is none: emerg, alert, crit, err, warning, notice, info, debug, or for "
                 "a guest default");
        return;
    }
    if (json_object_get(params, "name")) {
        guest = method_guest(daemon, call, params, "name");
        if (!guest)
            return;
    }
    if (given && !guest && level < 0)
        level = daemon->config.log_level;
    if (given)
        log_set_level(guest ? &guest->log : &daemon->log, level);
    if (given)
        guest_tune_workers(daemon);
    if (given)
        log_write(&daemon->log, LOG_NOTICE, guest ? guest->config.name : NULL,
                  "event=log-level level=%s", log_level_name(level));
    rpc_reply(call, levels(daemon));
}
