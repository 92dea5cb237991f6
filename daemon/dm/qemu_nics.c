/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emulated network cards: a -device names the model and its -netdev, which libxl gives after it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/dm/qemu_parse.h"

/* id=nic0 to nic7: the devid of the vif. */
static bool devid_of(const char *id, unsigned long *ret_devid)
{
    return id && !strncmp(id, "nic", 3) && qemu_number(id + 3, 0, PARSE_NICS - 1, ret_devid);
}

int parse_nic_device(struct parse *parse, const char *model, const struct qemu_opts *opts)
{
    const char *id = qemu_opts_get(opts, "id"), *mac = qemu_opts_get(opts, "mac");
    const char *netdev = qemu_opts_get(opts, "netdev");
    struct parse_nic *nic = &parse->nic[parse->n_nics];
    unsigned long devid;

    if (!devid_of(id, &devid))
        return parse_fail(parse, "-device %s: id=%s is not one of nic0 to nic%u", model,
                          id ? id : "", PARSE_NICS - 1);
    for (unsigned i = 0; i < parse->n_nics; i++)
        if (parse->nic[i].devid == devid)
            return parse_fail(parse, "-device %s: there are two with id=%s", model, id);
    if (!netdev)
        return parse_fail(parse, "-device %s: netdev= is missing", model);
    /* Each devid is there once, so there is room. */
    nic->devid = (unsigned)devid;
    nic->netdev = strdup(netdev);
    nic->nic = json_pack("{s:i, s:s}", "devid", (int)devid, "model", model);
    parse->n_nics++;
    if (!nic->netdev || !nic->nic ||
        (mac && json_object_set_new(nic->nic, "mac", json_string(mac))))
        return -ENOMEM;
    return 0;
}

static int set_text(json_t *object, const char *key, const char *text)
{
    return json_object_set_new(object, key, json_string(text)) ? -EINVAL : 0;
}

/* The bridge is the hotplug script's, which libxl runs. */
int parse_netdev_option(struct parse *parse, const char *option, const char *value)
{
    static const char *const known[] = {"type",   "id",         "ifname", "br",
                                        "script", "downscript", "vhost",  NULL};
    struct parse_netdev *netdev = &parse->netdev[parse->n_netdevs];
    struct qemu_opts opts;
    const char *type, *id, *ifname;
    int err = parse_list(parse, option, value, "type", known, &opts);

    if (err)
        return err;
    type = qemu_opts_get(&opts, "type");
    id = qemu_opts_get(&opts, "id");
    ifname = qemu_opts_get(&opts, "ifname");
    if (!id || !type) {
        err = parse_fail(parse, "-netdev: \"%s\" has no type= or no id=", value);
    } else if (parse->n_netdevs == PARSE_NETDEVS) {
        err = parse_fail(parse, "-netdev: there are more than %u", PARSE_NETDEVS);
    } else if (strcmp(type, "tap") != 0 && strcmp(type, "user") != 0) {
        err = parse_fail(parse, "-netdev: type=%s is not known; tap and user are", type);
    } else {
        parse->n_netdevs++;
        netdev->id = strdup(id);
        netdev->options = json_pack("{s:s}", "backend", type);
        if (!netdev->id || !netdev->options)
            err = -ENOMEM;
        else if (ifname && !strcmp(type, "tap") && set_text(netdev->options, "ifname", ifname))
            err = parse_fail(parse, "-netdev: ifname= is not UTF-8");
    }
    qemu_opts_finish(&opts);
    return err;
}

int parse_nics_end(struct parse *parse)
{
    json_t *nics = json_array();
    int err = nics ? 0 : -ENOMEM;

    for (unsigned i = 0; i < parse->n_nics && !err; i++) {
        struct parse_nic *nic = &parse->nic[i];
        struct parse_netdev *netdev = NULL;

        for (unsigned j = 0; j < parse->n_netdevs; j++)
            if (!strcmp(parse->netdev[j].id, nic->netdev))
                netdev = &parse->netdev[j];
        if (!netdev)
            err = parse_fail(parse, "-device: there is no -netdev %s for nic%u", nic->netdev,
                             nic->devid);
        else if (json_object_update(nic->nic, netdev->options) || json_array_append(nics, nic->nic))
            err = -ENOMEM;
    }
    if (!err && json_array_size(nics) > 0 && json_object_set(parse->args.config, "nics", nics))
        err = -ENOMEM;
    json_decref(nics);
    return err;
}

void parse_nics_finish(struct parse *parse)
{
    for (unsigned i = 0; i < parse->n_nics; i++) {
        free(parse->nic[i].netdev);
        json_decref(parse->nic[i].nic);
    }
    for (unsigned i = 0; i < parse->n_netdevs; i++) {
        free(parse->netdev[i].id);
        json_decref(parse->netdev[i].options);
    }
}
