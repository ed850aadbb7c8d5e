// See gzip.h. zlib does the work; its memory is cut from the caller's, front to back, and never given back.
#include "wire/gzip.h"

#define ZLIB_CONST
#include <zlib.h>

#define MEMORY_ALIGN 16u
// The largest window, and the header and trailer of gzip.
#define WINDOW_BITS (15 + 16)

struct gzip {
    z_stream z;
    uint8_t *free; // of the caller's memory
    uint32_t free_bytes;
    uint64_t in_bytes, out_bytes;
    const char *reason;
    enum rw_err err;
    bool between; // the last member has ended, and no other has begun
};

static voidpf cut(voidpf opaque, uInt items, uInt size)
{
    struct gzip *g = opaque;
    const uint64_t n = ((uint64_t)items * size + MEMORY_ALIGN - 1) & ~(uint64_t)(MEMORY_ALIGN - 1);
    if (COUNT_IF(n > g->free_bytes)) return NULL;
    uint8_t *p = g->free;
    g->free += n;
    g->free_bytes -= (uint32_t)n;
    return p;
}

static void keep(voidpf opaque, voidpf p)
{
    (void)opaque;
    (void)p;
}

struct gzip *gzip_open(uint8_t *memory)
{
    const uint32_t own = (sizeof(struct gzip) + MEMORY_ALIGN - 1) & ~(uint32_t)(MEMORY_ALIGN - 1);
    struct gzip *g = (struct gzip *)(void *)memory;
    MUST((uintptr_t)memory % MEMORY_ALIGN == 0);
    *g = (struct gzip){.free = memory + own, .free_bytes = GZIP_MEMORY_BYTES - own, .reason = ""};
    g->z.zalloc = cut;
    g->z.zfree = keep;
    g->z.opaque = g;
    const int r = inflateInit2(&g->z, WINDOW_BITS);
    MUST(r == Z_OK); // the version is the one that was linked, and its state fits
    return g;
}

static enum rw_err bad(struct gzip *g, enum rw_err err, const char *reason)
{
    g->err = err;
    g->reason = reason;
    return err;
}

// One step of zlib. 1: there may be more to do with the same input and room, 0: not.
static int step(struct gzip *g, struct span *in, uint8_t *out, uint32_t cap, uint32_t *out_n)
{
    z_stream *z = &g->z;
    if (g->between) {
        if (in->n == 0) return 0;
        const int reset = inflateReset(z);
        MUST(reset == Z_OK);
        g->between = false;
    }
    z->next_in = in->p;
    z->avail_in = in->n;
    z->next_out = out + *out_n;
    z->avail_out = cap - *out_n;
    const int r = inflate(z, Z_SYNC_FLUSH);
    const uint32_t used = in->n - z->avail_in, made = cap - *out_n - z->avail_out;
    *in = span_from(*in, used);
    *out_n += made;
    g->in_bytes += used;
    g->out_bytes += made;
    g->between = r == Z_STREAM_END;
    const bool stuck = r == Z_BUF_ERROR && in->n > 0 && *out_n < cap;
    if (stuck || (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR))
        return bad(g, RW_E_BAD, r == Z_MEM_ERROR ? "its gzip needs too much memory" : "its gzip is damaged");
    if (g->out_bytes > GZIP_FREE_BYTES && g->out_bytes / GZIP_RATIO_MAX > g->in_bytes)
        return bad(g, RW_E_TOO_LARGE, "its gzip grows beyond all measure");
    return *out_n < cap && (used > 0 || made > 0);
}

enum rw_err gzip_next(struct gzip *g, struct span *in, uint8_t *out, uint32_t cap, uint32_t *ret_out)
{
    MUST(cap > 0);
    if (g->err) return g->err;
    uint32_t n = 0;
    int more = 1;
    while (more > 0) more = step(g, in, out, cap, &n);
    if (more < 0) return g->err;
    *ret_out = n;
    return RW_OK;
}

bool gzip_whole(const struct gzip *g)
{
    return g->between && !g->err;
}

const char *gzip_reason(const struct gzip *g)
{
    return g->reason;
}
