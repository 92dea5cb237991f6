/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xen_rig.h"

#include <stdlib.h>
#include <sys/mman.h>

unsigned rig_fail;
int rig_pages, rig_references, rig_mappings;
_Thread_local struct vcpu *current;
_Thread_local void (*rig_meanwhile)(void *ctx);
_Thread_local void *rig_meanwhile_ctx;
struct hvm_io_handler rig_handler;
bool rig_pci_config, rig_pages_are_bad;
struct page_info *rig_bad_page;
uint8_t *rig_given_page;

struct page_info *alloc_domheap_page(struct domain *d, unsigned flags)
{
    struct page_info *page;
    uint8_t *bytes;

    if (rig_fails())
        return NULL;
    page = calloc(1, sizeof(*page));
    if (rig_given_page) {
        page->bytes = rig_given_page;
        page->given = true;
    } else {
        bytes = mmap(NULL, 3 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (bytes == MAP_FAILED || mprotect(bytes + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE))
            abort();
        page->bytes = bytes + PAGE_SIZE;
    }
    memset(page->bytes, 0xcc, PAGE_SIZE);
    page->references = 1;
    rig_pages++;
    return page;
}

static void put_page(struct page_info *page)
{
    if (--page->references)
        return;
    if (!page->given)
        munmap(page->bytes - PAGE_SIZE, 3 * PAGE_SIZE);
    free(page);
    rig_pages--;
}

bool get_page_and_type(struct page_info *page, struct domain *d, unsigned type)
{
    if (rig_pages_are_bad) {
        rig_bad_page = page;
        return false;
    }
    page->references++;
    rig_references++;
    return true;
}

void put_page_alloc_ref(struct page_info *page)
{
    put_page(page);
}

void put_page_and_type(struct page_info *page)
{
    rig_references--;
    put_page(page);
}

void *__map_domain_page_global(struct page_info *page)
{
    if (rig_fails())
        return NULL;
    rig_mappings++;
    return page->bytes;
}

void unmap_domain_page_global(const void *at)
{
    rig_mappings--;
}

void clear_page(void *at)
{
    memset(at, 0, PAGE_SIZE);
}

mfn_t page_to_mfn(const struct page_info *page)
{
    return (mfn_t){page};
}

struct ioreq_server *ioreq_server_select(struct domain *d, ioreq_t *p)
{
    if (rig_pci_config && p->addr == 0xcfc)
        p->type = IOREQ_TYPE_PCI_CONFIG;
    for (int id = MAX_NR_IOREQ_SERVERS - 1; id >= 0; id--) {
        struct ioreq_server *s = d->ioreq_server.server[id];

        if (s && s->enabled && s->all_ports)
            return s;
        for (unsigned i = 0; s && s->enabled && i < RIG_PORTS; i++)
            if (s->ports[i] && p->addr >= s->ports[i] && p->addr + p->size <= s->ports[i] + 4u)
                return s;
    }
    return NULL;
}

struct hvm_io_handler *hvm_next_io_handler(struct domain *d)
{
    return &rig_handler;
}
