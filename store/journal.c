// See journal.h and journal_priv.h.
#include "store/journal_priv.h"

#include <stdlib.h>

#include "store/crc.h"

struct store_journal {
    struct journal_map map;
    uint8_t worker;

    // The worker's: slots that are free, the last one freed on top, so that few lines are touched.
    uint32_t *unused;
    uint32_t unused_count;
    uint64_t done_count;
    uint64_t back_seen; // of `back` taken so far
    uint8_t texts[STORE_RECORD_BYTES_MAX]; // while they are encoded

    // Two rings of as many places as there are slots, so neither is ever full: finished slots to the writer,
    // freed ones back.
    uint32_t *done;
    uint32_t *back;
    uint8_t apart[64];
    _Atomic uint64_t done_head; // the worker's
    uint8_t apart_too[64];
    _Atomic uint64_t done_tail; // the writer's: also the number committed
    _Atomic uint64_t back_head; // the writer's
};

// --- Checksums.

uint32_t store_slot_open_crc(const struct journal_slot *s)
{
    const uint32_t crc = store_crc32c(&s->open, sizeof s->open), n = s->open.text_bytes;
    return n ? store_crc32c_more(crc, s->text, n < SLOT_TEXT_BYTES ? n : SLOT_TEXT_BYTES) : crc;
}

uint32_t store_slot_final_crc(const struct journal_slot *s)
{
    return store_crc32c(&s->final, sizeof s->final);
}

uint32_t store_slot_text_crc(const struct journal_text *t)
{
    MUST(t->n <= SLOT_MORE_BYTES);
    return store_crc32c(&t->n, sizeof t->n + t->n) ^ t->next;
}

// --- Free slots.

static void take_back(struct store_journal *j)
{
    const uint64_t head = atomic_load_explicit(&j->back_head, memory_order_acquire);
    for (; j->back_seen != head; j->back_seen++)
        j->unused[j->unused_count++] = j->back[j->back_seen & (j->map.slots - 1)];
}

static bool have(struct store_journal *j, uint32_t n)
{
    if (j->unused_count < n) take_back(j);
    return j->unused_count >= n;
}

static void put_back(struct store_journal *j, uint32_t slot)
{
    atomic_store_explicit(&j->map.slot[slot].state, SLOT_FREE, memory_order_release);
    j->unused[j->unused_count++] = slot;
}

uint32_t store_journal_room(struct store_journal *j)
{
    take_back(j);
    return j->unused_count;
}

// --- Texts longer than what a slot holds go to further slots.

static uint32_t texts_more(uint32_t bytes, uint32_t inline_bytes)
{
    return bytes <= inline_bytes ? 0 : (bytes - inline_bytes + SLOT_MORE_BYTES - 1) / SLOT_MORE_BYTES;
}

// Written from the last to the first, so that each names one that is whole. The slots are there.
static uint32_t chain_write(struct store_journal *j, const uint8_t *bytes, uint32_t n)
{
    uint32_t next = STORE_SLOT_NONE;
    for (uint32_t pieces = texts_more(n, 0); pieces-- > 0;) {
        const uint32_t from = pieces * SLOT_MORE_BYTES, i = j->unused[--j->unused_count];
        struct journal_text *t = journal_text_at(&j->map, i);
        t->next = next;
        t->n = n - from < SLOT_MORE_BYTES ? n - from : SLOT_MORE_BYTES;
        memcpy(t->bytes, bytes + from, t->n);
        t->crc = store_slot_text_crc(t);
        atomic_store_explicit(&t->state, SLOT_TEXT, memory_order_release);
        next = i;
    }
    return next;
}

// The numbers of a slot's text slots; those of a torn file may lead anywhere, so no more than there can be.
static uint32_t chain_list(const struct journal_map *m, uint32_t first, uint32_t *ret, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = first; i != STORE_SLOT_NONE && n < max; i = journal_text_at(m, i)->next) {
        if (i >= m->slots) break;
        ret[n++] = i;
    }
    return n;
}

#define CHAIN_MAX ((STORE_RECORD_BYTES_MAX + SLOT_MORE_BYTES - 1) / SLOT_MORE_BYTES)

