// The careful half of the JSON scan. Included by json_machine.h. Each step is given p inside the data and
// leaves w->p behind what it has read.

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
    if (s->field < JSON_FIELDS_MAX) {
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
    if (s->field < JSON_FIELDS_MAX)
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
    if (s->field < JSON_FIELDS_MAX) json_note(s, s->field, JSON_NUMBER, s->start, off(w, p) - s->start);
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
    if (s->fields->filter[node]) s->field = (uint8_t)json_field_of(s->fields, node, raw);
    return go(s, w, p + 1, JSON_S_COLON);
}

COLD int string_done(struct json_scan *s, struct json_window *w, const uint8_t *p)
{
    if (s->state == JSON_S_IN_KEY) return key_done(s, w, p);
    if (s->field < JSON_FIELDS_MAX) {
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
