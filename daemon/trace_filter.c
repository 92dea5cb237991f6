/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/trace.h"

#define TYPE(type) (1u << (type))
#define ALL_TYPES  (~0u)

/* "0x1f0", "496", "0x1f0-0x1f7". */
static bool parse_range(const char *text, uint64_t *ret_first, uint64_t *ret_last)
{
    char *end;

    errno = 0;
    *ret_first = *ret_last = strtoull(text, &end, 0);
    if (errno || end == text || *text == '-')
        return false;
    if (*end == '-') {
        text = end + 1;
        *ret_last = strtoull(text, &end, 0);
        if (errno || end == text || *text == '-')
            return false;
    }
    return !*end && *ret_first <= *ret_last;
}

static bool parse_type(const char *text, struct trace_filter *filter)
{
    static const struct {
        const char *name;
        unsigned types;
    } names[] = {
        {"pio", TYPE(IOREQ_PIO)},
        {"mmio", TYPE(IOREQ_COPY)},
        {"config", TYPE(IOREQ_PCI_CONFIG)},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, text) != 0)
            continue;
        filter->types &= names[i].types;
        return true;
    }
    return false;
}

static bool parse_term(const char *key, const char *value, struct trace_filter *filter)
{
    uint64_t number, last;

    if (!strcmp(key, "port") || !strcmp(key, "addr")) {
        filter->types &= TYPE(*key == 'p' ? IOREQ_PIO : IOREQ_COPY);
        return parse_range(value, &filter->first, &filter->last);
    }
    if (!strcmp(key, "type"))
        return parse_type(value, filter);
    if (!strcmp(key, "dir")) {
        filter->reads = !strcmp(value, "read");
        filter->writes = !strcmp(value, "write");
        return filter->reads || filter->writes;
    }
    if (!strcmp(key, "vcpu")) {
        if (!parse_range(value, &number, &last) || number != last || number >= HV_MAX_VCPUS)
            return false;
        filter->vcpu = (uint32_t)number;
        return true;
    }
    if (strcmp(key, "device") != 0 || !*value || strlen(value) > TRACE_NAME_MAX)
        return false;
    snprintf(filter->device, sizeof(filter->device), "%s", value);
    return true;
}

bool trace_filter_parse(const char *text, struct trace_filter *ret_filter, char *ret_why)
{
    struct trace_filter filter = {
        .last = UINT64_MAX, .vcpu = UINT32_MAX, .types = ALL_TYPES, .reads = true, .writes = true};
    char terms[256], *rest = terms, *term;

    if (!text)
        text = "";
    if (strlen(text) >= sizeof(terms)) {
        snprintf(ret_why, TRACE_WHY_SIZE, "the filter is longer than %zu bytes", sizeof(terms) - 1);
        return false;
    }
    snprintf(terms, sizeof(terms), "%s", text);
    while (*text && (term = strsep(&rest, ","))) {
        char *value = strchr(term, '=');

        if (value)
            *value++ = '\0';
        if (value && parse_term(term, value, &filter))
            continue;
        snprintf(ret_why, TRACE_WHY_SIZE,
                 "no filter: \"%.32s%s%.32s\"; port=A[-B], addr=A[-B], type=pio|mmio|config, "
                 "dir=read|write, device=NAME or vcpu=N",
                 term, value ? "=" : "", value ? value : "");
        return false;
    }
    *ret_filter = filter;
    return true;
}

bool trace_filter_wants(const struct trace_filter *filter, const struct trace_entry *entry)
{
    const struct dispatch_request *request = &entry->request;

    return request->type < 32 && filter->types & TYPE(request->type) &&
           request->addr >= filter->first && request->addr <= filter->last &&
           (request->read ? filter->reads : filter->writes) &&
           (filter->vcpu == UINT32_MAX || filter->vcpu == request->vcpu) &&
           (!filter->device[0] || !strcmp(filter->device, entry->device));
}
