// See cache.h. The index is an array of sets of eight ways; a place is a segment, an offset and a length in units of 64 bytes.
#include "store/cache.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "store/crc.h"
#include "store/store_priv.h"
#include "tls/crypto.h"

#define SEGMENTS 32
#define WAYS 8
#define UNIT 64
#define MAGIC UINT32_C(0x41435752) // "RWCA"
#define FORMAT 1
#define SECRET_BYTES 8
// A set of the index for this many bytes of the files: entries of 1 KiB find room, larger ones leave it half empty.
#define BYTES_PER_SET KIB(8)
#define SETS_MIN (1u << 8)
#define SETS_MAX (1u << 19)
#define PLACE_BITS 28
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)
#define SEGMENT_BYTES_MAX ((PLACE_MASK + 1) * UNIT / 2)
#define PATH_BYTES (STORE_PATH_BYTES_MAX + 32)
#define LOCK_EVERY_MS 1000

struct segment_head {
    uint32_t magic, format;
    uint64_t round; // of the circle: larger ones are newer
    uint8_t zero[40];
    uint32_t zero_more;
    uint32_t crc; // of all above
};
static_assert(sizeof(struct segment_head) == UNIT, "a unit");

struct record_head {
    uint32_t magic;
    uint32_t bytes; // of the whole record, a multiple of UNIT
    uint64_t hash;
    uint64_t round;
    int64_t made_ms, expires_ms;
    uint32_t key_n, meta_n, body_n;
    uint32_t payload_crc;
    uint32_t zero;
    uint32_t crc; // of all above
};
static_assert(sizeof(struct record_head) == UNIT, "a unit");

struct way {
    _Atomic uint64_t hash;
    _Atomic uint64_t place; // 0: empty
};

struct segment {
    int fd;
    _Atomic uint64_t round; // 0: empty
    uint64_t used; // bytes; the writer's
};

struct store_answers {
    struct way *index;
    uint64_t index_bytes;
    uint32_t set_mask;
    uint64_t seed, hash_mask;
    uint64_t segment_bytes;
    bool sync;
    struct segment segment[SEGMENTS];
    uint32_t current;
    uint64_t rounds; // the newest
    int lock_fd;
    int64_t lock_at_ms;
    char dir[STORE_PATH_BYTES_MAX];
    pthread_mutex_t lock; // of the queue
    struct store_cache_put *first, *last;
    _Atomic bool purging;
    _Atomic bool writes;
    _Atomic uint64_t entries, bytes, written, evicted, purged, failed, damaged, purges;
};

static void count(_Atomic uint64_t *n, uint64_t more)
{
    atomic_fetch_add_explicit(n, more, memory_order_relaxed);
}

// --- Places.

static uint64_t place_make(uint32_t segment, uint64_t off, uint64_t bytes)
{
    return (uint64_t)segment << 2 * PLACE_BITS | off / UNIT << PLACE_BITS | bytes / UNIT;
}

static uint32_t place_segment(uint64_t at)
{
    return (uint32_t)(at >> 2 * PLACE_BITS);
}

static off_t place_offset(uint64_t at)
{
    return (off_t)((at >> PLACE_BITS & PLACE_MASK) * UNIT);
}

static uint32_t place_bytes(uint64_t at)
{
    return (uint32_t)((at & PLACE_MASK) * UNIT);
}

// --- The index.

static struct way *set_of(const struct store_answers *c, uint64_t hash)
{
    return &c->index[(size_t)(hash & c->set_mask) * WAYS];
}

uint64_t store_cache_hash(const struct store_answers *c, struct span key)
{
    return map_hash(key, c->seed) & c->hash_mask;
}

bool store_cache_find(const struct store_answers *c, uint64_t hash, struct store_cache_place *ret)
{
    const struct way *w = set_of(c, hash);
    for (int i = 0; i < WAYS; i++) {
        if (atomic_load_explicit(&w[i].hash, memory_order_relaxed) != hash) continue;
        const uint64_t at = atomic_load_explicit(&w[i].place, memory_order_acquire);
        if (!at) continue;
        *ret = (struct store_cache_place){.at = at, .bytes = place_bytes(at)};
        return true;
    }
    return false;
}

