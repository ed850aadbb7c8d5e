// The JSON scan itself, included once by each implementation after its vector functions. In two halves:
//
// fast()   runs through well-formed text, a token in a few instructions: strings and numbers that end
// within a vector
//          or are plain ASCII, no escapes. It never refuses and never looks for the end of the data. At
//          anything it does not know it stops in front of the token.
// slow()   one careful step: a token of any kind, the change to the tail window, a suspension, or the error.
//
// Both go through the text by the same states, so a text may change between them at every token.

#define LITTLE16(a, b) ((uint16_t)((a) | (b) << 8))
#define LITTLE32(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define COLD JSON_ISA static __attribute__((noinline))

// Results of a step.
#define GO 2
#define SUSPEND JSON_NEED_MORE

INLINE uint16_t load16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap16(v);
#endif
    return v;
}

INLINE uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

INLINE uint32_t off(const struct json_window *w, const uint8_t *p)
{
    return (uint32_t)((uintptr_t)p - w->org);
}

// --- The window.

INLINE void copy_ahead(uint8_t *to, const uint8_t *from)
{
    static_assert(JSON_AHEAD == 128, "four copies");
    copy32(to, from);
    copy32(to + 32, from + 32);
    copy32(to + 64, from + 64);
    copy32(to + 96, from + 96);
}

INLINE void clear_ahead(uint8_t *to)
{
    clear32(to);
    clear32(to + 32);
    clear32(to + 64);
    clear32(to + 96);
}

INLINE void window_tail(struct json_window *w, uint32_t pos)
{
    const uint32_t held = w->n < JSON_AHEAD ? w->n : JSON_AHEAD;
    if (RW_LIKELY(held == JSON_AHEAD)) {
        copy_ahead(w->room, w->base + w->n - JSON_AHEAD);
    } else {
        clear_ahead(w->room);
        if (held) memcpy(w->room, w->base, held);
    }
    clear_ahead(w->room + JSON_AHEAD);
    w->tail = true;
    w->org = (uintptr_t)w->room - (w->n - held);
    w->p = w->room + (pos - (w->n - held));
    w->end = w->lim = w->room + held;
}

INLINE void window_open(struct json_window *w, const uint8_t *base, uint32_t pos, uint32_t n)
{
    w->base = base;
    w->n = n;
    w->tail = false;
    w->org = (uintptr_t)base;
    if (n - pos < JSON_AHEAD) {
        window_tail(w, pos);
        return;
    }
    w->p = base + pos;
    w->lim = base + n - JSON_AHEAD;
    w->end = NULL;
}

// --- Text that is not ASCII.

#ifdef VEC
// Which errors a pair of bytes can be part of, looked up by the high and the low nibble of the first byte
// and the high nibble of the second; the pair has those that all three name. After Keiser and Lemire,
// "Validating UTF-8 in less than one instruction per byte", Software: Practice and Experience 51 (2021).
enum {
    PAIR_SHORT = 1 << 0, // a lead without its continuation
    PAIR_LONG = 1 << 1, // a continuation behind ASCII
    PAIR_OVERLONG3 = 1 << 2, // e0 80..9f
    PAIR_LARGE = 1 << 3, // f4 90..bf, f5.. 90..bf
    PAIR_SURROGATE = 1 << 4, // ed a0..bf
    PAIR_OVERLONG2 = 1 << 5, // c0, c1
    PAIR_LARGE_8X = 1 << 6, // f5.. 80..8f
    PAIR_OVERLONG4 = 1 << 6, // f0 80..8f
    PAIR_CONTINUED = 1 << 7, // two continuations: right only as the third or fourth byte
    PAIR_ANY_LOW = PAIR_SHORT | PAIR_LONG | PAIR_CONTINUED,
    PAIR_LOW_5_TO_F = PAIR_ANY_LOW | PAIR_LARGE | PAIR_LARGE_8X,
    PAIR_LEAD_F = PAIR_SHORT | PAIR_LARGE | PAIR_LARGE_8X | PAIR_OVERLONG4,
    PAIR_SECOND = PAIR_LONG | PAIR_OVERLONG2 | PAIR_CONTINUED,
};

static const uint8_t pair_high[16] = {
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_CONTINUED,
    PAIR_CONTINUED,
    PAIR_CONTINUED,
    PAIR_CONTINUED,
    PAIR_SHORT | PAIR_OVERLONG2,
    PAIR_SHORT,
    PAIR_SHORT | PAIR_OVERLONG3 | PAIR_SURROGATE,
    PAIR_LEAD_F,
};