static uint32_t chains_of(const struct journal_map *m, uint32_t slot, uint32_t ret[2 * CHAIN_MAX])
{
    const struct journal_slot *s = &m->slot[slot];
    uint32_t n = chain_list(m, s->open.text_next, ret, CHAIN_MAX);
    n += chain_list(m, atomic_load_explicit(&s->retext, memory_order_relaxed), ret + n, CHAIN_MAX);
    return n;
}

// --- The life of a slot, the worker's part.

uint32_t store_journal_begin(struct store_journal *j, const struct store_begin *b)
{
    uint8_t *texts = j->texts;
    const uint32_t n = b->unasked ? 0 : store_texts_encode(&b->texts, texts);
    const uint32_t more = texts_more(n, SLOT_TEXT_BYTES);
    if (!have(j, 1 + more)) return STORE_SLOT_NONE;

    const uint32_t slot = j->unused[--j->unused_count], inside = more ? SLOT_TEXT_BYTES : n;
    struct journal_slot *s = &j->map.slot[slot];
    memcpy(s->open.id, b->id, STORE_ID_BYTES);
    s->open.tenant = b->tenant;
    s->open.team = b->team;
    s->open.key = b->key;
    s->open.flags = b->flags;
    s->open.part = b->part;
    s->open.dialect = b->dialect;
    s->open.text_bytes = (uint16_t)n;
    s->open.text_next = more ? chain_write(j, texts + inside, n - inside) : STORE_SLOT_NONE;
    if (inside) memcpy(s->text, texts, inside);
    memset(s->held, 0, sizeof s->held);
    atomic_store_explicit(&s->estimate_tokens, b->estimate_tokens, memory_order_relaxed);
    atomic_store_explicit(&s->estimate_nanos, b->estimate_nanos, memory_order_relaxed);
    atomic_store_explicit(&s->retext, STORE_SLOT_NONE, memory_order_relaxed);
    s->open_crc = store_slot_open_crc(s);
    atomic_store_explicit(&s->state, SLOT_OPEN, memory_order_release);
    return slot;
}

uint32_t *store_journal_held(struct store_journal *j, uint32_t slot)
{
    return j->map.slot[slot].held;
}

void store_journal_raise(struct store_journal *j, uint32_t slot, uint32_t estimate_tokens,
                         int64_t estimate_nanos)
{
    struct journal_slot *s = &j->map.slot[slot];
    atomic_store_explicit(&s->estimate_tokens, estimate_tokens, memory_order_relaxed);
    atomic_store_explicit(&s->estimate_nanos, estimate_nanos, memory_order_release);
}

bool store_journal_retarget(struct store_journal *j, uint32_t slot, const struct store_texts *texts)
{
    uint32_t old[CHAIN_MAX];
    const uint32_t n = store_texts_encode(texts, j->texts);
    if (!have(j, texts_more(n, 0))) return false;
    struct journal_slot *s = &j->map.slot[slot];
    const uint32_t was = atomic_load_explicit(&s->retext, memory_order_relaxed);
    const uint32_t old_count = chain_list(&j->map, was, old, CHAIN_MAX);
    // One word makes the new texts count; before and after it a crash finds whole ones.
    atomic_store_explicit(&s->retext, chain_write(j, j->texts, n), memory_order_release);
    for (uint32_t i = 0; i < old_count; i++) put_back(j, old[i]);
    return true;
}

void store_journal_final(struct store_journal *j, uint32_t slot, const struct store_record *r)
{
    struct journal_slot *s = &j->map.slot[slot];
    struct slot_final *f = &s->final;
    f->status = r->status;
    f->attempts = r->attempts;
    f->cache = r->cache;
    f->flags = r->flags;
    memcpy(f->tokens, r->tokens, sizeof f->tokens);
    f->cost_nanos = store_record_money(r);
    f->bytes_in = r->bytes_in;
    f->bytes_out = r->bytes_out;
    f->duration_us = r->duration_us;
    f->first_byte_us = r->first_byte_us;
    f->overhead_us = r->overhead_us;
    memset(f->end, 0, sizeof f->end);
    const uint32_t n = r->end.n < sizeof f->end ? r->end.n : (uint32_t)sizeof f->end;
    if (n) memcpy(f->end, r->end.p, n);
    s->final_crc = store_slot_final_crc(s);
    MUST(atomic_load_explicit(&s->state, memory_order_relaxed) == SLOT_OPEN);
    atomic_store_explicit(&s->state, SLOT_FINAL, memory_order_release);
}

