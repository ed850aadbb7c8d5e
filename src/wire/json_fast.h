// The fast half of the JSON scan: well-formed text, a token in a few instructions. Included by
// json_machine.h, which says how the halves work together.

// Up to 21 digits at p. Most numbers of these texts have one or two, which is less than a vector costs.
INLINE uint64_t digit_run(const uint8_t *p)
{
    uint64_t k = 0;
    while (k < 4 && (uint8_t)(p[k] - '0') <= 9) k++;
    return k < 4 ? k : 4 + first(~digits(p + 4));
}

// Behind a number, or NULL: malformed, very long, or perhaps cut by the end of the data.
INLINE const uint8_t *number_end(const uint8_t *p)
{
    p += *p == '-';
    uint64_t k = digit_run(p);
    if (RW_UNLIKELY(k == 0 || k > 20 || (k > 1 && *p == '0'))) return NULL;
    p += k;
    if (*p == '.') {
        k = digit_run(p + 1);
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
    static_assert(JSON_AHEAD >= 64, "what plain64() looks at");
    while (p <= lim) {
        if (plain64(p, m)) {
            p += 64;
            continue;
        }
        const uint32_t mask = special(p, m);
        return mask ? p + first(mask) : p + 32 + first(special(p + 32, m));
    }
    return p;
}

// The field of the key at p in a slot of the node, or UINT32_MAX. The quote is compared too, so the length
// is.
INLINE uint32_t field_at(const struct json_fields *fields, uint32_t node, uint32_t bit, const uint8_t *p)
{
    uint32_t next = fields->slot[node][bit];
    for (; next; next = fields->field[next - 1].next) {
        const struct json_field *const f = &fields->field[next - 1];
        if (!(~same(p, f->key) & f->mask)) break;
    }
    return next - 1;
}

// The node of an object that is an element of the array `kind`.
INLINE uint32_t element_node(struct json_scan *s, uint32_t kind)
{
    const uint32_t node = JSON_NODE_ELEMENT((kind & JSON_NODE) - 1u);
    if (kind <= JSON_IS_ARRAY || !s->fields->filter[node]) return JSON_NODE_NONE;
    s->seen &= ~s->fields->below[node];
    return node;
}

INLINE void count_element(struct json_scan *s, uint32_t kind)
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
    uint32_t kind; // what *sp is
    uint64_t filter; // of its keys
    struct json_scan *s;
    struct json_window *w;
    struct marks marks;
    const uint8_t *key; // with NEXT_INTEREST: its text
    uint32_t bit; // and its slot
    uint32_t state; // in which to stop, valid with NEXT_OUT
};

// What comes next. A piece that stops leaves p in front of the token and says in which state.
enum next {
    NEXT_OUT,
    NEXT_KEY,
    NEXT_QUOTED_KEY,
    NEXT_VALUE,
    NEXT_AFTER,
    NEXT_OBJECT,
    NEXT_ARRAY,
    NEXT_INTEREST
};

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
    const uint64_t k = special_at(r->p + 1, &r->marks);
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
    const uint32_t start = off(r->w, r->p);
    if (q == r->p + 33) {
        q = plain_run(q, r->lim, &r->marks);
        if (RW_UNLIKELY(q > r->lim)) {
            r->p = q;
            if (run_tail(r)) q = plain_run(r->p, r->lim, &r->marks);
        }
    }
    if (*q == '"') {
        r->p = q + 1;
        return NEXT_AFTER;
    }
    r->s->start = start;
    r->s->escaped = false;
    r->p = q;
    return stop(r, JSON_S_IN_STRING);
}

INLINE enum next run_string(struct run *r)
{
    const uint8_t *const q = r->p + 1 + special_at(r->p + 1, &r->marks);
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
    if (*r->p == '{') return NEXT_OBJECT;
    if (*r->p == '[') return NEXT_ARRAY;
    const uint32_t k = word_length(r->p);
    r->p += k;
    if (RW_LIKELY(k)) return NEXT_AFTER;
    if (json_is_space(*r->p) && pass_spaces(r)) return NEXT_VALUE;
    return stop(r, JSON_S_VALUE);
}

// At the bracket of an object whose node is known.
INLINE enum next run_object(struct run *r, uint32_t node)
{
    if (RW_UNLIKELY(r->sp == r->s->stack + JSON_DEPTH_MAX)) return stop(r, JSON_S_VALUE);
    *++r->sp = (uint8_t)node;
    r->kind = node;
    r->filter = r->s->fields->filter[node];
    r->p++;
    if (RW_LIKELY(*r->p == '"')) return NEXT_QUOTED_KEY;
    if (json_is_space(*r->p)) r->p += first(~spaces(r->p));
    return *r->p == '"' ? NEXT_KEY : stop(r, JSON_S_OBJECT);
}