static const uint8_t pair_low[16] = {
    PAIR_ANY_LOW | PAIR_OVERLONG3 | PAIR_OVERLONG2 | PAIR_OVERLONG4,
    PAIR_ANY_LOW | PAIR_OVERLONG2,
    PAIR_ANY_LOW,
    PAIR_ANY_LOW,
    PAIR_ANY_LOW | PAIR_LARGE,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F | PAIR_SURROGATE,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
};

static const uint8_t pair_second[16] = {
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SECOND | PAIR_OVERLONG3 | PAIR_LARGE_8X | PAIR_OVERLONG4,
    PAIR_SECOND | PAIR_OVERLONG3 | PAIR_LARGE,
    PAIR_SECOND | PAIR_SURROGATE | PAIR_LARGE,
    PAIR_SECOND | PAIR_SURROGATE | PAIR_LARGE,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
};

// Lanes of v that are wrong behind what stands before them. `prev` are the bytes in front of v.
INLINE vec utf8_errors(vec v, vec prev)
{
    vec before[3];
    vec_before(v, prev, before);
    const vec high = vec_look_up(vec_table(pair_high), vec_high_nibble(before[0]));
    const vec low = vec_look_up(vec_table(pair_low), vec_low_nibble(before[0]));
    const vec second = vec_look_up(vec_table(pair_second), vec_high_nibble(v));
    // The third byte of e0..ff and the fourth of f0..ff: two continuations are right exactly there.
    const vec third = vec_sub_floor(before[1], 0xe0 - 0x80), fourth = vec_sub_floor(before[2], 0xf0 - 0x80);
    const vec must = vec_and(vec_or(third, fourth), vec_fill(0x80));
    return vec_xor(must, vec_and(vec_and(high, low), second));
}

// The last start of a character up to p. From `from`, itself one, up to p the text is valid but for what is
// cut off by p.
JSON_ISA static const uint8_t *character_start(const uint8_t *p, const uint8_t *from)
{
    const uint8_t *q = p;
    uint32_t character, k;
    for (int i = 0; i < UTF8_BYTES_MAX && q > from; i++)
        if ((*--q & 0xc0) != 0x80) break;
    while ((k = utf8_decode(span_of(q, (size_t)(p - q)), &character)) != 0) q += k;
    return q;
}

// From p, where a character begins that is not ASCII, over text that is valid and needs no attention.
// Returns a start of a character; p itself if the one there is wrong or not whole.
JSON_ISA static const uint8_t *utf8_run(const uint8_t *p, const uint8_t *lim)
{
    const uint8_t *const from = p;
    const struct marks m = marks();
    vec prev = vec_zero();
    for (;;) {
        const vec a = vec_load(p), b = vec_load(p + VEC);
        const vec a_wrong = utf8_errors(a, prev), b_wrong = utf8_errors(b, a);
        const vec a_stop = vec_stop(a, &m), b_stop = vec_stop(b, &m);
        if (RW_UNLIKELY(vec_any(vec_or(vec_or(a_wrong, a_stop), vec_or(b_wrong, b_stop))))) {
            const bool in_a = vec_any(vec_or(a_wrong, a_stop));
            const uint64_t stop = first(vec_nonzero(in_a ? a_stop : b_stop));
            const uint64_t wrong = first(vec_nonzero(in_a ? a_wrong : b_wrong));
            p += in_a ? 0 : VEC;
            return wrong <= stop ? character_start(p + wrong, from) : p + stop;
        }
        p += 2 * VEC;
        if (!vec_mask(vec_or(a, b))) return p;
        if (p > lim) return character_start(p, from);
        prev = b;
    }
}
#else
JSON_ISA static const uint8_t *utf8_run(const uint8_t *p, const uint8_t *lim)
{
    uint32_t character;
    while (p <= lim && *p >= 0x80) {
        const uint32_t k = utf8_decode(span_of(p, UTF8_BYTES_MAX), &character);
        if (k == 0) break;
        p += k;
    }
    return p;
}
#endif

// --- The fast half.

// Behind a number, or NULL: malformed, very long, or perhaps cut by the end of the data.
INLINE const uint8_t *number_end(const uint8_t *p)
{
    p += *p == '-';
    uint64_t k = first(~digits(p));
    if (RW_UNLIKELY(k == 0 || k > 20 || (k > 1 && *p == '0'))) return NULL;
    p += k;
    if (*p == '.') {
        k = first(~digits(p + 1));
        if (RW_UNLIKELY(k == 0 || k > 20)) return NULL;
        p += 1 + k;
    }
    if (RW_UNLIKELY((*p | 0x20) == 'e')) {
        p += p[1] == '+' || p[1] == '-' ? 2 : 1;
        k = first(~digits(p));
        if (k == 0 || k > 20) return NULL;
        p += k;
    }
    return *p ? p : NULL;
}