uint64_t store_journal_done(struct store_journal *j, uint32_t slot)
{
    MUST(atomic_load_explicit(&j->map.slot[slot].state, memory_order_relaxed) == SLOT_FINAL);
    j->done[j->done_count & (j->map.slots - 1)] = slot;
    atomic_store_explicit(&j->done_head, ++j->done_count, memory_order_release);
    return j->done_count;
}

uint64_t store_journal_committed(const struct store_journal *j)
{
    return atomic_load_explicit(&j->done_tail, memory_order_acquire);
}

void store_journal_cancel(struct store_journal *j, uint32_t slot)
{
    uint32_t more[2 * CHAIN_MAX];
    const uint32_t n = chains_of(&j->map, slot, more);
    put_back(j, slot);
    for (uint32_t i = 0; i < n; i++) put_back(j, more[i]);
}

// --- From its making to its end.

enum rw_err store_journal_open(struct store *s, uint16_t epoch, uint8_t worker, uint32_t slots,
                               struct store_journal **ret)
{
    if (slots == 0) slots = STORE_JOURNAL_SLOTS;
    MUST((slots & (slots - 1)) == 0 && slots <= STORE_JOURNAL_SLOTS_MAX);
    struct store_journal *j = calloc(1, sizeof *j);
    if (!j) return (enum rw_err) - ENOMEM;
    j->worker = worker;
    j->map.fd = -1;
    j->unused = calloc(3 * (size_t)slots, sizeof *j->unused);
    enum rw_err err = j->unused ? RW_OK : (enum rw_err) - ENOMEM;
    if (!err) err = store_journal_make(s, epoch, worker, slots, &j->map);
    if (err) {
        free(j->unused);
        free(j);
        return err;
    }
    j->done = j->unused + slots;
    j->back = j->done + slots;
    // The first slot lies on top.
    for (uint32_t i = slots; i-- > 0;) j->unused[j->unused_count++] = i;
    *ret = j;
    return RW_OK;
}

void store_journal_close(struct store_journal *j)
{
    take_back(j);
    store_journal_unmap(&j->map, j->unused_count == j->map.slots);
    free(j->unused);
    free(j);
}

// --- The writer's part.

struct journal_map *store_journal_map(struct store_journal *j)
{
    return &j->map;
}

uint8_t store_journal_worker(const struct store_journal *j)
{
    return j->worker;
}

bool store_slot_unasked(const struct journal_slot *s)
{
    return atomic_load_explicit(&s->state, memory_order_acquire) == SLOT_OPEN && s->open.text_bytes == 0 &&
        atomic_load_explicit(&s->retext, memory_order_acquire) == STORE_SLOT_NONE;
}

uint32_t store_slots_waiting(struct store_journal *j, uint32_t *ret, uint32_t max)
{
    const uint64_t tail = atomic_load_explicit(&j->done_tail, memory_order_relaxed);
    const uint64_t head = atomic_load_explicit(&j->done_head, memory_order_acquire);
    const uint32_t n = head - tail < max ? (uint32_t)(head - tail) : max;
    for (uint32_t i = 0; i < n; i++) ret[i] = j->done[(tail + i) & (j->map.slots - 1)];
    return n;
}

void store_slots_free(struct store_journal *j, uint32_t n)
{
    uint32_t more[2 * CHAIN_MAX];
    uint64_t tail = atomic_load_explicit(&j->done_tail, memory_order_relaxed);
    uint64_t back = atomic_load_explicit(&j->back_head, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++, tail++) {
        const uint32_t slot = j->done[tail & (j->map.slots - 1)];
        const uint32_t texts = chains_of(&j->map, slot, more);
        atomic_store_explicit(&j->map.slot[slot].state, SLOT_FREE, memory_order_release);
        j->back[back++ & (j->map.slots - 1)] = slot;
        for (uint32_t k = 0; k < texts; k++) {
            atomic_store_explicit(&j->map.slot[more[k]].state, SLOT_FREE, memory_order_release);
            j->back[back++ & (j->map.slots - 1)] = more[k];
        }
    }
    atomic_store_explicit(&j->back_head, back, memory_order_release);
    atomic_store_explicit(&j->done_tail, tail, memory_order_release);
}

// --- Reading a slot.

