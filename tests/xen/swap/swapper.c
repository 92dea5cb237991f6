/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tester of the frame swap, in a PVH dom0:
 *   swapper run DOMID     swaps over 10,000 pages and judges each, on both sides
 *   swapper loop DOMID    swaps until the domain is gone
 *   swapper free          prints "free N dom0 N": the host's free pages, and dom0's
 */
#include "tester.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GUEST_WAIT_S 60
#define GUEST_BITS   8192u /* pages that the dirty log is asked about: all below 32 MiB */

static void die(const char *what)
{
    printf("not ok %s - %s\n", what, strerror(errno));
    exit(1);
}

bool check(struct tester *t, const char *name, bool good, const char *why, ...)
{
    va_list list;

    if (good) {
        printf("ok %s\n", name);
        return true;
    }
    printf("not ok %s - ", name);
    va_start(list, why);
    vprintf(why, list);
    va_end(list);
    putchar('\n');
    t->failed++;
    return false;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void wait_ready(struct tester *t, uint32_t wanted)
{
    uint64_t end = now_ns() + GUEST_WAIT_S * UINT64_C(1000000000);

    while (__atomic_load_n(&t->command->ready, __ATOMIC_ACQUIRE) != wanted) {
        if (now_ns() > end) {
            errno = ETIMEDOUT;
            die("the_guest_answers");
        }
        usleep(1000);
    }
}

/* Without waiting for it to be carried out. */
static void tell(struct tester *t, enum swap_op op, uint32_t seed)
{
    t->command->op = op;
    t->command->seed = seed;
    __atomic_store_n(&t->command->sequence, t->command->sequence + 1, __ATOMIC_RELEASE);
}

void command(struct tester *t, enum swap_op op, uint32_t seed)
{
    tell(t, op, seed);
    wait_ready(t, t->command->sequence + 1);
}

/* Rounds: which of our pages goes to which of the guest's. */

struct round {
    struct swap_xen_one one[SWAP_PAGES]; /* of guest page i */
    uint32_t seed;                       /* ours; the guest's is ~seed */
};

static void pair(struct round *round, uint32_t seed)
{
    round->seed = seed;
    for (unsigned i = 0; i < SWAP_PAGES; i++)
        round->one[i] = (struct swap_xen_one){.page = i, .ref = SWAP_REF(i)};
    for (unsigned i = SWAP_PAGES - 1; i; i--) {
        unsigned j = (unsigned)rand() % (i + 1), page = round->one[i].page;

        round->one[i].page = round->one[j].page;
        round->one[j].page = page;
    }
}

static uint32_t *page_of(struct tester *t, const struct round *round, unsigned i)
{
    return swap_xen_page(t->swap, round->one[i].page);
}

static void fill_ours(struct tester *t, const struct round *round)
{
    for (unsigned i = 0; i < SWAP_PAGES; i++)
        for (unsigned w = 0; w < SWAP_WORDS; w++)
            page_of(t, round, i)[w] = swap_word(round->seed, i, w);
}

/* Pages of ours that do not hold what the guest had in its own. */
static unsigned wrong_ours(struct tester *t, const struct round *round)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < SWAP_PAGES; i++) {
        unsigned w = 0;

        while (w < SWAP_WORDS && page_of(t, round, i)[w] == swap_word(~round->seed, i, w))
            w++;
        wrong += w < SWAP_WORDS;
    }
    return wrong;
}

static unsigned swap_all(struct tester *t, struct round *round)
{
    int done = swap_xen(t->swap, t->domid, round->one, SWAP_PAGES);

    for (unsigned i = 0; i < SWAP_PAGES && done != (int)SWAP_PAGES; i++)
        if (round->one[i].err) {
            printf("# page %u: %s\n", i, strerror(-round->one[i].err));
            break;
        }
    return done < 0 ? 0 : (unsigned)done;
}

/* `rounds` of all pages, verified on both sides. Returns how many pages that was. */
static unsigned verified(struct tester *t, const char *name, unsigned rounds)
{
    static struct round round;
    unsigned swapped = 0, wrong_here = 0, wrong_there = 0;
    uint64_t ns = 0;

    for (unsigned r = 0; r < rounds; r++) {
        pair(&round, (uint32_t)rand());
        command(t, SWAP_FILL, ~round.seed);
        fill_ours(t, &round);
        ns -= now_ns();
        swapped += swap_all(t, &round);
        ns += now_ns();
        command(t, SWAP_CHECK, round.seed);
        wrong_there += t->command->result;
        wrong_here += wrong_ours(t, &round);
    }
    check(t, name, swapped == rounds * SWAP_PAGES && !wrong_here && !wrong_there,
          "%u of %u swapped, wrong pages: %u here, %u there (word %u, %#x not %#x)", swapped,
          rounds * SWAP_PAGES, wrong_here, wrong_there, t->command->first, t->command->found,
          t->command->wanted);
    printf("bench %s n=%u ns=%llu\n", name, swapped,
           (unsigned long long)(ns / (swapped ? swapped : 1)));
    return swapped;
}