// The length of the word at p, or 0.
INLINE uint32_t word_length(const uint8_t *p)
{
    const uint32_t four = load32(p);
    if (four == LITTLE32('n', 'u', 'l', 'l') || four == LITTLE32('t', 'r', 'u', 'e')) return 4;
    return four == LITTLE32('f', 'a', 'l', 's') && p[4] == 'e' ? 5 : 0;
}

// The special byte that ends a run of plain ASCII of any length, or the first position from which no vector
// can be loaded.
INLINE const uint8_t *plain_run(const uint8_t *p, const uint8_t *lim, const struct marks *m)
{
    while (p <= lim) {
        const uint32_t mask = special(p, m);
        if (mask) return p + first(mask);
        p += 32;
    }
    return p;
}

// The field of the key at p in a slot of the node, or UINT32_MAX. The quote is compared too, so the length
// is.
INLINE uint32_t field_at(const struct json_fields *fields, uint32_t node, uint32_t bit, const uint8_t *p)
{
    uint32_t next = fields->slot[fields->row[node]][bit];
    for (; next; next = fields->field[next - 1].next) {
        const struct json_field *const f = &fields->field[next - 1];
        if (!(~same(p, f->key) & f->mask)) break;
    }
    return next - 1;
}

// The node of an object that is an element of the array `kind`.
INLINE uint8_t element_node(struct json_scan *s, uint8_t kind)
{
    const uint32_t node = JSON_NODE_ELEMENT((kind & JSON_NODE) - 1u);
    if (kind <= JSON_IS_ARRAY || !s->fields->row[node]) return JSON_NODE_NONE;
    s->seen &= ~s->fields->below[node];
    return (uint8_t)node;
}

INLINE void count_element(struct json_scan *s, uint8_t kind)
{
    if (kind & JSON_NODE) s->value[(kind & JSON_NODE) - 1].count++;
}

// A container of interest ends, its bracket is at `at`.
INLINE void close_node(struct json_scan *s, uint32_t node, uint32_t at)
{
    if (node <= JSON_FIELDS_MAX) s->value[node - 1].len = at + 1 - s->value[node - 1].off;
    if (node == JSON_NODE_TOP) s->close = at;
}

// The registers of fast(). Its pieces are inlined, so that none of this is in memory.
struct run {
    const uint8_t *p;
    const uint8_t *lim;
    uint8_t *sp; // the innermost container
    uint64_t filter; // of its keys
    struct json_scan *s;
    struct json_window *w;
    struct marks marks;
    const uint8_t *key; // with NEXT_INTEREST: its text
    uint32_t bit; // and its slot
    uint32_t state; // in which to stop, valid with NEXT_OUT
};

// What comes next. A piece that stops leaves p in front of the token and says in which state.
enum next { NEXT_OUT, NEXT_KEY, NEXT_QUOTED_KEY, NEXT_VALUE, NEXT_AFTER, NEXT_OPEN, NEXT_INTEREST };

INLINE enum next stop(struct run *r, enum json_state state)
{
    r->state = state;
    return NEXT_OUT;
}

// Up to 32 bytes of white space. False: too near to the end now.
INLINE bool pass_spaces(struct run *r)
{
    r->p += first(~spaces(r->p));
    return r->p <= r->lim;
}

// Goes on in the tail window. False: it is there already, or the text is shorter than it.
INLINE bool run_tail(struct run *r)
{
    if (r->w->tail) return false;
    window_tail(r->w, off(r->w, r->p));
    r->p = r->w->p;
    r->lim = r->w->lim;
    return true;
}

// From the quote to behind the colon.
INLINE enum next run_quoted_key(struct run *r)
{
    if (RW_UNLIKELY(r->p > r->lim) && !run_tail(r)) return stop(r, JSON_S_KEY);
    const uint64_t k = first(special(r->p + 1, &r->marks));
    const uint8_t *const q = r->p + 1 + k;
    if (RW_UNLIKELY(load16(q) != LITTLE16('"', ':'))) return stop(r, JSON_S_KEY);
    r->bit = json_key_bit(q[-1], (uint32_t)k);
    r->key = q - k;
    r->p = q + 2;
    return RW_UNLIKELY(r->filter >> r->bit & 1) ? NEXT_INTEREST : NEXT_VALUE;
}

