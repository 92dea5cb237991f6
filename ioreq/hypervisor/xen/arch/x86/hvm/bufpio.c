/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffered PIO: single reads and writes of a device's data port, answered out
 * of a page that is shared with the ioreq server which would otherwise get a
 * request for each of them. public/hvm/bufpio.h has the layout, the rules and
 * the reasons for the order of accesses here; it is not repeated.
 *
 * Lifetime. A page belongs to an ioreq server, like its ioreq page: made under
 * the domain's ioreq server lock when the emulator first asks for it, dropped
 * in ioreq_server_deinit(), when the server is disabled and the domain paused
 * or dying. No vCPU is in here then, so neither the server nor its page needs
 * a lock or a reference on the path of an access; ioreq_server_select() has
 * always relied on the same. The emulator's mappings hold references on the
 * page itself and can outlive the server.
 *
 * Locking. An entry has a lock against the guest's other vCPUs. It nests in
 * nothing and nothing nests in it. The emulator is no party to it: against the
 * emulator there is only the exchange of the entry's word. So nothing the
 * emulator does can make a vCPU wait or loop here.
 *
 * Trust. The emulator may write any value to the page at any moment. Each
 * field is read once; positions are computed in 64 bits from those copies;
 * what the vCPUs of this domain agree on (the lock, the counter) is kept
 * outside the page.
 */
#include <xen/bufpio.h>
#include <xen/domain_page.h>
#include <xen/ioreq.h>
#include <xen/mm.h>
#include <xen/nospec.h>
#include <xen/sched.h>
#include <xen/spinlock.h>
#include <xen/xmalloc.h>

#include <asm/atomic.h>
#include <asm/hvm/emulate.h>
#include <asm/hvm/io.h>

struct bufpio {
    struct page_info *page;
    struct bufpio_entry *entry; /* the whole page, mapped for good */
    struct {
        spinlock_t lock;
        uint32_t activity; /* under the lock; without BUFPIO_INSIDE */
    } own[BUFPIO_ENTRIES_MAX];
};

/* An entry, of a server that may be asked. */
struct bufpio_place {
    struct bufpio *bufpio;
    unsigned int index;
};

static void bufpio_destroy(struct bufpio *b)
{
    if ( b->entry )
        unmap_domain_page_global(b->entry);

    if ( b->page )
    {
        put_page_alloc_ref(b->page);
        put_page_and_type(b->page);
    }

    xfree(b);
}

static int bufpio_create(struct ioreq_server *s, struct bufpio **ret)
{
    struct bufpio *b = xzalloc(struct bufpio);
    struct page_info *page;
    unsigned int i;

    if ( !b )
        return -ENOMEM;

    for ( i = 0; i < ARRAY_SIZE(b->own); i++ )
        spin_lock_init(&b->own[i].lock);

    page = alloc_domheap_page(s->target, MEMF_no_refcount);
    if ( page && !get_page_and_type(page, s->target, PGT_writable_page) )
    {
        /* Nobody else has seen this page: its state cannot be trusted. */
        domain_crash(s->emulator);
        bufpio_destroy(b);
        return -ENODATA;
    }

    b->page = page;
    if ( page )
        b->entry = __map_domain_page_global(page);

    if ( !b->entry )
    {
        bufpio_destroy(b);
        return -ENOMEM;
    }

    clear_page(b->entry);
    *ret = b;
    return 0;
}

int bufpio_get_frame(struct ioreq_server *s, mfn_t *mfn)
{
    struct bufpio *b = s->bufpio;
    int rc;

    BUILD_BUG_ON(BUFPIO_PAGE != PAGE_SIZE);

    if ( !b )
    {
        rc = bufpio_create(s, &b);
        if ( rc )
            return rc;

        /* A vCPU that sees the pointer sees a page: pairs with bufpio_find(). */
        smp_wmb();
        write_atomic(&s->bufpio, b);
    }

    *mfn = page_to_mfn(b->page);
    return 0;
}

void bufpio_free(struct ioreq_server *s)
{
    struct bufpio *b = s->bufpio;

    ASSERT(!s->enabled);

    s->bufpio = NULL;
    if ( b )
        bufpio_destroy(b);
}

bool bufpio_has_page(const struct ioreq_server *s,
                     const struct page_info *page)
{
    return s->bufpio && s->bufpio->page == page;
}

static unsigned int bufpio_count(const struct bufpio *b)
{
    return bufpio_entries(read_atomic(&b->entry[0].port));
}

/* The entry for that port, or BUFPIO_ENTRIES_MAX. */
static unsigned int bufpio_lookup(const struct bufpio *b, unsigned int port)
{
    unsigned int i, count;

    switch ( port )
    {
    case BUFPIO_PORT_PRIMARY:
        return BUFPIO_PRIMARY;

    case BUFPIO_PORT_SECONDARY:
        return BUFPIO_SECONDARY;

    case 0: /* In an entry: none. */
        return BUFPIO_ENTRIES_MAX;
    }

    count = bufpio_count(b);
    for ( i = BUFPIO_ENTRIES_MIN; i < count; i++ )
        if ( read_atomic(&b->entry[i].port) == port )
            return i;

    return BUFPIO_ENTRIES_MAX;
}

/* Whether a request for this access would go to that server, as it is. */
static bool bufpio_is_selected(struct domain *d, const struct ioreq_server *s,
                               unsigned int port, unsigned int size, bool read)
{
    ioreq_t p = {
        .type = IOREQ_TYPE_PIO,
        .addr = port,
        .size = size,
        .count = 1,
        .dir = read ? IOREQ_READ : IOREQ_WRITE,
    };

    /* It may have become an access to a PCI function's configuration. */
    return ioreq_server_select(d, &p) == s && p.type == IOREQ_TYPE_PIO;
}