/* What goes on meanwhile. */

struct meanwhile {
    struct tester *t;
    pthread_t thread;
    atomic_bool end;
    bool pause, log;
    unsigned times, failed;
};

static void *meddle(void *arg)
{
    struct meanwhile *m = arg;
    uint32_t domid = m->t->domid;
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);

    while (xc && !atomic_load(&m->end)) {
        if (m->pause)
            m->failed += xc_domain_pause(xc, domid) < 0;
        if (m->log) {
            m->failed +=
                xc_shadow_control(xc, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0) < 0;
            usleep(5000);
            m->failed += xc_logdirty_control(xc, domid, XEN_DOMCTL_SHADOW_OP_CLEAN, NULL,
                                             GUEST_BITS, 0, NULL) < 0;
        }
        usleep(5000);
        if (m->log)
            m->failed += xc_shadow_control(xc, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0) < 0;
        if (m->pause)
            m->failed += xc_domain_unpause(xc, domid) < 0;
        usleep(3000);
        m->times++;
    }
    if (xc)
        xc_interface_close(xc);
    return NULL;
}

static void meanwhile_begin(struct meanwhile *m, struct tester *t, bool pause, bool log)
{
    memset(m, 0, sizeof(*m));
    m->t = t;
    m->pause = pause;
    m->log = log;
    if (pthread_create(&m->thread, NULL, meddle, m))
        die("thread");
}

static void meanwhile_end(struct meanwhile *m, const char *name)
{
    atomic_store(&m->end, true);
    pthread_join(m->thread, NULL);
    check(m->t, name, m->times > 3 && !m->failed, "%u times, %u failed", m->times, m->failed);
}

/* The guest writes to its pages all the while, so that nothing can be told of their content. */
static void touched(struct tester *t)
{
    static struct round round;
    struct meanwhile m;
    unsigned swapped = 0, rounds = 4;

    tell(t, SWAP_TOUCH, 0);
    wait_ready(t, t->command->sequence + 1);
    meanwhile_begin(&m, t, false, true);
    for (unsigned r = 0; r < rounds; r++) {
        pair(&round, r);
        swapped += swap_all(t, &round);
    }
    meanwhile_end(&m, "log_dirty_while_the_guest_writes");
    check(t, "swapped_while_the_guest_writes", swapped == rounds * SWAP_PAGES, "%u of %u", swapped,
          rounds * SWAP_PAGES);
}

/* While the guest's writes are logged, a swap is a write to the guest's page, and to no other. */
static void dirty_bits(struct tester *t)
{
    DECLARE_HYPERCALL_BUFFER(uint8_t, map);
    struct swap_xen_one ones[8];
    unsigned first = SWAP_MEMORY >> 12, dirty = 0, clean = 0, again = 0;
    int done = 0;

    map = xc_hypercall_buffer_alloc_pages(t->xc, map, 1);
    if (!map ||
        xc_shadow_control(t->xc, t->domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0) < 0 ||
        xc_logdirty_control(t->xc, t->domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map),
                            GUEST_BITS, 0, NULL) < 0)
        die("log_dirty_on");
    for (unsigned i = 0; i < 8; i++)
        ones[i] = (struct swap_xen_one){.page = i, .ref = SWAP_REF(3 * i)};
    done = swap_xen(t->swap, t->domid, ones, 8);
    if (xc_logdirty_control(t->xc, t->domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map),
                            GUEST_BITS, 0, NULL) < 0)
        die("log_dirty_read");
    for (unsigned i = 0; i < 24; i++) {
        bool set = map[(first + i) / 8] >> (first + i) % 8 & 1;

        if (i % 3)
            clean += !set;
        else
            dirty += set;
    }
    check(t, "a_swap_is_logged", done == 8 && dirty == 8 && clean == 16,
          "%d swapped, %u dirty, %u clean", done, dirty, clean);
    command(t, SWAP_FILL, 1);
    if (xc_logdirty_control(t->xc, t->domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map),
                            GUEST_BITS, 0, NULL) < 0)
        die("log_dirty_read");
    for (unsigned i = 0; i < SWAP_PAGES; i++)
        again += map[(first + i) / 8] >> (first + i) % 8 & 1;
    check(t, "writes_behind_it_are_logged", again == SWAP_PAGES, "%u of %u", again, SWAP_PAGES);
    xc_shadow_control(t->xc, t->domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
    xc_hypercall_buffer_free_pages(t->xc, map, 1);
}

static unsigned long pages_of(xc_interface *xc, uint32_t domid)
{
    xc_dominfo_t info;

    return xc_domain_getinfo(xc, domid, 1, &info) == 1 && info.domid == domid ? info.nr_pages : 0;
}