// Spaces before the quote of a key.
INLINE enum next run_key(struct run *r)
{
    if (r->p <= r->lim && (*r->p == '"' || (pass_spaces(r) && *r->p == '"'))) return NEXT_QUOTED_KEY;
    return stop(r, JSON_S_KEY);
}

// The rest of a string that is longer than a vector or has something special at q.
INLINE enum next run_long_string(struct run *r, const uint8_t *q)
{
    if (q == r->p + 33) q = plain_run(q, r->lim, &r->marks);
    if (*q == '"') {
        r->p = q + 1;
        return NEXT_AFTER;
    }
    r->s->start = off(r->w, r->p);
    r->s->escaped = false;
    r->p = q;
    return stop(r, JSON_S_IN_STRING);
}

INLINE enum next run_string(struct run *r)
{
    const uint8_t *const q = r->p + 1 + first(special(r->p + 1, &r->marks));
    if (RW_UNLIKELY(*q != '"')) return run_long_string(r, q);
    r->p = q + 1;
    return NEXT_AFTER;
}

INLINE enum next run_value(struct run *r)
{
    if (*r->p == '"') return run_string(r);
    if (*r->p == ' ' && *++r->p == '"') return run_string(r);
    if ((uint8_t)(*r->p - '0') <= 9 || *r->p == '-') {
        const uint8_t *const end = number_end(r->p);
        if (RW_UNLIKELY(!end)) return stop(r, JSON_S_VALUE);
        r->p = end;
        return NEXT_AFTER;
    }
    if ((*r->p | 0x20) == '{') return NEXT_OPEN;
    const uint32_t k = word_length(r->p);
    r->p += k;
    if (RW_LIKELY(k)) return NEXT_AFTER;
    if (json_is_space(*r->p) && pass_spaces(r)) return NEXT_VALUE;
    return stop(r, JSON_S_VALUE);
}

// At the bracket of a container whose node is known.
INLINE enum next run_open(struct run *r, uint8_t node)
{
    if (RW_UNLIKELY(r->sp == r->s->stack + JSON_DEPTH_MAX)) return stop(r, JSON_S_VALUE);
    const bool object = *r->p == '{';
    *++r->sp = (uint8_t)(object ? node : node | JSON_IS_ARRAY);
    r->filter = r->s->fields->filter[node];
    r->p++;
    if (object && *r->p == '"') return NEXT_QUOTED_KEY;
    if (json_is_space(*r->p)) r->p += first(~spaces(r->p));
    if (object && *r->p == '"') return NEXT_KEY;
    if (RW_UNLIKELY(object || *r->p == ']' || r->p > r->lim))
        return stop(r, object ? JSON_S_OBJECT : JSON_S_ARRAY);
    count_element(r->s, *r->sp);
    return NEXT_VALUE;
}

// A key that could be one of ours, and its value if that is short and ordinary.
INLINE enum next run_interest(struct run *r)
{
    struct json_scan *const s = r->s;
    const uint32_t f = field_at(s->fields, *r->sp & JSON_NODE, r->bit, r->key);
    if (f == UINT32_MAX) return NEXT_VALUE;
    if (RW_UNLIKELY(*r->p == ' ')) r->p++;
    const uint8_t *const p = r->p, *q = NULL;
    if (*p == '"') {
        q = p + 1 + first(special(p + 1, &r->marks));
        if (RW_UNLIKELY(*q != '"')) goto odd;
        json_note(s, f, JSON_STRING, off(r->w, p), (uint32_t)(++q - p));
    } else if ((*p | 0x20) == '{') {
        if (RW_UNLIKELY(r->sp == s->stack + JSON_DEPTH_MAX)) goto odd;
        json_note(s, f, *p == '{' ? JSON_OBJECT : JSON_ARRAY, off(r->w, p), 0);
        return run_open(r, (uint8_t)JSON_NODE_OF(f));
    } else if (*p == 'n' || *p == 't' || *p == 'f') {
        const uint32_t k = word_length(p);
        if (RW_UNLIKELY(k == 0)) goto odd;
        json_note(s, f, *p == 'n' ? JSON_NULL : *p == 't' ? JSON_TRUE : JSON_FALSE, off(r->w, p), k);
        q = p + k;
    } else {
        if (RW_UNLIKELY((*p != '-' && (uint8_t)(*p - '0') > 9) || (q = number_end(p)) == NULL)) goto odd;
        json_note(s, f, JSON_NUMBER, off(r->w, p), (uint32_t)(q - p));
    }
    r->p = q;
    return NEXT_AFTER;
odd:
    s->field = (uint8_t)f;
    return stop(r, JSON_S_VALUE);
}