/*
 * The armed entry for an access of the current vCPU. Entries are looked at
 * first and the servers' ranges, which takes a lock and walks a list, only if
 * one is armed: an access that is nobody's data port costs a few loads.
 */
static bool bufpio_find(unsigned int port, unsigned int size, bool read,
                        struct bufpio_place *place)
{
    struct domain *d = current->domain;
    unsigned int id = MAX_NR_IOREQ_SERVERS;

    if ( size != 2 && size != 4 )
        return false;

    while ( id-- )
    {
        const struct ioreq_server *s = d->ioreq_server.server[id];
        struct bufpio *b;
        unsigned int i;

        if ( !s || !s->enabled || !(b = read_atomic(&s->bufpio)) )
            continue;

        smp_rmb(); /* Pairs with bufpio_get_frame(). */

        i = bufpio_lookup(b, port);
        if ( i == BUFPIO_ENTRIES_MAX || !read_atomic(&b->entry[i].word) )
            continue;

        if ( bufpio_is_selected(d, s, port, size, read) )
        {
            place->bufpio = b;
            place->index = array_index_nospec(i, BUFPIO_ENTRIES_MAX);
            return true;
        }
    }

    return false;
}

/* Moves an element; only its `size` low bytes count. At any alignment. */
static void bufpio_copy(void *element, unsigned int size, bool read,
                        uint32_t *data)
{
    uint16_t half;

    if ( size == sizeof(*data) )
    {
        if ( read )
            memcpy(data, element, sizeof(*data));
        else
            memcpy(element, data, sizeof(*data));
    }
    else if ( read )
    {
        memcpy(&half, element, sizeof(half));
        *data = half;
    }
    else
    {
        half = *data;
        memcpy(element, &half, sizeof(half));
    }
}

/* What is done while BUFPIO_INSIDE is set. True: answered. */
static bool bufpio_answer(const struct bufpio *b, unsigned int index,
                          unsigned int port, unsigned int size, bool read,
                          uint32_t *data)
{
    struct bufpio_entry *e = &b->entry[index];
    uint64_t word = read_atomic(&e->word), next;
    uint32_t value = *data, data_end;
    unsigned int at;
    uint16_t flags;

    /* The word is what the device model wrote last, and exchanges first. */
    smp_rmb();

    if ( !word )
        return false;

    data_end = read_atomic(&e->data_end);
    flags = read_atomic(&e->flags);
    if ( index >= BUFPIO_ENTRIES_MIN && read_atomic(&e->port) != port )
        return false;

    next = bufpio_advance(word, data_end, flags, bufpio_count(b), size, !read);
    if ( !next )
        return false;

    at = array_index_nospec(bufpio_at(word), PAGE_SIZE + 1 - size);
    bufpio_copy((uint8_t *)b->entry + at, size, read, &value);

    /* A full barrier, which the compiler does not move the copy across. */
    if ( cmpxchg(&e->word, word, next) != word )
        return false;

    *data = value;
    return true;
}

static int bufpio_access(unsigned int port, unsigned int size, bool read,
                         uint32_t *data)
{
    struct bufpio_place place;
    struct bufpio_entry *e;
    uint32_t *activity;
    spinlock_t *lock;
    bool answered;

    if ( !bufpio_find(port, size, read, &place) )
        return X86EMUL_UNHANDLEABLE;

    e = &place.bufpio->entry[place.index];
    lock = &place.bufpio->own[place.index].lock;
    activity = &place.bufpio->own[place.index].activity;

    spin_lock(lock);
    write_atomic(&e->activity, *activity | BUFPIO_INSIDE);
    /* The device model exchanges the word and then looks at activity. */
    smp_mb();
    answered =
        bufpio_answer(place.bufpio, place.index, port, size, read, data);
    if ( answered )
        *activity += BUFPIO_ANSWER;
    /* All accesses to the page are over when this is seen. */
    smp_mb();
    write_atomic(&e->activity, *activity);
    spin_unlock(lock);

    return answered ? X86EMUL_OKAY : X86EMUL_UNHANDLEABLE;
}

/*
 * A handler that accepts a string and declines its first element makes Xen
 * send strings in requests of one element each: so no string is accepted. It
 * goes to the device model in one request as ever, which costs less than to
 * copy its elements here one by one, and would be needed for its last anyway.
 */
static bool cf_check bufpio_accept(const struct hvm_io_handler *handler,
                                   const ioreq_t *p)
{
    struct bufpio_place place;

    return !p->data_is_ptr && p->count == 1 &&
           bufpio_find(p->addr, p->size, p->dir == IOREQ_READ, &place);
}

static int cf_check bufpio_read(const struct hvm_io_handler *handler,
                                uint64_t addr, uint32_t size, uint64_t *data)
{
    uint32_t value = 0;
    int rc = bufpio_access(addr, size, true, &value);

    if ( rc == X86EMUL_OKAY )
        *data = value;

    return rc;
}

static int cf_check bufpio_write(const struct hvm_io_handler *handler,
                                 uint64_t addr, uint32_t size, uint64_t data)
{
    uint32_t value = data;

    return bufpio_access(addr, size, false, &value);
}

static const struct hvm_io_ops bufpio_ops = {
    .accept = bufpio_accept,
    .read = bufpio_read,
    .write = bufpio_write,
};

void bufpio_init(struct domain *d)
{
    struct hvm_io_handler *handler = hvm_next_io_handler(d);

    if ( !handler )
        return;

    handler->type = IOREQ_TYPE_PIO;
    handler->ops = &bufpio_ops;
}
