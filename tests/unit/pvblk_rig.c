// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/pvblk_rig.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/backend/aio.h"
#include "devices/backend/nbd.h"

#define IMAGE_PATIENCE_MS 10000

uint8_t pv_rig_byte(uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 512 + (offset >> 17));
}

uint8_t *pv_rig_page(struct pv_rig *rig, uint32_t ref)
{
    assert(ref < PV_PAGES);
    return rig->ram + (size_t)ref * GRANT_PAGE;
}

uint8_t *pv_rig_ring(struct pv_rig *rig, unsigned queue)
{
    return pv_rig_page(rig, PV_RING_FIRST + queue * PVBLK_RING_PAGES);
}

uint32_t *pv_rig_index(struct pv_rig *rig, unsigned queue, uint32_t which)
{
    return blkfront_index(&rig->front[queue], which);
}

static uint8_t *zeroes(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert(memory != MAP_FAILED);
    return memory;
}

static uint8_t *shared_ram(struct pv_rig *rig)
{
    const size_t size = (size_t)PV_PAGES * GRANT_PAGE;
    void *memory;

    rig->ram_fd = memfd_create("pv_rig", MFD_CLOEXEC);
    assert(rig->ram_fd >= 0 && !ftruncate(rig->ram_fd, (off_t)size));
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, rig->ram_fd, 0);
    assert(memory != MAP_FAILED);
    return memory;
}

/* ---- grants -----------------------------------------------------------------------------------*/

static int copy_one(struct pv_rig *rig, struct grant_copy *copy)
{
    uint8_t *theirs;

    if (copy->ref >= PV_PAGES || !copy->len || copy->offset + (uint32_t)copy->len > GRANT_PAGE)
        return -EINVAL;
    if (rig->grant[copy->ref] == PV_NONE ||
        (copy->to_guest && rig->grant[copy->ref] != PV_WRITABLE))
        return -EACCES;
    if (rig->rings_are_no_data && copy->ref >= PV_RING_FIRST)
        return -EACCES;
    theirs = pv_rig_page(rig, copy->ref) + copy->offset;
    if (copy->to_guest)
        memcpy(theirs, copy->local, copy->len);
    else
        memcpy(copy->local, theirs, copy->len);
    return 0;
}

static void on_copy(void *ctx, struct grant_copy *copies, unsigned count)
{
    struct pv_rig *rig = ctx;

    assert(count);
    rig->copy_calls++;
    rig->last_copies = count;
    for (unsigned i = 0; i < count; i++) {
        assert(copies[i].len && copies[i].offset + (uint32_t)copies[i].len <= GRANT_PAGE);
        copies[i].status = copy_one(rig, &copies[i]);
    }
    if (rig->after_copy)
        rig->after_copy(rig);
}

/* Only what lies side by side already. */
static int on_map(void *ctx, struct grant_map *map)
{
    struct pv_rig *rig = ctx;

    for (uint32_t i = 0; i < map->count; i++) {
        if (map->refs[i] >= PV_PAGES || map->refs[i] != map->refs[0] + i)
            return -EINVAL;
        if (rig->grant[map->refs[i]] != PV_WRITABLE)
            return -EACCES;
    }
    for (uint32_t i = 0; i < map->count; i++)
        rig->in_use[map->refs[i]] = true;
    map->base = pv_rig_page(rig, map->refs[0]);
    rig->counters.mapped += map->count;
    return 0;
}

static void on_unmap(void *ctx, const struct grant_map *map)
{
    struct pv_rig *rig = ctx;

    assert(map->base == pv_rig_page(rig, map->refs[0]));
    for (uint32_t i = 0; i < map->count; i++) {
        assert(rig->in_use[map->refs[i]]);
        rig->in_use[map->refs[i]] = false;
    }
    rig->counters.mapped -= map->count;
}

/* The bytes change places instead of the frames. */
static void on_swap(void *ctx, struct grant_swap *swaps, unsigned count)
{
    struct pv_rig *rig = ctx;

    for (unsigned i = 0; i < count; i++) {
        uint8_t theirs[GRANT_PAGE];
        struct grant_copy copy = {
            .local = theirs, .ref = swaps[i].ref, .len = GRANT_PAGE, .to_guest = true};

        swaps[i].status = -EBUSY;
        if (rig->swaps >= rig->swaps_fail_from)
            continue;
        if (copy.ref < PV_PAGES)
            memcpy(theirs, pv_rig_page(rig, copy.ref), GRANT_PAGE);
        copy.local = swaps[i].page;
        swaps[i].status = copy_one(rig, &copy);
        if (swaps[i].status)
            continue;
        memcpy(swaps[i].page, theirs, GRANT_PAGE);
        rig->swaps++;
    }
}

