/* SPDX-License-Identifier: GPL-2.0-or-later OR MIT */
/*
 * The buffered PIO page: a page by which a hypervisor answers most accesses to a device's data port
 * itself. A device model publishes the bytes that the next accesses to the port would take or give;
 * the hypervisor moves them between the page and the vCPU's register and makes no request (ioreq)
 * of it, until the last element of the buffer.
 *
 * This header is the contract between both sides, shared by a hypervisor, ioemud's daemon, hv_shm
 * and tests, and meant to be copied, hence the MIT licence beside the project's. It needs nothing
 * but fixed-width integers; where __XEN__ is defined, the includer provides them. As Xen's build
 * checks of its public headers, it is ANSI C and C++.
 * docs/bufpio.md argues what this header states; tests/model/bufpio.pml is a model of it.
 *
 * The layout of entries 0 and 1, and the rules, are those of the ia64 interface that Xen had from
 * 2007 to 2012, with three things new: a reserved word where a pointer of the device model's
 * was, further entries, and an exchange where the two sides had a lock of one of them only.
 *
 * Both sides distrust each other. Whatever is in the page can be anything and change at any moment:
 * each side reads a field once, into a copy, and checks the copy. The hypervisor never reads
 * `activity`; the device model only compares what it reads with what it wrote.
 */
#ifndef IOEMUD_IOREQ_BUFPIO_ABI_H
#define IOEMUD_IOREQ_BUFPIO_ABI_H

#ifndef __XEN__
#include <stdint.h>
#endif

#define BUFPIO_PAGE 4096u

/*
 * Xen: the page is a frame of the resource XENMEM_resource_ioreq_server of the server, beyond all
 * frames that have a meaning there (0 the buffered ring, 1 to 64 request slots of at most 8192
 * vCPUs), mapped alone (nr_frames 1). A hypervisor without such a page refuses the number. The page
 * is zeroed when it is made, on the first request for it, and freed with the server.
 * hv_shm: frame HV_SHM_PAGE_BUFPIO of the peer's pages.
 */
#define BUFPIO_RESOURCE_FRAME 0x10000u

/*
 * An entry. All little-endian.
 *
 * Entry 0 is for port 0x1f0 and entry 1 for port 0x170, whatever their `port` says. Further entries
 * follow at once (entry i at byte 24 * i) and name their own port. Buffers lie behind the entries,
 * anywhere up to the end of the page; with two entries they start at byte 48, as they did on ia64.
 */
struct bufpio_entry {
    /*
     * page_offset in bits 31:0, pointer in bits 63:32 (two 32-bit fields of the old layout). Only
     * accessed as one aligned 64-bit word, atomically. The element at hand is at byte
     * page_offset + pointer of the page. 0: disarmed; the rules below decline it as they always
     * did, since no buffer starts there.
     * Hypervisor: advances it by compare-and-exchange. Device model: see "arming".
     */
    uint64_t word;
    uint32_t data_end; /* device model: bytes in the buffer, counted like pointer */
    uint32_t buf_size; /* device model: room of the buffer; nobody else reads it */
    /*
     * The reserved word.
     * port, entry 0: how many entries there are, 0 to BUFPIO_ENTRIES_MAX; less than 2 means 2.
     *                Set before the server is enabled, constant from then on.
     *       entry 1: 0.
     *       others:  the port, or 0 for none. If two name the same port, the lower one counts; one
     *                that names the port of entry 0 or 1 is never used.
     * flags:         BUFPIO_x. No bit: reads and writes alike, as it was on ia64. With any other
     *                bit set than those below, the entry is declined.
     * activity:      written by the hypervisor only. Bit 0: a vCPU is inside (below). Bits 31:1:
     *                accesses answered from this entry, free running. The hypervisor keeps it in
     *                memory of its own and stores copies here.
     */
    uint16_t port;
    uint16_t flags;
    uint32_t activity;
};

#define BUFPIO_READS  0x1u /* reads are answered, writes declined */
#define BUFPIO_WRITES 0x2u /* writes are answered, reads declined; both bits: as with none */
#define BUFPIO_FLAGS  (BUFPIO_READS | BUFPIO_WRITES)

#define BUFPIO_INSIDE 0x1u /* activity, bit 0 */
#define BUFPIO_ANSWER 0x2u /* activity: one access more */

#define BUFPIO_PRIMARY        0u
#define BUFPIO_SECONDARY      1u
#define BUFPIO_ENTRIES_MIN    2u
#define BUFPIO_ENTRIES_MAX    8u
#define BUFPIO_PORT_PRIMARY   0x1f0u
#define BUFPIO_PORT_SECONDARY 0x170u

struct bufpio_page {
    struct bufpio_entry entry[BUFPIO_ENTRIES_MIN]; /* and so on */
    uint8_t rest[BUFPIO_PAGE - BUFPIO_ENTRIES_MIN * sizeof(struct bufpio_entry)];
};

/* How many entries a page has whose entry 0 has `port`; never beyond the page. */
static __inline__ uint32_t bufpio_entries(uint16_t port)
{
    if (port < BUFPIO_ENTRIES_MIN)
        return BUFPIO_ENTRIES_MIN;
    return port > BUFPIO_ENTRIES_MAX ? BUFPIO_ENTRIES_MAX : port;
}