static uint64_t age_of(const struct store_answers *c, uint64_t at)
{
    return c->rounds - atomic_load_explicit(&c->segment[place_segment(at)].round, memory_order_relaxed);
}

static void index_put(struct store_answers *c, uint64_t hash, uint64_t at)
{
    struct way *w = set_of(c, hash), *same = NULL, *empty = NULL, *oldest = w;
    for (int i = 0; i < WAYS; i++) {
        if (!w[i].place) empty = &w[i];
        else if (w[i].hash == hash) same = &w[i];
        else if (oldest->place && age_of(c, w[i].place) > age_of(c, oldest->place)) oldest = &w[i];
    }
    struct way *to = same ? same : empty ? empty : oldest;
    if (to == empty) count(&c->entries, 1);
    else if (to == oldest && to != same) count(&c->evicted, 1);
    atomic_store_explicit(&to->place, 0, memory_order_release);
    atomic_store_explicit(&to->hash, hash, memory_order_release);
    atomic_store_explicit(&to->place, at, memory_order_release);
}

// Takes out what lies in a segment (SEGMENTS: in any). Returns how many.
static uint64_t index_drop(struct store_answers *c, uint32_t segment)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ((size_t)c->set_mask + 1) * WAYS; i++) {
        const uint64_t at = atomic_load_explicit(&c->index[i].place, memory_order_relaxed);
        if (!at || (segment < SEGMENTS && place_segment(at) != segment)) continue;
        atomic_store_explicit(&c->index[i].place, 0, memory_order_release);
        n++;
    }
    atomic_fetch_sub_explicit(&c->entries, n, memory_order_relaxed);
    return n;
}

// --- Records.

static uint32_t head_crc(const struct record_head *h)
{
    return store_crc32c(h, offsetof(struct record_head, crc));
}

static bool head_good(const struct store_answers *c, const struct record_head *h, uint64_t round)
{
    const uint64_t need = UNIT + (uint64_t)h->key_n + h->meta_n + h->body_n;
    return h->magic == MAGIC && h->crc == head_crc(h) && h->round == round && h->bytes % UNIT == 0 &&
        need <= h->bytes && h->bytes <= c->segment_bytes;
}

bool store_cache_read(struct store_answers *c, const struct store_cache_place *place, uint64_t hash,
                      struct span asked, int64_t now_ms, uint8_t *buf, struct store_cache_entry *ret)
{
    const struct segment *s = &c->segment[place_segment(place->at) % SEGMENTS];
    const uint64_t round = atomic_load_explicit(&s->round, memory_order_acquire);
    const ssize_t got = pread(s->fd, buf, place->bytes, place_offset(place->at));
    struct record_head h;
    if (got < UNIT) return false;
    memcpy(&h, buf, sizeof h);
    if (!head_good(c, &h, round) || h.hash != hash || h.bytes != place->bytes || got != (ssize_t)h.bytes) {
        // Else its segment was emptied meanwhile.
        if (round == atomic_load_explicit(&s->round, memory_order_acquire)) count(&c->damaged, 1);
        return false;
    }
    const uint8_t *p = buf + UNIT;
    if (store_crc32c(p, (size_t)h.key_n + h.meta_n + h.body_n) != h.payload_crc) {
        count(&c->damaged, 1);
        return false;
    }
    const struct span stored = {p, h.key_n};
    if (h.expires_ms <= now_ms || !span_eq(asked, stored)) return false;
    *ret = (struct store_cache_entry){.made_ms = h.made_ms,
                                      .expires_ms = h.expires_ms,
                                      .meta = span_of(p + h.key_n, h.meta_n),
                                      .body = span_of(p + h.key_n + h.meta_n, h.body_n)};
    return true;
}

uint64_t store_cache_record_max(const struct store_answers *c)
{
    return c->segment_bytes - UNIT;
}

// --- Writing.