static bool on_swap_take(void *ctx, uint8_t **ret_pages, unsigned count)
{
    struct pv_rig *rig = ctx;
    unsigned taken = 0;

    if (rig->options.swap_pages - rig->lent < count)
        return false;
    for (unsigned i = 0; i < rig->options.swap_pages && taken < count; i++)
        if (!rig->spent[i]) {
            rig->spent[i] = true;
            ret_pages[taken++] = rig->swap_pages + (size_t)i * GRANT_PAGE;
        }
    rig->lent += count;
    return true;
}

static void on_swap_give(void *ctx, uint8_t *page)
{
    struct pv_rig *rig = ctx;
    size_t i = (size_t)(page - rig->swap_pages) / GRANT_PAGE;

    assert(i < rig->options.swap_pages && rig->spent[i]);
    rig->spent[i] = false;
    rig->lent--;
}

static const struct grant_ops swap_ops = {.copy = on_copy,
                                          .map = on_map,
                                          .unmap = on_unmap,
                                          .swap = on_swap,
                                          .swap_take = on_swap_take,
                                          .swap_give = on_swap_give};
static const struct grant_ops grant_ops = {.copy = on_copy, .map = on_map, .unmap = on_unmap};

/* ---- surroundings -----------------------------------------------------------------------------*/

static void on_notify(void *ctx, unsigned queue)
{
    struct pv_rig *rig = ctx;

    assert(queue < PVBLK_QUEUES);
    rig->notified[queue]++;
    if (rig->after_notify)
        rig->after_notify(rig, queue);
}

static void on_want_turn(void *ctx)
{
    struct pv_rig *rig = ctx;

    fake_loop(rig->loop)->ops->defer(fake_loop(rig->loop)->ctx, &rig->turn);
}

static void on_broken(void *ctx, const char *why)
{
    struct pv_rig *rig = ctx;

    assert(why && *why);
    rig->broken++;
}

static void on_sealed(void *ctx, int error)
{
    struct pv_rig *rig = ctx;

    assert(error < 0);
    rig->sealed++;
    rig->sealed_error = error;
    if (rig->after_sealed)
        rig->after_sealed(rig);
}

static void on_drained(void *ctx)
{
    struct pv_rig *rig = ctx;

    rig->drained++;
}

static bool on_held(void *ctx)
{
    return ((struct pv_rig *)ctx)->held;
}

static void on_failed(void *ctx, enum blk_op op, uint64_t sector, int error)
{
    struct pv_rig *rig = ctx;

    rig->failures++;
    rig->failure = (struct blk_stop){.op = op, .sector = sector, .error = error};
}

static const struct pvblk_ops pv_ops = {
    .notify = on_notify,
    .want_turn = on_want_turn,
    .broken = on_broken,
    .sealed = on_sealed,
    .failed = on_failed,
    .drained = on_drained,
    .held = on_held,
};

static void run_turn(void *arg)
{
    struct pv_rig *rig = arg;

    assert(!rig->inside);
    rig->inside = true;
    rig->turns++;
    pvblk_turn(rig->pv);
    rig->inside = false;
}

/* ---- life -------------------------------------------------------------------------------------*/

static bool open_served(struct pv_rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct nbd_handle *handle;
    struct nbd_export export;
    char why[NBD_WHY_SIZE];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert(fd >= 0 && strlen(rig->options.path) < sizeof(address.sun_path));
    strcpy(address.sun_path, rig->options.path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
        close(fd);
        return false; /* it is no socket */
    }
    assert(!nbd_image_hello(fd, &handle, &export, why));
    rig->sectors = export.bytes / BLK_SECTOR;
    assert(!nbd_image_open(handle, &export, &(struct nbd_owner){0}, fake_loop(rig->loop), rig->pool,
                           &rig->image));
    return true;
}

static void open_image(struct pv_rig *rig)
{
    struct raw_options options = {.direct = true, .discard = true};
    struct raw_image raw;
    char why[256];

    if (open_served(rig))
        return;
    assert(!raw_probe(rig->options.path, &options, &raw, why, sizeof(why)));
    rig->sectors = raw.bytes / BLK_SECTOR;
    assert(!aio_create(fake_loop(rig->loop), 64, &rig->aio));
    assert(!raw_open(&raw, rig->aio, fake_loop(rig->loop), rig->pool, &rig->image));
}