INLINE enum next run_close(struct run *r)
{
    if (*r->sp & JSON_NODE) close_node(r->s, *r->sp & JSON_NODE, off(r->w, r->p));
    r->p++;
    r->sp--;
    r->filter = r->s->fields->filter[*r->sp & JSON_NODE];
    if (r->sp == r->s->stack) return stop(r, JSON_S_END);
    return r->p <= r->lim ? NEXT_AFTER : stop(r, JSON_S_AFTER);
}

// Behind a value: a comma or the end of the container.
INLINE enum next run_after(struct run *r)
{
    const bool array = *r->sp & JSON_IS_ARRAY;
    if (!array && load16(r->p) == LITTLE16(',', '"')) {
        r->p++;
        return NEXT_QUOTED_KEY;
    }
    if (*r->p == ',') {
        r->p++;
        if (!array) return NEXT_KEY;
        count_element(r->s, *r->sp);
        return r->p <= r->lim ? NEXT_VALUE : stop(r, JSON_S_VALUE);
    }
    if (*r->p == (array ? ']' : '}')) return run_close(r);
    if (json_is_space(*r->p) && pass_spaces(r) && !json_is_space(*r->p)) return NEXT_AFTER;
    return stop(r, JSON_S_AFTER);
}

// Runs from the token at w->p in s->state as far as it can, and leaves both where it stopped.
JSON_ISA static void fast(struct json_scan *s, struct json_window *w)
{
    struct run r = {.p = w->p, .lim = w->lim, .sp = s->stack + s->depth, .s = s, .w = w, .marks = marks()};
    r.filter = s->fields->filter[*r.sp & JSON_NODE];
    if (s->state == JSON_S_KEY || (s->state == JSON_S_OBJECT && *r.p == '"')) goto key;
    if (s->state == JSON_S_VALUE && s->field == JSON_NO_FIELD && r.p <= r.lim) goto value;
    if (s->state != JSON_S_AFTER) return;

after:
    switch (run_after(&r)) {
    case NEXT_QUOTED_KEY: goto quoted_key;
    case NEXT_KEY: goto key;
    case NEXT_VALUE: goto value;
    case NEXT_AFTER: goto after;
    default: goto out;
    }
key:
    if (run_key(&r) == NEXT_OUT) goto out;
quoted_key:
    switch (run_quoted_key(&r)) {
    case NEXT_VALUE: goto value;
    case NEXT_INTEREST: break;
    default: goto out;
    }
    switch (run_interest(&r)) {
    case NEXT_QUOTED_KEY: goto quoted_key;
    case NEXT_KEY: goto key;
    case NEXT_VALUE: goto value;
    case NEXT_AFTER: goto after;
    default: goto out;
    }
value:
    switch (run_value(&r)) {
    case NEXT_AFTER: goto after;
    case NEXT_VALUE: goto value;
    case NEXT_OPEN: break;
    default: goto out;
    }
    switch (run_open(&r, *r.p == '{' ? element_node(s, *r.sp) : JSON_NODE_NONE)) {
    case NEXT_QUOTED_KEY: goto quoted_key;
    case NEXT_KEY: goto key;
    case NEXT_VALUE: goto value;
    default: goto out;
    }
out:
    w->p = r.p;
    s->state = (uint8_t)r.state;
    s->depth = (uint16_t)(r.sp - s->stack);
}

// --- The slow half. Each step is given p inside the data and leaves w->p behind what it has read.

INLINE int refuse(struct json_scan *s, uint32_t at, enum json_bad bad)
{
    s->pos = at;
    return bad;
}

INLINE int go(struct json_scan *s, struct json_window *w, const uint8_t *p, enum json_state state)
{
    w->p = p;
    s->state = (uint8_t)state;
    return GO;
}

// Where a value ends: in its container, or at the end of the text.
INLINE int value_done(struct json_scan *s, struct json_window *w, const uint8_t *p)
{
    s->field = JSON_NO_FIELD;
    return go(s, w, p, s->depth ? JSON_S_AFTER : JSON_S_END);
}