static bool write_segment_head(const struct segment *s, uint64_t round)
{
    struct segment_head h = {.magic = MAGIC, .format = FORMAT, .round = round};
    h.crc = store_crc32c(&h, offsetof(struct segment_head, crc));
    return pwrite(s->fd, &h, sizeof h, 0) == (ssize_t)sizeof h;
}

// Empties a segment. What is read from it meanwhile is of another round.
static void segment_empty(struct store_answers *c, uint32_t i)
{
    struct segment *s = &c->segment[i];
    atomic_store_explicit(&s->round, 0, memory_order_release);
    (void)!ftruncate(s->fd, 0);
    atomic_fetch_sub_explicit(&c->bytes, s->used, memory_order_relaxed);
    s->used = 0;
}

static bool sync_current(const struct store_answers *c)
{
    return !c->sync || fdatasync(c->segment[c->current].fd) == 0;
}

static bool segment_next(struct store_answers *c)
{
    if (!sync_current(c)) return false;
    c->current = (c->current + 1) % SEGMENTS;
    struct segment *s = &c->segment[c->current];
    if (s->used) count(&c->evicted, index_drop(c, c->current));
    segment_empty(c, c->current);
    if (!write_segment_head(s, ++c->rounds)) return false;
    s->used = UNIT;
    count(&c->bytes, UNIT);
    atomic_store_explicit(&s->round, c->rounds, memory_order_release);
    return true;
}

static bool write_all(int fd, struct iovec *iov, int n, off_t at, uint64_t bytes)
{
    while (bytes > 0) {
        const ssize_t did = pwritev(fd, iov, n, at);
        if (did <= 0) return false;
        at += did;
        bytes -= (uint64_t)did;
        for (size_t left = (size_t)did; left > 0;) {
            const size_t step = left < iov->iov_len ? left : iov->iov_len;
            iov->iov_base = (uint8_t *)iov->iov_base + step;
            iov->iov_len -= step;
            left -= step;
            if (iov->iov_len == 0) iov++, n--;
        }
    }
    return true;
}

static bool put(struct store_answers *c, const struct store_cache_put *p)
{
    static const uint8_t zero[UNIT];
    struct iovec iov[STORE_CACHE_IOV_MAX + 4];
    struct record_head h = {.magic = MAGIC,
                            .hash = p->hash,
                            .made_ms = p->made_ms,
                            .expires_ms = p->expires_ms,
                            .key_n = p->key.n,
                            .meta_n = p->meta.n};
    uint64_t body = 0;
    MUST(p->body_n <= STORE_CACHE_IOV_MAX);
    iov[1] = (struct iovec){.iov_base = (void *)(uintptr_t)p->key.p, .iov_len = p->key.n};
    iov[2] = (struct iovec){.iov_base = (void *)(uintptr_t)p->meta.p, .iov_len = p->meta.n};
    for (uint32_t i = 0; i < p->body_n; i++) {
        iov[3 + i] = p->body[i];
        body += p->body[i].iov_len;
    }
    const uint64_t need = UNIT + p->key.n + p->meta.n + body, bytes = (need + UNIT - 1) / UNIT * UNIT;
    if (bytes > store_cache_record_max(c)) return false;
    struct segment *s = &c->segment[c->current];
    if (!s->used || s->used + bytes > c->segment_bytes) {
        if (!segment_next(c)) return false;
        s = &c->segment[c->current];
    }
    for (uint32_t i = 0; i < p->body_n + 2; i++)
        h.payload_crc = store_crc32c_more(h.payload_crc, iov[1 + i].iov_base, iov[1 + i].iov_len);
    h.body_n = (uint32_t)body;
    h.bytes = (uint32_t)bytes;
    h.round = c->rounds;
    h.crc = head_crc(&h);
    iov[0] = (struct iovec){.iov_base = &h, .iov_len = sizeof h};
    iov[3 + p->body_n] = (struct iovec){.iov_base = (void *)(uintptr_t)zero, .iov_len = bytes - need};
    // What fails half-way is written over by the next, or ends the segment when it is read again.
    if (!write_all(s->fd, iov, (int)p->body_n + 4, (off_t)s->used, bytes)) return false;
    index_put(c, p->hash, place_make(c->current, s->used, bytes));
    s->used += bytes;
    count(&c->bytes, bytes);
    return true;
}