static void make_disk(struct pv_rig *rig)
{
    const struct pv_rig_options *options = &rig->options;
    const struct loop *loop = fake_loop(rig->loop);

    rig->sectors = options->sectors ? options->sectors : 16384;
    rig->disk = zeroes(rig->sectors * BLK_SECTOR);
    for (uint64_t i = 0; i < rig->sectors * BLK_SECTOR && !options->blank; i++)
        rig->disk[i] = pv_rig_byte(i);
    assert(
        !mem_open(rig->disk, rig->sectors, options->image_read_only, loop, rig->pool, &rig->image));
}

void pv_rig_give_disk(struct pv_rig *rig)
{
    pvblk_set_blk(rig->pv, rig->blk);
}

/* Its pages, its grants, its ends of the rings. */
static void init_guest(struct pv_rig *rig)
{
    rig->ram = rig->options.no_backend ? shared_ram(rig) : zeroes((size_t)PV_PAGES * GRANT_PAGE);
    if (!rig->options.blank)
        memset(rig->ram, 0xee, (size_t)PV_PAGES * GRANT_PAGE);
    for (unsigned i = 0; i < PVBLK_QUEUES; i++)
        blkfront_init(&rig->front[i], pv_rig_ring(rig, i), 1u << rig->options.ring_order,
                      rig->options.protocol);
    memset(rig->grant, PV_WRITABLE, sizeof(rig->grant));
    rig->grants = (struct grants){.ops = &grant_ops,
                                  .ctx = rig,
                                  .can = GRANT_CAN_COPY | GRANT_CAN_MAP,
                                  .from = {.map = GRANT_NEVER, .swap = GRANT_NEVER},
                                  .counters = &rig->counters};
    rig->swaps_fail_from = UINT32_MAX;
    if (rig->options.swap_pages) {
        assert(rig->options.swap_pages <= sizeof(rig->spent));
        rig->swap_pages = zeroes((size_t)rig->options.swap_pages * GRANT_PAGE);
        rig->grants.ops = &swap_ops;
        rig->grants.can |= GRANT_CAN_SWAP;
        rig->grants.from.swap = 2 * GRANT_PAGE;
    }
}

