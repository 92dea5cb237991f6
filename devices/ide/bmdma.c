/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/ide/bmdma.h"

#include <assert.h>
#include <string.h>

#define PRD_SIZE   8u
#define PRD_EOT    0x80000000u
#define PRD_MAX    0x10000u /* bytes, said as a count of 0 */
#define PRD_BATCH  32u      /* descriptors read at once */
#define GUEST_PAGE 4096u
#define SECTOR     512u

void bmdma_init(struct bmdma *bm, const struct host *host)
{
    memset(bm, 0, sizeof(*bm));
    bm->host = host;
}

void bmdma_reset(struct bmdma *bm)
{
    memset(&bm->state, 0, sizeof(bm->state));
    bm->n_plan = 0;
}

uint8_t bmdma_read(const struct bmdma *bm, unsigned offset)
{
    switch (offset) {
    case BMDMA_BMICOM:
        return bm->state.command;
    case BMDMA_BMISTA:
        return bm->state.status;
    case BMDMA_BMIDTP:
    case BMDMA_BMIDTP + 1:
    case BMDMA_BMIDTP + 2:
    case BMDMA_BMIDTP + 3:
        return (uint8_t)(bm->state.table >> (8 * (offset - BMDMA_BMIDTP)));
    default:
        return 0;
    }
}

static enum bmdma_event write_command(struct bmdma_state *state, uint8_t value)
{
    uint8_t changed = (state->command ^ value) & BMICOM_START;

    state->command = value & (BMICOM_START | BMICOM_READ);
    if (!changed)
        return BMDMA_NOTHING;
    if (!(value & BMICOM_START)) {
        state->status &= (uint8_t)~BMISTA_ACTIVE;
        return BMDMA_STOPPED;
    }
    state->status |= BMISTA_ACTIVE;
    state->next = state->table;
    state->left = 0;
    state->end = false;
    return BMDMA_STARTED;
}

enum bmdma_event bmdma_write(struct bmdma *bm, unsigned offset, uint8_t value)
{
    struct bmdma_state *state = &bm->state;
    const uint8_t notes = BMISTA_DMA0 | BMISTA_DMA1;

    switch (offset) {
    case BMDMA_BMICOM:
        return write_command(state, value);
    case BMDMA_BMISTA:
        state->status &= (uint8_t) ~((value & (BMISTA_INTR | BMISTA_ERROR)) | notes);
        state->status |= value & notes;
        break;
    case BMDMA_BMIDTP:
    case BMDMA_BMIDTP + 1:
    case BMDMA_BMIDTP + 2:
    case BMDMA_BMIDTP + 3: {
        unsigned shift = 8 * (offset - BMDMA_BMIDTP);
        state->table = (state->table & ~(0xffu << shift)) | (uint32_t)value << shift;
        state->table &= ~3u;
        break;
    }
    }
    return BMDMA_NOTHING;
}

void bmdma_interrupt(struct bmdma *bm)
{
    bm->state.status |= BMISTA_INTR;
}

/* A table does not cross 64 KiB (SFF-8038i): the counter wraps within, as PIIX3's does. */
static uint32_t after(uint32_t prd, uint32_t count)
{
    return (prd & ~0xffffu) | ((prd + count * PRD_SIZE) & 0xffff);
}

static uint32_t get_le32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Memory cannot be reached. Returns `err`. */
static int broken(struct bmdma *bm, int err)
{
    bm->state.status |= BMISTA_ERROR;
    bm->state.status &= (uint8_t)~BMISTA_ACTIVE;
    bm->n_plan = 0;
    return err;
}

/* Reads the next descriptors, as many as lie in one guest page: memory that the table does not
 * touch is left alone. Returns how many, or -errno. */
static int read_prds(const struct bmdma *bm, uint32_t prd, uint8_t *buf)
{
    uint32_t count = (GUEST_PAGE - prd % GUEST_PAGE) / PRD_SIZE;

    count = count > PRD_BATCH ? PRD_BATCH : count;
    count = count ? count : 1; /* straddles a page: tables are aligned to 4 */
    int err = host_dma_read(bm->host, prd, buf, count * PRD_SIZE);
    return err ? err : (int)count;
}

