/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As much of a hypervisor as ioreq/hypervisor/xen/arch/x86/hvm/bufpio.c calls, in a process: pages
 * with nothing mapped before and behind them, vCPUs that are threads, domains with servers that own
 * lists of ports. Only what is called, with its meaning; see tests/unit/test_bufpio_xen.c.
 */
#ifndef IOEMU_TESTS_UNIT_XEN_RIG_H
#define IOEMU_TESTS_UNIT_XEN_RIG_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ioreq/abi.h"
#include "ioreq/bufpio_abi.h"

/* Compiler and memory. */
#define CONFIG_HVM_BUFPIO       1
#define cf_check                __attribute__((noinline))
#define ASSERT                  assert
#define BUILD_BUG_ON(condition) _Static_assert(!(condition), #condition)
#define ARRAY_SIZE(array)       (sizeof(array) / sizeof((array)[0]))
#define PAGE_SIZE               4096
#define read_atomic(at)         (rig_moment(), __atomic_load_n(at, __ATOMIC_RELAXED))
#define write_atomic(at, value) (rig_moment(), __atomic_store_n(at, value, __ATOMIC_RELAXED))
#define smp_mb()                __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()               __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()               __atomic_thread_fence(__ATOMIC_RELEASE)

/* Before each of the file's accesses to the page: what another party does just then. */
extern _Thread_local void (*rig_meanwhile)(void *ctx);
extern _Thread_local void *rig_meanwhile_ctx;

static inline void rig_moment(void)
{
    if (rig_meanwhile)
        rig_meanwhile(rig_meanwhile_ctx);
}

static inline uint64_t cmpxchg(uint64_t *at, uint64_t old, uint64_t new)
{
    rig_moment();
    __atomic_compare_exchange_n(at, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return old;
}

static inline unsigned array_index_nospec(unsigned index, unsigned size)
{
    assert(index < size);
    rig_moment(); /* the copy comes next */
    return index;
}

typedef pthread_mutex_t spinlock_t;
#define spin_lock_init(lock) pthread_mutex_init(lock, NULL)
#define spin_lock            pthread_mutex_lock
#define spin_unlock          pthread_mutex_unlock

struct page_info;

/* Allocations: the one that rig_fail counts down to fails. Balances must be 0 at the end. */
extern unsigned rig_fail;
extern int rig_pages, rig_references, rig_mappings;
/* Pages whose state Xen cannot trust, and the last of them; the page to give out in place of a new
 * one. */
extern bool rig_pages_are_bad;
extern struct page_info *rig_bad_page;
extern uint8_t *rig_given_page;

static inline bool rig_fails(void)
{
    return rig_fail && --rig_fail == 0;
}

#define xzalloc(type) (rig_fails() ? NULL : (type *)calloc(1, sizeof(type)))
#define xfree         free

/* Pages. */
typedef struct {
    const void *page;
} mfn_t;

struct page_info {
    uint8_t *bytes; /* between two pages that nobody may touch */
    int references;
    bool given; /* rig_given_page */
};

#define MEMF_no_refcount  1u
#define PGT_writable_page 1u

struct domain;
struct page_info *alloc_domheap_page(struct domain *d, unsigned flags);
bool get_page_and_type(struct page_info *page, struct domain *d, unsigned type);
void put_page_alloc_ref(struct page_info *page);
void put_page_and_type(struct page_info *page);
void *__map_domain_page_global(struct page_info *page);
void unmap_domain_page_global(const void *at);
void clear_page(void *at);
mfn_t page_to_mfn(const struct page_info *page);

/* Domains, vCPUs, servers. */
#define MAX_NR_IOREQ_SERVERS 8
#define RIG_PORTS            4

struct bufpio;
struct ioreq_server {
    struct domain *target, *emulator;
    bool enabled;
    struct bufpio *bufpio;
    uint16_t ports[RIG_PORTS]; /* four bytes each, 0: none */
    bool all_ports;
};

struct domain {
    struct {
        struct ioreq_server *server[MAX_NR_IOREQ_SERVERS];
    } ioreq_server;
    bool crashed;
    struct hvm_io_handler *handler;
};

struct vcpu {
    struct domain *domain;
};

extern _Thread_local struct vcpu *current;

static inline void domain_crash(struct domain *d)
{
    d->crashed = true;
}

/* Requests. */
#define IOREQ_TYPE_PIO        0
#define IOREQ_TYPE_PCI_CONFIG 2
#define IOREQ_WRITE           0
#undef IOREQ_READ
#define IOREQ_READ 1

typedef struct {
    uint64_t addr;
    uint32_t count, size;
    uint8_t data_is_ptr, dir, type;
} ioreq_t;

extern bool rig_pci_config; /* port 0xcfc is a PCI function's configuration */
struct ioreq_server *ioreq_server_select(struct domain *d, ioreq_t *p);

enum {
    X86EMUL_OKAY,
    X86EMUL_UNHANDLEABLE,
};

struct hvm_io_handler;
struct hvm_io_ops {
    bool (*accept)(const struct hvm_io_handler *handler, const ioreq_t *p);
    int (*read)(const struct hvm_io_handler *handler, uint64_t addr, uint32_t size, uint64_t *data);
    int (*write)(const struct hvm_io_handler *handler, uint64_t addr, uint32_t size, uint64_t data);
};

struct hvm_io_handler {
    const struct hvm_io_ops *ops;
    uint8_t type;
};

/* The one that is registered. */
extern struct hvm_io_handler rig_handler;
struct hvm_io_handler *hvm_next_io_handler(struct domain *d);

#endif