INLINE enum next run_array(struct run *r, uint32_t node)
{
    if (RW_UNLIKELY(r->sp == r->s->stack + JSON_DEPTH_MAX)) return stop(r, JSON_S_VALUE);
    r->kind = node | JSON_IS_ARRAY;
    *++r->sp = (uint8_t)r->kind;
    r->p++;
    if (json_is_space(*r->p)) {
        r->p += first(~spaces(r->p));
        if (RW_UNLIKELY(json_is_space(*r->p))) return stop(r, JSON_S_ARRAY); // there may be a ']' behind them
    }
    if (RW_UNLIKELY(*r->p == ']' || *r->p == 0 || r->p > r->lim)) return stop(r, JSON_S_ARRAY);
    count_element(r->s, r->kind);
    return NEXT_VALUE;
}

// A key that could be one of ours, and its value if that is short and ordinary.
INLINE enum next run_interest(struct run *r)
{
    struct json_scan *const s = r->s;
    const uint32_t f = field_at(r->s->fields, r->kind, r->bit, r->key);
    if (f >= JSON_FIELDS_MAX) return NEXT_VALUE;
    if (RW_UNLIKELY(*r->p == ' ')) r->p++;
    const uint8_t *const p = r->p, *q = NULL;
    if (*p == '"') {
        q = p + 1 + special_at(p + 1, &r->marks);
        if (RW_UNLIKELY(*q != '"')) goto odd;
        json_note(s, f, JSON_STRING, off(r->w, p), (uint32_t)(++q - p));
    } else if (*p == '[') {
        if (RW_UNLIKELY(r->sp == s->stack + JSON_DEPTH_MAX)) goto odd;
        json_note(s, f, JSON_ARRAY, off(r->w, p), 0);
        return run_array(r, JSON_NODE_OF(f));
    } else if (*p == '{') {
        if (RW_UNLIKELY(r->sp == s->stack + JSON_DEPTH_MAX)) goto odd;
        json_note(s, f, JSON_OBJECT, off(r->w, p), 0);
        return run_object(r, JSON_NODE_OF(f));
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
    if (RW_UNLIKELY(r->kind & JSON_NODE)) close_node(r->s, r->kind & JSON_NODE, off(r->w, r->p));
    r->p++;
    r->kind = *--r->sp;
    r->filter = r->s->fields->filter[r->kind & JSON_NODE];
    if (r->sp == r->s->stack) return stop(r, JSON_S_END);
    return r->p <= r->lim ? NEXT_AFTER : stop(r, JSON_S_AFTER);
}

// Behind a value: a comma or the end of the container.
INLINE enum next run_after(struct run *r)
{
    const bool array = r->kind & JSON_IS_ARRAY;
    if (!array && load16(r->p) == LITTLE16(',', '"')) {
        r->p++;
        return NEXT_QUOTED_KEY;
    }
    if (*r->p == ',') {
        r->p++;
        if (!array) return NEXT_KEY;
        count_element(r->s, r->kind);
        return r->p <= r->lim ? NEXT_VALUE : stop(r, JSON_S_VALUE);
    }
    if (*r->p == (array ? ']' : '}')) return run_close(r);
    if (json_is_space(*r->p) && pass_spaces(r) && !json_is_space(*r->p)) return NEXT_AFTER;
    return stop(r, JSON_S_AFTER);
}

// Runs from the token at w->p in s->state as far as it can, and leaves both where it stopped.
JSON_ISA static void fast(struct json_scan *s, struct json_window *w)
{
    struct run r = {.p = w->p, .lim = w->lim, .s = s, .w = w, .marks = marks()};
    r.sp = s->stack + s->depth;
    r.kind = *r.sp;
    r.filter = s->fields->filter[r.kind & JSON_NODE];
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
    case NEXT_OBJECT: break;
    case NEXT_ARRAY: goto array;
    default: goto out;
    }
    switch (run_object(&r, element_node(s, r.kind))) {
    case NEXT_QUOTED_KEY: goto quoted_key;
    case NEXT_KEY: goto key;
    default: goto out;
    }
array:
    if (run_array(&r, JSON_NODE_NONE) == NEXT_VALUE) goto value;
out:
    w->p = r.p;
    s->state = (uint8_t)r.state;
    s->depth = (uint16_t)(r.sp - s->stack);
}