int bmdma_plan(struct bmdma *bm, uint32_t want, uint32_t *ret_have, bool *ret_end)
{
    const struct bmdma_state *state = &bm->state;
    uint8_t prds[PRD_BATCH * PRD_SIZE];
    int read = 0, used = 0;
    uint32_t next = state->next, have = 0;
    bool end = state->end;

    bm->n_plan = 0;
    bm->plan_in_hand = state->left > 0;
    *ret_have = 0;
    *ret_end = false;
    if (!(state->status & BMISTA_ACTIVE) || !bm->master)
        return 0;
    if (bm->plan_in_hand) {
        bm->plan[0].addr = state->addr;
        bm->plan[0].len = state->left;
        have = state->left;
        bm->n_plan = 1;
    }
    while (have < want && !end && bm->n_plan < (have < SECTOR ? BMDMA_PLAN : BMDMA_PIECES)) {
        if (used == read) {
            next = after(next, (uint32_t)used);
            read = read_prds(bm, next, prds);
            if (read < 0)
                return broken(bm, read);
            used = 0;
        }
        const uint8_t *prd = prds + PRD_SIZE * used++;
        uint32_t count = get_le32(prd + 4);
        end = count & PRD_EOT;
        count &= 0xfffe;
        bm->plan[bm->n_plan].addr = get_le32(prd) & ~1u;
        bm->plan[bm->n_plan].len = count ? count : PRD_MAX;
        have += bm->plan[bm->n_plan++].len;
    }
    bm->plan_end = end;
    *ret_end = end && have <= want;
    *ret_have = have < want ? have : want;
    return 0;
}

/* Moves the first `bytes` of the plan, one call for each stretch that is contiguous on both sides.
 */
static int move(struct bmdma *bm, const struct iovec *iov, unsigned n_iov, uint32_t bytes,
                bool to_guest)
{
    unsigned i = 0, seg = 0;
    uint32_t in_iov = 0, in_seg = 0;

    while (bytes) {
        assert(i < n_iov && seg < bm->n_plan);
        uint32_t gpa = bm->plan[seg].addr + in_seg;
        uint32_t room = (uint32_t)iov[i].iov_len - in_iov, n = 0;
        room = room < bytes ? room : bytes;
        if (room > UINT32_MAX - gpa) /* 32 address lines: what is above 4 GiB is at 0 */
            room = UINT32_MAX - gpa + 1;

        while (n < room && seg < bm->n_plan && bm->plan[seg].addr + in_seg == gpa + n) {
            uint32_t len = bm->plan[seg].len - in_seg;
            len = len < room - n ? len : room - n;
            n += len;
            in_seg += len;
            if (in_seg == bm->plan[seg].len) {
                seg++;
                in_seg = 0;
            }
        }
        uint8_t *page = (uint8_t *)iov[i].iov_base + in_iov;
        int err = to_guest ? host_dma_write(bm->host, gpa, page, n)
                           : host_dma_read(bm->host, gpa, page, n);
        if (err)
            return broken(bm, err);
        bytes -= n;
        in_iov += n;
        if (in_iov == iov[i].iov_len) {
            i++;
            in_iov = 0;
        }
    }
    return 0;
}

int bmdma_gather(struct bmdma *bm, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
    return move(bm, iov, n_iov, bytes, false);
}

int bmdma_scatter(struct bmdma *bm, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
    return move(bm, iov, n_iov, bytes, true);
}

void bmdma_advance(struct bmdma *bm, uint32_t bytes)
{
    struct bmdma_state *state = &bm->state;
    unsigned seg = 0;

    if (!bytes)
        return;
    while (seg < bm->n_plan && bytes >= bm->plan[seg].len)
        bytes -= bm->plan[seg++].len;

    unsigned taken = seg + (bytes > 0) - bm->plan_in_hand;
    state->next = after(state->next, taken);
    if (bytes) {
        assert(seg < bm->n_plan);
        state->addr = bm->plan[seg].addr + bytes;
        state->left = bm->plan[seg].len - bytes;
        state->end = bm->plan_end && seg == bm->n_plan - 1;
    } else {
        state->left = 0;
        state->end = bm->plan_end && seg == bm->n_plan;
    }
    if (!state->left && state->end)
        state->status &= (uint8_t)~BMISTA_ACTIVE;
    bm->n_plan = 0;
}

void bmdma_save(const struct bmdma *bm, struct state_writer *writer)
{
    const struct bmdma_state *state = &bm->state;

    state_put_u8(writer, state->command);
    state_put_u8(writer, state->status);
    state_put_u32(writer, state->table);
    state_put_u32(writer, state->next);
    state_put_u32(writer, state->addr);
    state_put_u32(writer, state->left);
    state_put_u8(writer, state->end);
}

void bmdma_load(struct bmdma *bm, struct state_reader *reader)
{
    struct bmdma_state *state = &bm->state;

    state->command = state_get_u8(reader);
    state->status = state_get_u8(reader);
    state->table = state_get_u32(reader);
    state->next = state_get_u32(reader);
    state->addr = state_get_u32(reader);
    state->left = state_get_u32(reader);
    state->end = state_get_u8(reader);
    if (state->left > PRD_MAX || (state->left & 1) || ((state->table | state->next) & 3) ||
        (state->command & ~(BMICOM_START | BMICOM_READ)) ||
        ((state->status & BMISTA_ACTIVE) && !(state->command & BMICOM_START)))
        state_reject(reader);
}