COLD int slow_open(struct json_scan *s, struct json_window *w)
{
    const uint32_t at = off(w, w->p);
    const bool object = *w->p == '{';
    if (s->depth == JSON_DEPTH_MAX) return refuse(s, at, JSON_BAD_DEPTH);
    const uint8_t kind = s->stack[s->depth];
    uint32_t node = JSON_NODE_NONE;
    if (s->field != JSON_NO_FIELD) {
        node = JSON_NODE_OF(s->field);
        json_note(s, s->field, object ? JSON_OBJECT : JSON_ARRAY, at, 0);
        s->field = JSON_NO_FIELD;
    } else if (s->depth == 0 && object) {
        node = JSON_NODE_TOP;
        s->top_object = true;
        s->top = at + 1;
    } else if (object) {
        node = element_node(s, kind);
    }
    s->stack[++s->depth] = (uint8_t)(object ? node : node | JSON_IS_ARRAY);
    return go(s, w, w->p + 1, object ? JSON_S_OBJECT : JSON_S_ARRAY);
}

COLD int slow_close(struct json_scan *s, struct json_window *w)
{
    const uint32_t node = s->stack[s->depth--] & JSON_NODE;
    if (node) close_node(s, node, off(w, w->p));
    return value_done(s, w, w->p + 1);
}

// true, false or null at w->p, or the beginning of one at the end of the data.
COLD int slow_word(struct json_scan *s, struct json_window *w)
{
    const uint8_t *const p = w->p;
    const char *const word = *p == 't' ? "true" : *p == 'f' ? "false" : "null";
    const uint32_t n = *p == 'f' ? 5 : 4;
    uint32_t k = 1;
    while (k < n && p[k] == (uint8_t)word[k]) k++;
    if (k < n) return p + k == w->end ? SUSPEND : refuse(s, off(w, p), JSON_BAD_WORD);
    if (s->field != JSON_NO_FIELD)
        json_note(s, s->field, *p == 't' ? JSON_TRUE : *p == 'f' ? JSON_FALSE : JSON_NULL, off(w, p), n);
    return value_done(s, w, p + n);
}

// A value begins at w->p, which is no white space.
COLD int slow_value(struct json_scan *s, struct json_window *w)
{
    const uint8_t *const p = w->p;
    s->start = off(w, p);
    switch (*p) {
    case '{':
    case '[': return slow_open(s, w);
    case '"': s->escaped = false; return go(s, w, p + 1, JSON_S_IN_STRING);
    case '-': s->number = JSON_N_MINUS; return go(s, w, p + 1, JSON_S_IN_NUMBER);
    case 't':
    case 'f':
    case 'n': return slow_word(s, w);
    default: break;
    }
    if (*p == ']' && s->state == JSON_S_VALUE && s->stack[s->depth] & JSON_IS_ARRAY)
        return refuse(s, s->start, JSON_BAD_TRAILING_COMMA);
    if ((uint8_t)(*p - '0') > 9) return refuse(s, s->start, JSON_BAD_VALUE);
    s->number = *p == '0' ? JSON_N_ZERO : JSON_N_INT;
    return go(s, w, p + 1, JSON_S_IN_NUMBER);
}

COLD int slow_top(struct json_scan *s, struct json_window *w)
{
    const uint8_t c = *w->p;
    const uint32_t at = off(w, w->p);
    if (at == 0 && (c == 0xef || c >= 0xfe)) return refuse(s, at, JSON_BAD_BOM);
    if (!(s->flags & JSON_TOP_OBJECT) || c == '{') return slow_value(s, w);
    const bool value =
        c == '[' || c == '"' || c == '-' || (uint8_t)(c - '0') <= 9 || c == 't' || c == 'f' || c == 'n';
    return refuse(s, at, value ? JSON_BAD_TOP : JSON_BAD_VALUE);
}

// The state behind byte c of a number, or -1: c is no part of it.
INLINE int number_next(uint8_t state, uint8_t c)
{
    const bool digit = (uint8_t)(c - '0') <= 9, e = (c | 0x20) == 'e';
    switch (state) {
    case JSON_N_MINUS: return c == '0' ? JSON_N_ZERO : digit ? JSON_N_INT : -1;
    case JSON_N_ZERO: return c == '.' ? JSON_N_DOT : e ? JSON_N_E : -1;
    case JSON_N_INT: return digit ? JSON_N_INT : c == '.' ? JSON_N_DOT : e ? JSON_N_E : -1;
    case JSON_N_DOT: return digit ? JSON_N_FRACTION : -1;
    case JSON_N_FRACTION: return digit ? JSON_N_FRACTION : e ? JSON_N_E : -1;
    case JSON_N_E: return digit ? JSON_N_EXPONENT : c == '+' || c == '-' ? JSON_N_E_SIGN : -1;
    default: return digit ? JSON_N_EXPONENT : -1;
    }
}

