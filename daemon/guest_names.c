/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guests are called, and which of them is meant by that. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/guest.h"

struct guest *guest_by_hv(struct daemon *daemon, const struct hv_guest *hv_guest)
{
    for (struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (!guest_leaves(guest) && guest->hv_guest == hv_guest)
            return guest;
    return NULL;
}

struct guest *guest_of_peer(struct daemon *daemon, const char *name)
{
    for (struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (!guest_leaves(guest) && guest->config.hypervisor == GUEST_SHM &&
            !strcmp(guest->config.name, name))
            return guest;
    return NULL;
}

bool guest_is_attached(const struct daemon *daemon, const struct guest_config *config,
                       uint32_t domid)
{
    for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (!guest_leaves(guest) && guest->domid == domid &&
            guest->config.hypervisor == config->hypervisor &&
            !strcmp(guest->config.name, config->name))
            return true;
    return false;
}

struct guest *guest_attached_by_itself(struct daemon *daemon, const struct guest_config *config,
                                       uint32_t domid)
{
    for (struct guest *guest = daemon->guests; guest; guest = guest->next)
        if (!guest_leaves(guest) && guest->by_itself && guest->domid == domid &&
            !strcmp(guest->config.name, config->name))
            return guest;
    return NULL;
}

/* 0, -ESRCH: the domain is gone, or -ENOENT: there is none that one could ask about. */
static int domain_of(const struct guest *guest, struct hv_domain *ret_domain)
{
    if (!guest->hv_guest || !guest->hv->guest_domain)
        return -ENOENT;
    return guest->hv->guest_domain(guest->hv_guest, ret_domain);
}

void guest_make_way(struct daemon *daemon, const char *name)
{
    struct guest *guest, *next;
    struct hv_domain domain;

    for (guest = daemon->guests; guest; guest = next) {
        int err;

        next = guest->next; /* detaching frees no other */
        if (guest_leaves(guest) || strcmp(guest->config.name, name))
            continue;
        err = domain_of(guest, &domain);
        if (err != -ESRCH && (err || !domain.over))
            continue;
        guest_log(guest, LOG_NOTICE, "event=succeeded domid=%u why=\"%s\"", guest->domid,
                  "its domain has shut down, and another of this name is here");
        guest_detach(guest, NULL, NULL);
    }
}

void guest_follow_name(struct guest *guest)
{
    struct hv_domain domain;

    guest->named_as_domain = !domain_of(guest, &domain) && !strcmp(domain.name, guest->config.name);
}

void guest_names_refresh(struct daemon *daemon)
{
    struct hv_domain domain;

    for (struct guest *guest = daemon->guests; guest; guest = guest->next) {
        if (!guest->named_as_domain || domain_of(guest, &domain) ||
            !strcmp(domain.name, guest->name))
            continue;
        snprintf(guest->name, sizeof(guest->name), "%s", domain.name);
        guest_log(guest, LOG_INFO, "event=renamed domid=%u to=\"%s\"", guest->domid, guest->name);
    }
}

/* A whole number as xl prints it; 0: it is none. */
static uint32_t domid_of(const char *text)
{
    uint32_t domid = 0;
    char back[16];

    if (sscanf(text, "%9u", &domid) != 1)
        return 0;
    snprintf(back, sizeof(back), "%u", domid);
    return strcmp(back, text) ? 0 : domid;
}

/* Of those that are called `name` or, where it is NULL, whatever they are called. */
static struct guest *find(struct daemon *daemon, const char *name, uint32_t domid,
                          unsigned *ret_count)
{
    struct guest *found = NULL;

    *ret_count = 0;
    for (struct guest *guest = daemon->guests; guest; guest = guest->next) {
        if (guest_leaves(guest) || (name && strcmp(guest->name, name)) ||
            (domid && guest->domid != domid))
            continue;
        found = guest;
        ++*ret_count;
    }
    return found;
}

struct guest *guest_find(struct daemon *daemon, const char *name, uint32_t domid, char *ret_why)
{
    uint32_t number = domid_of(name);
    struct guest *found;
    unsigned count;

    guest_names_refresh(daemon);
    found = find(daemon, name, domid, &count);
    if (!found && number && (!domid || domid == number))
        found = find(daemon, NULL, number, &count);
    if (count == 1)
        return found;
    if (!found)
        snprintf(ret_why, GUEST_WHY_SIZE, "no guest %.64s is attached", name);
    else if (strcmp(found->name, name))
        snprintf(ret_why, GUEST_WHY_SIZE,
                 "domain %u has %u device models here: say which by its name, as in %s", number,
                 count, found->name);
    else
        snprintf(ret_why, GUEST_WHY_SIZE,
                 "%u guests are called %.64s: say which by its domain's number, as in %u", count,
                 name, found->domid);
    return NULL;
}