void store_cache_post(struct store_answers *c, struct store_cache_put *p)
{
    p->next = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->last) c->last->next = p;
    else c->first = p;
    c->last = p;
    pthread_mutex_unlock(&c->lock);
}

static struct store_cache_put *take(struct store_answers *c)
{
    pthread_mutex_lock(&c->lock);
    struct store_cache_put *p = c->first;
    if (p) c->first = p->next;
    if (!c->first) c->last = NULL;
    pthread_mutex_unlock(&c->lock);
    return p;
}

void store_cache_purge(struct store_answers *c)
{
    atomic_store(&c->purging, true);
}

static void purge(struct store_answers *c)
{
    count(&c->purged, index_drop(c, SEGMENTS));
    for (uint32_t i = 0; i < SEGMENTS; i++) segment_empty(c, i);
    count(&c->purges, 1);
}

// --- Opening.

// The records of a segment, as far as they are whole.
static void segment_load(struct store_answers *c, uint32_t i)
{
    struct segment *s = &c->segment[i];
    struct segment_head head;
    struct record_head h;
    if (pread(s->fd, &head, sizeof head, 0) != (ssize_t)sizeof head || head.magic != MAGIC ||
        head.format != FORMAT || head.round == 0 ||
        head.crc != store_crc32c(&head, offsetof(struct segment_head, crc)))
        return;
    struct stat st;
    if (fstat(s->fd, &st) != 0) return;
    s->used = UNIT;
    atomic_store_explicit(&s->round, head.round, memory_order_release);
    if (head.round > c->rounds) {
        c->rounds = head.round;
        c->current = i;
    }
    while (pread(s->fd, &h, sizeof h, (off_t)s->used) == (ssize_t)sizeof h && head_good(c, &h, head.round) &&
           s->used + h.bytes <= (uint64_t)st.st_size) {
        index_put(c, h.hash & c->hash_mask, place_make(i, s->used, h.bytes));
        s->used += h.bytes;
    }
    count(&c->bytes, s->used);
}

static void load(struct store_answers *c)
{
    (void)index_drop(c, SEGMENTS);
    c->rounds = 0;
    c->current = SEGMENTS - 1;
    atomic_store(&c->bytes, 0);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        c->segment[i].used = 0;
        atomic_store(&c->segment[i].round, 0);
        segment_load(c, i);
    }
}

// A folder made for a larger bound has longer segments, and this one's owner keeps to his own.
static void become_writer(struct store_answers *c)
{
    if (store_file_lock(c->lock_fd, F_WRLCK, false) != RW_OK) return;
    load(c);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        struct segment *s = &c->segment[i];
        if (s->used > c->segment_bytes) {
            (void)index_drop(c, i);
            segment_empty(c, i);
        } else {
            (void)!ftruncate(s->fd, (off_t)s->used);
        }
    }
    atomic_store(&c->writes, true);
}

static int open_in(const struct store_answers *c, const char *name)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", c->dir, name);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static enum rw_err read_secret(struct store_answers *c)
{
    uint64_t secret[2] = {0};
    const int fd = open_in(c, "secret");
    if (fd < 0) return rw_errno();
    enum rw_err err = store_file_lock(fd, F_WRLCK, true);
    // Its twin is for the case that it was torn: other keys than before are only misses.
    if (!err && (pread(fd, secret, sizeof secret, 0) != (ssize_t)sizeof secret || secret[0] != ~secret[1])) {
        crypto_random(secret, sizeof *secret);
        secret[1] = ~secret[0];
        if (pwrite(fd, secret, sizeof secret, 0) != (ssize_t)sizeof secret) err = rw_errno();
    }
    (void)close(fd);
    c->seed = secret[0];
    return err;
}

static enum rw_err open_files(struct store_answers *c)
{
    char name[16];
    if (mkdir(c->dir, 0700) != 0 && errno != EEXIST) return rw_errno();
    c->lock_fd = open_in(c, "lock");
    if (c->lock_fd < 0) return rw_errno();
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        (void)snprintf(name, sizeof name, "%02u", i);
        c->segment[i].fd = open_in(c, name);
        if (c->segment[i].fd < 0) return rw_errno();
    }
    return read_secret(c);
}