COLD int slow_number(struct json_scan *s, struct json_window *w)
{
    const uint8_t *p = w->p;
    int next;
    // A zero byte behind the data is no part of a number, so this ends there at the latest.
    while (p <= w->lim && (next = number_next(s->number, *p)) >= 0) {
        s->number = (uint8_t)next;
        p++;
    }
    w->p = p;
    if (!w->tail && p > w->lim) return GO;
    if (p == w->end) return SUSPEND;
    const bool digit = (uint8_t)(*p - '0') <= 9;
    if (s->number < JSON_N_ZERO || (s->number == JSON_N_ZERO && digit))
        return refuse(s, off(w, p), JSON_BAD_NUMBER);
    if (s->field != JSON_NO_FIELD) json_note(s, s->field, JSON_NUMBER, s->start, off(w, p) - s->start);
    return value_done(s, w, p);
}

INLINE bool is_hex(uint8_t c)
{
    return (uint8_t)(c - '0') <= 9 || (uint8_t)((c | 0x20) - 'a') <= 5;
}

// The length of the escape at p; 0 and *ret_wrong, the byte that does not fit.
INLINE uint32_t escape_length(const uint8_t *p, const uint8_t **ret_wrong)
{
    *ret_wrong = p + 1;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return 2;
    case 'u': break;
    default: return 0;
    }
    for (uint32_t i = 2; i < 6; i++)
        if (!is_hex(p[i])) {
            *ret_wrong = p + i;
            return 0;
        }
    return 6;
}

// The quote of a key's end is at p.
COLD int key_done(struct json_scan *s, struct json_window *w, const uint8_t *p)
{
    const uint32_t node = s->stack[s->depth] & JSON_NODE;
    const struct span raw = {w->base + s->start + 1, off(w, p) - s->start - 1};
    s->field = JSON_NO_FIELD;
    if (s->fields->row[node]) s->field = (uint8_t)json_field_of(s->fields, node, raw);
    return go(s, w, p + 1, JSON_S_COLON);
}

COLD int string_done(struct json_scan *s, struct json_window *w, const uint8_t *p)
{
    if (s->state == JSON_S_IN_KEY) return key_done(s, w, p);
    if (s->field != JSON_NO_FIELD) {
        json_note(s, s->field, JSON_STRING, s->start, off(w, p) + 1 - s->start);
        s->value[s->field].escaped = s->escaped;
    }
    return value_done(s, w, p + 1);
}

// No whole character stands at p: it is wrong, or the data ends inside it.
COLD int string_stuck(struct json_scan *s, struct json_window *w, const uint8_t *p)
{
    const uint32_t at = off(w, p);
    struct utf8 u = {0};
    w->p = p;
    if (!utf8_feed(&u, span_of(w->base + at, w->n - at)) || u.need == 0) return refuse(s, at, JSON_BAD_UTF8);
    return SUSPEND;
}

// Inside a string, up to its end or that of the window.
COLD int slow_string(struct json_scan *s, struct json_window *w)
{
    const struct marks m = marks();
    const uint8_t *p = w->p, *q;
    for (;;) {
        p = plain_run(p, w->lim, &m);
        if (RW_UNLIKELY(p > w->lim)) break;
        if (*p == '"') return string_done(s, w, p);
        if (*p >= 0x80) {
            q = utf8_run(p, w->lim);
            if (RW_UNLIKELY(q == p)) return string_stuck(s, w, p);
            p = q;
            continue;
        }
        if (RW_UNLIKELY(*p != '\\')) {
            w->p = p;
            return p == w->end ? SUSPEND : refuse(s, off(w, p), JSON_BAD_CONTROL);
        }
        const uint32_t k = escape_length(p, &q);
        if (RW_UNLIKELY(k == 0)) {
            w->p = p;
            return q == w->end ? SUSPEND : refuse(s, off(w, p), JSON_BAD_ESCAPE);
        }
        s->escaped = true;
        p += k;
    }
    w->p = p;
    return GO;
}

// Behind '{' or behind a comma in an object.
COLD int slow_key(struct json_scan *s, struct json_window *w)
{
    const uint8_t *const p = w->p;
    if (*p == '"') {
        s->start = off(w, p);
        return go(s, w, p + 1, JSON_S_IN_KEY);
    }
    if (*p != '}') return refuse(s, off(w, p), JSON_BAD_KEY);
    if (s->state == JSON_S_KEY) return refuse(s, off(w, p), JSON_BAD_TRAILING_COMMA);
    const uint32_t node = s->stack[s->depth] & JSON_NODE;
    if (node && node <= JSON_FIELDS_MAX) s->value[node - 1].count = 0;
    if (node == JSON_NODE_TOP) s->top_empty = true;
    return slow_close(s, w);
}