void pv_rig_init(struct pv_rig *rig, const struct pv_rig_options *options)
{
    struct pvblk_params params = {.ops = &pv_ops, .ctx = rig, .grants = &rig->grants};

    memset(rig, 0, sizeof(*rig));
    if (options)
        rig->options = *options;
    if (!rig->options.n_queues)
        rig->options.n_queues = 1;
    init_guest(rig);
    if (rig->options.no_backend)
        return;
    rig->loop = fake_loop_create();
    rig->turn = (struct loop_task){.run = run_turn, .arg = rig};
    assert(!pool_create(rig->options.pool_pages ? rig->options.pool_pages : 1024, &rig->pool));
    if (rig->options.path)
        open_image(rig);
    else
        make_disk(rig);
    assert(!blk_open(rig->image, rig->options.depth ? rig->options.depth : PVBLK_BLK_DEPTH,
                     &rig->blk));
    params.read_only = rig->options.read_only;
    params.discard = !rig->options.no_discard;
    assert(!pvblk_create(&params, &rig->pv));
    if (!rig->options.no_disk)
        pv_rig_give_disk(rig);
    if (!rig->options.disconnected)
        assert(!pv_rig_connect(rig));
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void finish_backend(struct pv_rig *rig)
{
    const struct loop *loop = fake_loop(rig->loop);

    pvblk_destroy(rig->pv);
    loop->ops->undefer(loop->ctx, &rig->turn);
    if (rig->disk)
        mem_set_faults(rig->image, &(struct mem_faults){0});
    blk_close(rig->blk, on_closed, &rig->blk_closed);
    while (!rig->blk_closed)
        assert(fake_loop_turn(rig->loop, rig->disk ? 0 : IMAGE_PATIENCE_MS));
    aio_destroy(rig->aio);
    assert(pool_stats(rig->pool)->free == pool_stats(rig->pool)->pages);
    pool_destroy(rig->pool);
    fake_loop_destroy(rig->loop);
    if (rig->disk)
        munmap(rig->disk, rig->sectors * BLK_SECTOR);
}

void pv_rig_finish(struct pv_rig *rig)
{
    if (!rig->options.no_backend)
        finish_backend(rig);
    else
        close(rig->ram_fd);
    assert(!rig->counters.mapped && !rig->lent);
    if (rig->swap_pages)
        munmap(rig->swap_pages, (size_t)rig->options.swap_pages * GRANT_PAGE);
    munmap(rig->ram, (size_t)PV_PAGES * GRANT_PAGE);
}

void pv_rig_rings(const struct pv_rig *rig, struct pvblk_rings *ret_rings)
{
    memset(ret_rings, 0, sizeof(*ret_rings));
    ret_rings->protocol = rig->options.protocol;
    ret_rings->n_queues = rig->options.n_queues;
    ret_rings->ring_order = rig->options.ring_order;
    for (unsigned i = 0; i < PVBLK_QUEUES; i++)
        for (unsigned j = 0; j < PVBLK_RING_PAGES; j++)
            ret_rings->queue[i].ring_ref[j] = PV_RING_FIRST + i * PVBLK_RING_PAGES + j;
}

int pv_rig_connect(struct pv_rig *rig)
{
    struct pvblk_rings rings;

    for (unsigned i = 0; i < PVBLK_QUEUES; i++) {
        memset(pv_rig_ring(rig, i), 0xaa, PVBLK_RING_PAGES * GRANT_PAGE);
        blkfront_reset(&rig->front[i]);
    }
    pv_rig_rings(rig, &rings);
    return pvblk_connect(rig->pv, &rings);
}

void pv_rig_fault(struct pv_rig *rig, const struct mem_faults *faults)
{
    mem_set_faults(rig->image, faults);
}

/* ---- the frontend -----------------------------------------------------------------------------*/

uint8_t *pv_rig_entry(struct pv_rig *rig, unsigned queue)
{
    return blkfront_entry(&rig->front[queue]);
}

void pv_rig_request(struct pv_rig *rig, unsigned queue, uint8_t operation, uint64_t id,
                    uint64_t sector, const struct blkif_segment *segments, unsigned n)
{
    blkfront_request(&rig->front[queue], operation, id, sector, segments, n);
}

void pv_rig_page_request(struct pv_rig *rig, unsigned queue, uint8_t operation, uint64_t id,
                         uint64_t sector, uint32_t ref)
{
    struct blkif_segment segment = {.ref = ref, .last = 7};

    pv_rig_request(rig, queue, operation, id, sector, &segment, 1);
}

void pv_rig_discard(struct pv_rig *rig, unsigned queue, uint64_t id, uint64_t sector,
                    uint64_t sectors, uint8_t flag)
{
    blkfront_discard(&rig->front[queue], id, sector, sectors, flag);
}

void pv_rig_indirect(struct pv_rig *rig, unsigned queue, uint8_t operation, uint64_t id,
                     uint64_t sector, uint32_t table, unsigned n)
{
    blkfront_indirect(&rig->front[queue], operation, id, sector, table, n);
}

bool pv_rig_publish(struct pv_rig *rig, unsigned queue)
{
    return blkfront_publish(&rig->front[queue]);
}

void pv_rig_settle(struct pv_rig *rig)
{
    assert(fake_loop_settle(rig->loop, 0, 100000) < 100000);
}

void pv_rig_kick(struct pv_rig *rig)
{
    bool notify = false;

    for (unsigned i = 0; i < rig->options.n_queues; i++)
        notify |= pv_rig_publish(rig, i);
    if (notify)
        on_want_turn(rig);
    pv_rig_settle(rig);
}

bool pv_rig_response(struct pv_rig *rig, unsigned queue, struct blkfront_response *ret_response)
{
    if (!blkfront_response(&rig->front[queue], ret_response))
        return false;
    blkfront_rearm(&rig->front[queue]);
    return true;
}

void pv_rig_wait(struct pv_rig *rig, unsigned queue, struct blkfront_response *ret_response)
{
    while (!pv_rig_response(rig, queue, ret_response))
        assert(fake_loop_turn(rig->loop, IMAGE_PATIENCE_MS));
}

void pv_rig_expect(struct pv_rig *rig, unsigned queue, uint64_t id, uint8_t operation,
                   int16_t status)
{
    struct blkfront_response response;

    assert(pv_rig_response(rig, queue, &response));
    assert(response.id == id && response.operation == operation);
    assert(response.status == status);
    assert(!pv_rig_response(rig, queue, &response));
}