/*
 * The rules of an access, for the hypervisor's side, on copies of the fields. Returns the word
 * that the entry has behind this access, never 0, or 0: declined, the device model gets a request
 * as if there were no page. `size` in bytes, `write` is not 0 for OUT.
 *
 * pointer + size must be less than data_end, strictly: so the last element of a buffer is never
 * taken here, and the device model always learns when a buffer is through. All sums are in 64 bits.
 * If a word comes back, page_offset + pointer + size <= 4096.
 */
static __inline__ uint64_t bufpio_advance(uint64_t word, uint32_t data_end, uint16_t flags,
                                          uint32_t entries, unsigned size, int write)
{
    uint64_t page_offset = (uint32_t)word, pointer = word >> 32;

    if (size != 2 && size != 4)
        return 0;
    if (flags & ~BUFPIO_FLAGS)
        return 0;
    if (flags && !(flags & (write ? BUFPIO_WRITES : BUFPIO_READS)))
        return 0;
    if (page_offset + pointer < (uint64_t)entries * sizeof(struct bufpio_entry))
        return 0;
    if (page_offset + data_end > BUFPIO_PAGE || pointer + size >= data_end)
        return 0;
    return (pointer + size) << 32 | page_offset;
}

/* Where in the page the element of `word` is. For words that bufpio_advance() took. */
static __inline__ uint32_t bufpio_at(uint64_t word)
{
    return (uint32_t)word + (uint32_t)(word >> 32);
}

/*
 * What the hypervisor does with a single IN or OUT of 2 or 4 bytes whose port is that of an entry.
 * String instructions (x86: a request with data_is_ptr) are never answered from the page: the
 * device model moves them in one go. The page to be looked at is that of the server which
 * would get the request, and only while that server is enabled.
 *
 *   find the entry by its port (fields read without the lock are a hint, no more)
 *   lock                               a lock of the hypervisor's, per entry: one vCPU at a time
 *   activity = own | BUFPIO_INSIDE
 *   full barrier                       (1)
 *   word = entry.word, acquire         0: leave
 *   data_end, flags, for entries from 2 on `port`: read once, after the word; port differs: leave
 *   next = bufpio_advance(...)         0: leave
 *   IN:  copy `size` bytes from the page at bufpio_at(word)
 *   OUT: copy `size` bytes to the page at bufpio_at(word)
 *   compare and exchange entry.word, word -> next, full barrier     (2); fails: leave
 *   answered: own += BUFPIO_ANSWER
 * leave:
 *   activity = own, release            (3)
 *   unlock
 *   not answered: an ordinary request, made only now
 *   IN answered: the bytes copied, zero-extended; never looked at again in the page
 *
 * Arming, what the device model does. It has one thread for the page.
 *
 *   disarm:  word = exchange(entry.word, 0), full barrier. The pointer in it, if it is one that
 *            can come of what was armed, is how far the guest got: so many bytes of a buffer of
 *            reads are gone, so many bytes of a buffer of writes have come.
 *   idle:    after disarming, activity is read (acquire) without BUFPIO_INSIDE. Not a wait: an
 *            entry that is not idle stays disarmed, which costs its guest a request and no more.
 *   arm:     only when disarmed and idle: fill the buffer, write data_end, flags, port; then
 *            entry.word = page_offset, release, with pointer 0 or more.
 * It disarms before it serves any request of the guest and before it does anything else to a
 * device that has a buffer here. Buffer, data_end, flags and port are changed only while the
 * entry is disarmed and idle, and a buffer belongs to one entry.
 *
 * Why that is enough. A word leaves an entry by an exchange, the hypervisor's (2) or the device
 * model's, so the two agree on who took which bytes. A vCPU that lost (2) makes a request, whose
 * element is the next one. It may by then have copied its bytes into a buffer of writes, behind the
 * pointer that the device model got: nobody reads them there as long as the buffer is not used
 * again, and it is not until the vCPU has left. For either the vCPU's load of the word, behind
 * barrier (1), finds the 0 that was exchanged in, and it touches nothing, or the device model's
 * load of activity, behind its exchange, finds BUFPIO_INSIDE (store, barrier, load on both sides:
 * not both can miss the other's store). So while a vCPU holds a word that is not 0, no field and no
 * byte of that arming changes but by (2): equal words mean equal bytes, and a word that comes again
 * in a later arming is never taken for the old one. A vCPU that comes later and finds a new word
 * finds, by release and acquire, all that goes with it. The copies of a vCPU are in the page before
 * (2) is, so before the device model can see the pointer that covers them.
 *
 * A device model that breaks its rules harms its guest only: the hypervisor's accesses stay in the
 * page, and what is there is the device model's to choose anyway. A hypervisor that never clears
 * BUFPIO_INSIDE gets no more buffers.
 */

#ifndef __cplusplus
#define BUFPIO_AT(member, at)                                                                      \
    _Static_assert(__builtin_offsetof(struct bufpio_entry, member) == (at), #member " at " #at)
BUFPIO_AT(word, 0);
BUFPIO_AT(data_end, 8);
BUFPIO_AT(buf_size, 12);
BUFPIO_AT(port, 16);
BUFPIO_AT(flags, 18);
BUFPIO_AT(activity, 20);
_Static_assert(sizeof(struct bufpio_entry) == 24, "the old layout's entries");
_Static_assert(sizeof(struct bufpio_page) == BUFPIO_PAGE, "a page");
#undef BUFPIO_AT
#endif

#endif