enum rw_err store_cache_open(const struct store_cache_cfg *cfg, struct store_answers **ret)
{
    const size_t n = strlen(cfg->dir);
    if (n == 0 || n >= STORE_PATH_BYTES_MAX) return (enum rw_err) - ENAMETOOLONG;
    struct store_answers *c = calloc(1, sizeof *c);
    if (!c) return (enum rw_err) - ENOMEM;
    memcpy(c->dir, cfg->dir, n);
    pthread_mutex_init(&c->lock, NULL);
    c->lock_fd = -1;
    c->sync = cfg->sync;
    for (uint32_t i = 0; i < SEGMENTS; i++) c->segment[i].fd = -1;
    c->hash_mask = cfg->hash_bits ? (UINT64_C(1) << cfg->hash_bits) - 1 : UINT64_MAX;
    c->segment_bytes = cfg->bytes_max / SEGMENTS / UNIT * UNIT;
    if (c->segment_bytes < KIB(64)) c->segment_bytes = KIB(64);
    if (c->segment_bytes > SEGMENT_BYTES_MAX) c->segment_bytes = SEGMENT_BYTES_MAX;
    uint32_t sets = SETS_MIN;
    while (sets < SETS_MAX && sets * BYTES_PER_SET < c->segment_bytes * SEGMENTS) sets *= 2;
    c->set_mask = sets - 1;
    c->index_bytes = (uint64_t)sets * WAYS * sizeof *c->index;
    // Takes memory as it is touched.
    void *index = mmap(NULL, c->index_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    enum rw_err err = index == MAP_FAILED ? rw_errno() : RW_OK;
    c->index = index == MAP_FAILED ? NULL : index;
    if (!err) err = open_files(c);
    if (err) {
        store_cache_close(c);
        return err;
    }
    become_writer(c);
    if (!c->writes) load(c);
    *ret = c;
    return RW_OK;
}

bool store_cache_step(struct store_answers *c, int64_t now_ms)
{
    bool did = false;
    if (!c->writes && now_ms >= c->lock_at_ms) {
        c->lock_at_ms = now_ms + LOCK_EVERY_MS;
        become_writer(c);
    }
    // Before what waits: an answer that came after the wish stays.
    if (atomic_exchange(&c->purging, false) && c->writes) {
        purge(c);
        did = true;
    }
    struct store_cache_put *first = NULL, **last = &first, *next;
    for (struct store_cache_put *p; (p = take(c)); last = &p->next) {
        p->kept = c->writes && put(c, p);
        p->next = NULL;
        *last = p;
    }
    const bool synced = !first || sync_current(c);
    for (struct store_cache_put *p = first; p; p = next) {
        next = p->next;
        p->kept = p->kept && synced;
        count(p->kept ? &c->written : &c->failed, 1);
        p->done(p, p->kept);
    }
    return did || first;
}

void store_cache_close(struct store_answers *c)
{
    if (!c) return;
    if (c->index) (void)store_cache_step(c, 0);
    for (uint32_t i = 0; i < SEGMENTS; i++)
        if (c->segment[i].fd >= 0) (void)close(c->segment[i].fd);
    if (c->lock_fd >= 0) (void)close(c->lock_fd);
    if (c->index) (void)munmap(c->index, c->index_bytes);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void store_cache_stats(const struct store_answers *c, struct store_cache_stats *ret)
{
    *ret = (struct store_cache_stats){.entries = atomic_load(&c->entries),
                                      .bytes = atomic_load(&c->bytes),
                                      .bytes_max = c->segment_bytes * SEGMENTS,
                                      .written = atomic_load(&c->written),
                                      .evicted = atomic_load(&c->evicted),
                                      .purged = atomic_load(&c->purged),
                                      .failed = atomic_load(&c->failed),
                                      .damaged = atomic_load(&c->damaged),
                                      .purges = atomic_load(&c->purges),
                                      .writes = atomic_load(&c->writes)};
}