// A piece of text. RW_E_CORRUPT.
static enum rw_err piece_read(const struct journal_map *m, uint32_t i, bool checked,
                              const struct journal_text **ret)
{
    if (i >= m->slots) return RW_E_CORRUPT;
    const struct journal_text *t = journal_text_at(m, i);
    if (atomic_load_explicit(&t->state, memory_order_acquire) != SLOT_TEXT) return RW_E_CORRUPT;
    if (t->n == 0 || t->n > SLOT_MORE_BYTES) return RW_E_CORRUPT;
    if (checked && t->crc != store_slot_text_crc(t)) return RW_E_CORRUPT;
    *ret = t;
    return RW_OK;
}

// Behind the n bytes that are there.
static enum rw_err chain_read(const struct journal_map *m, uint32_t first, bool checked, uint8_t *bytes,
                              uint32_t n, struct span *ret)
{
    for (uint32_t i = first; i != STORE_SLOT_NONE;) {
        const struct journal_text *t;
        RW_TRY(piece_read(m, i, checked, &t));
        i = t->next;
        if (n == 0 && i == STORE_SLOT_NONE) {
            *ret = span_of(t->bytes, t->n); // all of it in one piece: as it lies
            return RW_OK;
        }
        if (t->n > STORE_RECORD_BYTES_MAX - n) return RW_E_CORRUPT;
        memcpy(bytes + n, t->bytes, t->n);
        n += t->n;
    }
    *ret = span_of(bytes, n);
    return RW_OK;
}

static enum rw_err texts_read(const struct journal_map *m, const struct journal_slot *s, bool checked,
                              uint8_t *bytes, struct store_texts *ret)
{
    struct span all;
    const uint32_t other = atomic_load_explicit(&s->retext, memory_order_acquire);
    if (other != STORE_SLOT_NONE) {
        RW_TRY(chain_read(m, other, checked, bytes, 0, &all));
        return store_texts_decode(all, ret);
    }
    if (s->open.text_bytes == 0) return RW_OK;
    const uint32_t n = s->open.text_bytes < SLOT_TEXT_BYTES ? s->open.text_bytes : SLOT_TEXT_BYTES;
    memcpy(bytes, s->text, n);
    RW_TRY(chain_read(m, s->open.text_next, checked, bytes, n, &all));
    return all.n == s->open.text_bytes ? store_texts_decode(all, ret) : RW_E_CORRUPT;
}

static void final_read(const struct slot_final *f, struct store_record *r)
{
    r->status = f->status;
    r->attempts = f->attempts;
    r->cache = f->cache;
    memcpy(r->tokens, f->tokens, sizeof r->tokens);
    store_record_money_set(r, f->cost_nanos);
    r->bytes_in = f->bytes_in;
    r->bytes_out = f->bytes_out;
    r->duration_us = f->duration_us;
    r->first_byte_us = f->first_byte_us;
    r->overhead_us = f->overhead_us;
    r->end = span_of(f->end, strnlen(f->end, SLOT_END_BYTES));
}

enum rw_err store_slot_read(const struct journal_map *m, uint32_t slot, bool checked, uint8_t *bytes,
                            struct store_record *ret)
{
    const struct journal_slot *s = &m->slot[slot];
    const uint32_t state = atomic_load_explicit(&s->state, memory_order_acquire);
    if (state != SLOT_OPEN && state != SLOT_FINAL) return RW_E_CORRUPT;
    if (checked && s->open_crc != store_slot_open_crc(s)) return RW_E_CORRUPT;
    *ret = (struct store_record){.part = s->open.part,
                                 .dialect = s->open.dialect,
                                 .flags = s->open.flags,
                                 .tenant = s->open.tenant,
                                 .team = s->open.team,
                                 .key = s->open.key};
    memcpy(ret->id, s->open.id, STORE_ID_BYTES);
    if (state == SLOT_FINAL) {
        if (checked && s->final_crc != store_slot_final_crc(s)) return RW_E_CORRUPT;
        ret->flags |= s->final.flags;
        final_read(&s->final, ret);
    } else {
        ret->flags |= STORE_CRASHED | STORE_ESTIMATED | STORE_FAILED;
        ret->tokens[STORE_TOKENS_OTHER] = atomic_load_explicit(&s->estimate_tokens, memory_order_acquire);
        ret->cost_nanos = atomic_load_explicit(&s->estimate_nanos, memory_order_acquire);
        ret->end = SPAN("crashed");
    }
    return texts_read(m, s, checked, bytes, &ret->texts);
}
