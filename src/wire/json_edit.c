// See json_edit.h.
#include "wire/json_edit.h"

#include "base/check.h"

void json_edits_init(struct json_edits *e, struct span body, const struct json_scan *scan)
{
    e->body = body;
    e->scan = scan;
    e->n = 0;
    e->err = RW_OK;
    e->scratch_n = 0;
    e->top_inserted = false;
}

static void fail(struct json_edits *e, enum rw_err err)
{
    if (e->err == RW_OK) e->err = err;
}

void json_edits_add(struct json_edits *e, uint32_t off, uint32_t len, struct span with)
{
    if (off > e->body.n || len > e->body.n - off) {
        fail(e, RW_E_BAD);
    } else if (e->n == JSON_EDITS_MAX) {
        fail(e, RW_E_TOO_LARGE);
    } else {
        e->edit[e->n++] = (struct json_edit){off, len, with};
    }
}

void json_edits_replace(struct json_edits *e, const struct json_value *v, struct span with)
{
    MUST(v->type != JSON_ABSENT);
    json_edits_add(e, v->off, v->len, with);
}

static void put(struct json_edits *e, struct span s)
{
    if (s.n > JSON_EDIT_SCRATCH_BYTES - e->scratch_n) {
        fail(e, RW_E_TOO_LARGE);
        return;
    }
    if (s.n) memcpy(e->scratch + e->scratch_n, s.p, s.n);
    e->scratch_n += s.n;
}

static void put_key(struct json_edits *e, struct span key)
{
    put(e, SPAN("\""));
    put(e, key);
    put(e, SPAN("\":"));
}

// Inserts what was put together in the scratch since `from`.
static void add_scratch(struct json_edits *e, uint32_t off, uint32_t len, uint32_t from)
{
    if (e->err == RW_OK && (len || from < e->scratch_n))
        json_edits_add(e, off, len, span_of(e->scratch + from, e->scratch_n - from));
}

// A value that is too long for the scratch is pointed at, between a piece before and a piece behind.
static void put_value(struct json_edits *e, uint32_t off, uint32_t *from, struct span with)
{
    if (with.n <= JSON_EDIT_SCRATCH_BYTES / 4) {
        put(e, with);
        return;
    }
    add_scratch(e, off, 0, *from);
    json_edits_add(e, off, 0, with);
    *from = e->scratch_n;
}

// Where the next member goes into the top-level object, and what separates it from the others.
static struct span begin_member(struct json_edits *e)
{
    MUST(e->scan && e->scan->top_object);
    if (!e->scan->top_empty) return SPAN(",");
    // Into an object without members each insertion stands behind the one before.
    if (e->top_inserted) put(e, SPAN(","));
    e->top_inserted = true;
    return SPAN("");
}

void json_edits_set(struct json_edits *e, const struct json_value *v, struct span key, struct span with)
{
    if (v->type != JSON_ABSENT) {
        json_edits_replace(e, v, with);
        return;
    }
    uint32_t from = e->scratch_n;
    const struct span behind = begin_member(e);
    put_key(e, key);
    put_value(e, e->scan->top, &from, with);
    put(e, behind);
    add_scratch(e, e->scan->top, 0, from);
}

enum rw_err json_edits_set_in(struct json_edits *e, const struct json_value *outer, struct span outer_key,
                              const struct json_value *inner, struct span inner_key, struct span with)
{
    uint32_t from = e->scratch_n;
    struct span behind;
    switch (outer->type) {
    case JSON_OBJECT:
        if (inner->type != JSON_ABSENT) {
            json_edits_replace(e, inner, with);
            return RW_OK;
        }
        put_key(e, inner_key);
        put_value(e, outer->off + 1, &from, with);
        if (outer->count) put(e, SPAN(","));
        add_scratch(e, outer->off + 1, 0, from);
        return RW_OK;
    case JSON_NULL:
        put(e, SPAN("{"));
        put_key(e, inner_key);
        put_value(e, outer->off, &from, with);
        put(e, SPAN("}"));
        add_scratch(e, outer->off, outer->len, from);
        return RW_OK;
    case JSON_ABSENT:
        behind = begin_member(e);
        put_key(e, outer_key);
        put(e, SPAN("{"));
        put_key(e, inner_key);
        put_value(e, e->scan->top, &from, with);
        put(e, SPAN("}"));
        put(e, behind);
        add_scratch(e, e->scan->top, 0, from);
        return RW_OK;
    default: return RW_E_BAD;
    }
}

// By place; at one place insertions first and in the order in which they were given.
static void sort_edits(struct json_edits *e)
{
    for (uint32_t i = 1; i < e->n; i++) {
        const struct json_edit edit = e->edit[i];
        uint32_t at = i;
        for (; at > 0; at--) {
            const struct json_edit *const before = &e->edit[at - 1];
            if (before->off < edit.off || (before->off == edit.off && (before->len == 0 || edit.len > 0)))
                break;
            e->edit[at] = *before;
        }
        e->edit[at] = edit;
    }
}

struct gather {
    struct iovec *iov;
    uint32_t n, cap;
    uint64_t bytes;
    bool full;
};

static void add_piece(struct gather *g, struct span s)
{
    if (s.n == 0) return;
    if (g->n == g->cap) {
        g->full = true;
        return;
    }
    // The kernel only reads what an iovec for sending points at.
    g->iov[g->n++] = (struct iovec){(void *)(uintptr_t)s.p, s.n};
    g->bytes += s.n;
}

enum rw_err json_edits_gather(struct json_edits *e, struct iovec *iov, uint32_t cap, uint32_t *ret_n,
                              uint32_t *ret_bytes)
{
    if (e->err != RW_OK) return e->err;
    struct gather g = {.iov = iov, .cap = cap};
    uint32_t at = 0;
    sort_edits(e);
    for (uint32_t i = 0; i < e->n; i++) {
        const struct json_edit *const edit = &e->edit[i];
        if (edit->off < at) return RW_E_BAD;
        add_piece(&g, span_of(e->body.p + at, edit->off - at));
        add_piece(&g, edit->with);
        at = edit->off + edit->len;
    }
    add_piece(&g, span_from(e->body, at));
    if (g.full || g.bytes > UINT32_MAX) return RW_E_TOO_LARGE;
    *ret_n = g.n;
    *ret_bytes = (uint32_t)g.bytes;
    return RW_OK;
}