static void open_tester(struct tester *t, uint16_t domid)
{
    xen_pfn_t gfn = SWAP_COMMAND >> 12;
    int err = 0, rc;

    t->domid = domid;
    t->xc = xc_interface_open(NULL, NULL, 0);
    t->memory = xenforeignmemory_open(NULL, 0);
    if (!t->xc || !t->memory)
        die("open");
    t->command = xenforeignmemory_map(t->memory, domid, PROT_READ | PROT_WRITE, 1, &gfn, &err);
    if (!t->command)
        die("map_the_guests_command");
    rc = swap_xen_open(0, SWAP_PAGES, &t->swap);
    if (rc) {
        errno = -rc;
        die("swap_xen_open");
    }
    wait_ready(t, 1);
}

static int run(struct tester *t)
{
    unsigned long here, there;
    struct meanwhile m;
    unsigned pages;

    refusals(t);
    /* Only now: dom0's kernel may have made room for mappings, out of its own pages. */
    here = pages_of(t->xc, 0);
    there = pages_of(t->xc, t->domid);
    pages = verified(t, "swapped_and_verified", 8);
    meanwhile_begin(&m, t, true, false);
    pages += verified(t, "while_it_is_paused_and_goes_on", 6);
    meanwhile_end(&m, "paused");
    meanwhile_begin(&m, t, false, true);
    pages += verified(t, "while_writes_are_logged_and_not", 5);
    meanwhile_end(&m, "logged");
    dirty_bits(t);
    touched(t);
    pages += verified(t, "in_the_end", 2);
    check(t, "ten_thousand_pages", pages >= 10000, "%u", pages);
    check(t, "dom0_has_as_much_memory_as_before", here && here == pages_of(t->xc, 0),
          "%lu, then %lu", here, pages_of(t->xc, 0));
    check(t, "so_has_the_guest", there && there == pages_of(t->xc, t->domid), "%lu, then %lu",
          there, pages_of(t->xc, t->domid));
    tell(t, SWAP_STOP, 0);
    swap_xen_close(t->swap);
    printf("end\n");
    return t->failed != 0;
}

/* Our pages are ours, whatever became of the domain: all can be written and read. */
static unsigned unusable(struct tester *t)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        for (uint32_t w = 0; w < SWAP_WORDS; w++)
            ((uint32_t *)swap_xen_page(t->swap, i))[w] = swap_word(7, i, w);
    for (uint32_t i = 0; i < SWAP_PAGES; i++)
        for (uint32_t w = 0; w < SWAP_WORDS; w++)
            wrong += ((volatile uint32_t *)swap_xen_page(t->swap, i))[w] != swap_word(7, i, w);
    return wrong;
}

static int loop(struct tester *t)
{
    static struct round round;
    unsigned long swapped = 0;
    unsigned refused = 0, wrong;
    bool gone = false;

    /* The mapping would keep the domain from going. */
    xenforeignmemory_unmap(t->memory, t->command, 1);
    printf("loops\n");
    for (unsigned r = 0; !gone; r++) {
        unsigned now_refused = 0;

        pair(&round, r);
        swap_xen(t->swap, t->domid, round.one, SWAP_PAGES);
        for (unsigned i = 0; i < SWAP_PAGES; i++) {
            swapped += !round.one[i].err;
            gone |= round.one[i].err == -ESRCH;
            now_refused += round.one[i].err && round.one[i].err != -ESRCH;
        }
        /* When it goes, its pages may be on their way for a moment before it is known. */
        refused += gone ? 0 : now_refused;
    }
    wrong = unusable(t);
    check(t, "gone_in_the_middle", swapped > SWAP_PAGES && !refused, "%lu swapped, %u refused",
          swapped, refused);
    check(t, "our_pages_are_whole", !wrong, "%u words", wrong);
    printf("# %lu swapped\n", swapped);
    swap_xen_close(t->swap);
    printf("end\n");
    return t->failed != 0;
}

static int print_free(void)
{
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);
    xc_physinfo_t info = {0};

    if (!xc || xc_physinfo(xc, &info))
        die("physinfo");
    printf("free %llu dom0 %lu\n", (unsigned long long)info.free_pages, pages_of(xc, 0));
    xc_interface_close(xc);
    return 0;
}

int main(int argc, char **argv)
{
    static struct tester t;
    const char *verb = argc > 1 ? argv[1] : "";

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(verb, "free"))
        return print_free();
    if (argc == 3 && (!strcmp(verb, "run") || !strcmp(verb, "loop"))) {
        srand(1);
        open_tester(&t, (uint16_t)atoi(argv[2]));
        return !strcmp(verb, "run") ? run(&t) : loop(&t);
    }
    fprintf(stderr, "usage: swapper run|loop DOMID | swapper free\n");
    return 2;
}