COLD int slow_array(struct json_scan *s, struct json_window *w)
{
    if (*w->p == ']') return slow_close(s, w);
    count_element(s, s->stack[s->depth]);
    s->state = JSON_S_VALUE; // it is counted, also if the data ends inside it
    return slow_value(s, w);
}

COLD int slow_after(struct json_scan *s, struct json_window *w)
{
    const bool array = s->stack[s->depth] & JSON_IS_ARRAY;
    if (*w->p == ',') {
        if (array) count_element(s, s->stack[s->depth]);
        return go(s, w, w->p + 1, array ? JSON_S_VALUE : JSON_S_KEY);
    }
    return *w->p == (array ? ']' : '}') ? slow_close(s, w) : refuse(s, off(w, w->p), JSON_BAD_COMMA);
}

COLD int slow(struct json_scan *s, struct json_window *w)
{
    if (s->state == JSON_S_IN_STRING || s->state == JSON_S_IN_KEY) return slow_string(s, w);
    if (s->state == JSON_S_IN_NUMBER) return slow_number(s, w);
    while (json_is_space(*w->p)) {
        w->p += first(~spaces(w->p));
        if (w->p > w->lim) return GO;
    }
    if (w->p == w->end) return SUSPEND;
    switch (s->state) {
    case JSON_S_TOP: return slow_top(s, w);
    case JSON_S_VALUE: return slow_value(s, w);
    case JSON_S_ARRAY: return slow_array(s, w);
    case JSON_S_OBJECT:
    case JSON_S_KEY: return slow_key(s, w);
    case JSON_S_AFTER: return slow_after(s, w);
    case JSON_S_COLON:
        if (*w->p != ':') return refuse(s, off(w, w->p), JSON_BAD_COLON);
        return go(s, w, w->p + 1, JSON_S_VALUE);
    default: return refuse(s, off(w, w->p), JSON_BAD_TRAILING);
    }
}

// --- The whole.

// All the data is read and the text ends here: is it whole?
INLINE int text_end(struct json_scan *s, const struct json_window *w)
{
    s->pos = w->n;
    if (s->state == JSON_S_IN_NUMBER && s->depth == 0 && s->number >= JSON_N_ZERO) s->state = JSON_S_END;
    if (s->state == JSON_S_END) return 1;
    return s->state == JSON_S_TOP && off(w, w->p) == w->n ? JSON_BAD_EMPTY : JSON_BAD_END;
}

// The usual beginning of a text.
INLINE void open_top(struct json_scan *s, struct json_window *w)
{
    s->top_object = true;
    s->top = 1;
    s->stack[1] = JSON_NODE_TOP;
    s->depth = 1;
    s->state = JSON_S_OBJECT;
    w->p++;
}

JSON_ISA static int feed(struct json_scan *s, const uint8_t *base, uint32_t n, bool final)
{
    struct json_window w;
    window_open(&w, base, s->pos, n);
    if (s->state == JSON_S_TOP && s->pos == 0 && *w.p == '{') open_top(s, &w);
    for (;;) {
        fast(s, &w);
        if (w.p > w.lim) {
            window_tail(&w, off(&w, w.p));
            continue;
        }
        const int got = w.p == w.end ? SUSPEND : slow(s, &w);
        if (got == GO) continue;
        if (got < 0) return got;
        if (final) return text_end(s, &w);
        s->pos = off(&w, w.p);
        return JSON_NEED_MORE;
    }
}

JSON_ISA static const uint8_t *quote(const uint8_t *p, const uint8_t *end)
{
    const struct marks m = marks();
    while (end - p >= 32) {
        const uint32_t mask = special(p, &m);
        p += first(mask);
        if (mask == 0) continue;
        if (*p == '"') return p;
        p += *p == '\\' ? 2 : 1;
    }
    while (p < end && *p != '"') p += *p == '\\' ? 2 : 1;
    return p < end ? p : end;
}

JSON_ISA static uint32_t plain(const uint8_t *p, uint32_t n)
{
    const struct marks m = marks();
    uint32_t i = 0;
    for (; n - i >= 32; i += 32) {
        const uint32_t mask = special(p + i, &m);
        if (mask) return i + (uint32_t)first(mask);
    }
    while (i < n && p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\') i++;
    return i;
}
