// See json_form.h. Coordinates: a place in the form becomes one in a text by adding the bytes that the text has
// in the holes before it.
#include "wire/json_form.h"

#include "base/check.h"
#include "wire/json_priv.h"

// A string of more bytes is a hole from the first text on.
#define LONG_BYTES 32
// What learning may have spent in a row.
#define SPENT_MAX (8 * JSON_FORM_LEARN_COST)

// --- A text that fits.

// ret_sum: the text's bytes in the holes before each hole, and in all.
static bool fits(const struct json_form *f, struct span text, uint32_t ret_sum[JSON_FORM_HOLES_MAX + 1])
{
    uint32_t at = 0, sum = 0;
    for (uint32_t h = 0;; h++) {
        const uint32_t end = h < f->holes ? f->hole[h].at : f->n, n = end - at;
        ret_sum[h] = sum;
        if (text.n < n || memcmp(text.p, f->text + at, n) != 0) return false;
        text = span_from(text, n);
        if (h == f->holes) return text.n == 0;
        const uint32_t inside = f->hole[h].number ? json_number_bytes(text) : json_inside_bytes(text);
        if (inside > text.n) return false;
        text = span_from(text, inside);
        sum += inside;
        at = end;
    }
}

// What a scan would say of a text that fits.
static void fill(const struct json_form *f, const uint32_t sum[], struct json_scan *s, struct span text)
{
    s->fields = f->fields;
    s->flags = JSON_TOP_OBJECT;
    s->state = JSON_S_END;
    s->bad = 0;
    s->pos = text.n;
    s->top = f->top;
    s->close = f->close + sum[f->holes];
    s->top_object = true;
    s->top_empty = f->top_empty;
    s->again = 0;
    for (uint32_t i = 0; i < f->fields->n; i++) {
        const struct json_form_value *from = &f->value[i];
        struct json_value *v = &s->value[i];
        const uint32_t before = sum[from->holes_from], inside = sum[from->holes_to] - before;
        *v = from->value;
        v->off += before;
        v->len += inside;
        if (from->hole) v->escaped = memchr(text.p + v->off, '\\', v->len) != NULL;
    }
}

// --- Learning.

// Behind the quote that ends the string at p[at] of a valid text.
static uint32_t string_end(struct span s, uint32_t at)
{
    return (uint32_t)(json_way()->quote(s.p + at + 1, s.p + s.n) - s.p) + 1;
}

// Is the string that ends in front of p[at] a key?
static bool is_key(struct span s, uint32_t at)
{
    while (at < s.n && json_is_space(s.p[at])) at++;
    return at < s.n && s.p[at] == ':';
}

static bool is_number(uint8_t c)
{
    return c == '-' || (uint8_t)(c - '0') <= 9;
}

// Reads the form and a text side by side, token by token, and writes the new form over the old one: no token
// becomes longer, so what is written never passes what is read.
struct learner {
    struct json_form *f;
    struct span text;
    bool blank; // there is no old form
    struct json_form_hole old[JSON_FORM_HOLES_MAX];
    uint32_t old_n, old_holes;
    uint32_t i, h; // read in the old form
    uint32_t hole_at[JSON_FORM_HOLES_MAX]; // in the text
    uint32_t hole_n[JSON_FORM_HOLES_MAX];
};

static bool put(struct json_form *f, const uint8_t *p, uint32_t n)
{
    if (f->n + n > JSON_FORM_BYTES_MAX) return false;
    memmove(f->text + f->n, p, n);
    f->n = (uint16_t)(f->n + n);
    return true;
}

static bool put_hole(struct learner *l, bool number, uint32_t at, uint32_t n)
{
    struct json_form *f = l->f;
    if (f->holes == JSON_FORM_HOLES_MAX) return false;
    l->hole_at[f->holes] = at;
    l->hole_n[f->holes] = n;
    f->hole[f->holes++] = (struct json_form_hole){f->n, number};
    return true;
}

// Is the next hole of the old form here?
static bool old_hole(const struct learner *l, uint32_t at, bool number)
{
    return l->h < l->old_holes && l->old[l->h].at == at && l->old[l->h].number == number;
}

// The token text.p[at .. at + n) stands where the form has one of its kind. *ret_hole: they are not the same.
// False: there is another kind of token.
static bool compare(struct learner *l, uint32_t at, uint32_t n, bool number, bool *ret_hole)
{
    const struct span old = {l->f->text, l->old_n};
    if (old_hole(l, l->i + !number, number)) {
        l->i += number ? 0 : 2;
        l->h++;
        *ret_hole = true;
        return true;
    }
    if (l->i >= old.n || !(number ? is_number(old.p[l->i]) : old.p[l->i] == '"')) return false;
    const uint32_t old_n = number ? json_number_bytes(span_from(old, l->i)) : string_end(old, l->i) - l->i;
    if (old_n != n || memcmp(old.p + l->i, l->text.p + at, n) != 0) *ret_hole = true;
    l->i += old_n;
    return true;
}

static bool learn_string(struct learner *l, uint32_t at, uint32_t n)
{
    const bool key = is_key(l->text, at + n);
    bool hole = n - 2 > LONG_BYTES && !key;
    if (!l->blank && !compare(l, at, n, false, &hole)) return false;
    if (!hole) return put(l->f, l->text.p + at, n);
    return !key && put(l->f, l->text.p + at, 1) && put_hole(l, false, at + 1, n - 2) &&
        put(l->f, l->text.p + at, 1);
}

static bool learn_number(struct learner *l, uint32_t at, uint32_t n)
{
    bool hole = false;
    if (!l->blank && !compare(l, at, n, true, &hole)) return false;
    return hole ? put_hole(l, true, at, n) : put(l->f, l->text.p + at, n);
}

// Anything between strings and numbers.
static bool learn_byte(struct learner *l, uint32_t at)
{
    const uint8_t c = l->text.p[at];
    if (!l->blank && (l->i >= l->old_n || l->f->text[l->i] != c || old_hole(l, l->i, true))) return false;
    l->i++;
    return put(l->f, &c, 1);
}

static bool learn_tokens(struct learner *l)
{
    struct json_form *f = l->f;
    memcpy(l->old, f->hole, sizeof l->old);
    l->old_n = f->n;
    l->old_holes = f->holes;
    l->i = l->h = 0;
    f->n = f->holes = 0;
    for (uint32_t at = 0; at < l->text.n;) {
        const uint8_t c = l->text.p[at];
        const bool number = is_number(c);
        const uint32_t n = c == '"' ? string_end(l->text, at) - at
            : number                ? json_number_bytes(span_from(l->text, at))
                                    : 1;
        const bool good = c == '"' ? learn_string(l, at, n)
            : number               ? learn_number(l, at, n)
                                   : learn_byte(l, at);
        if (!good) return false;
        at += n;
    }
    return l->blank || (l->i == l->old_n && l->h == l->old_holes);
}

// A place in the text becomes one in the form. *ret_holes: how many are before it.
static uint32_t place(const struct learner *l, uint32_t at, uint8_t *ret_holes)
{
    uint32_t h = 0, sum = 0;
    for (; h < l->f->holes && l->hole_at[h] < at; h++) sum += l->hole_n[h];
    *ret_holes = (uint8_t)h;
    return at - sum;
}

static bool learn_values(struct learner *l, const struct json_scan *s)
{
    struct json_form *f = l->f;
    uint8_t holes;
    for (uint32_t i = 0; i < s->fields->n; i++) {
        const struct json_value *v = &s->value[i];
        struct json_form_value *to = &f->value[i];
        if (v->duplicate) return false;
        *to = (struct json_form_value){.value = *v};
        if (v->type == JSON_ABSENT) continue;
        to->value.off = place(l, v->off, &to->holes_from);
        to->value.len = place(l, v->off + v->len, &to->holes_to) - to->value.off;
        to->hole = v->type == JSON_STRING && to->holes_to > to->holes_from;
    }
    f->fields = s->fields;
    f->top = (uint16_t)place(l, s->top, &holes);
    f->close = (uint16_t)place(l, s->close, &holes);
    f->top_empty = s->top_empty;
    return true;
}

static void learn(struct json_form *f, const struct json_scan *s, struct span text)
{
    struct learner l = {.f = f, .text = text, .blank = f->n == 0};
    bool good = learn_tokens(&l);
    if (!good && !l.blank) {
        l.blank = true;
        good = learn_tokens(&l);
    }
    if (!good || !learn_values(&l, s)) f->n = f->holes = 0;
}

int json_form_scan(struct json_form *f, struct json_scan *s, const struct json_fields *fields,
                   struct span text)
{
    uint32_t sum[JSON_FORM_HOLES_MAX + 1];
    MUST(fields->n <= JSON_FORM_FIELDS_MAX);
    if (RW_UNLIKELY(f->fields != fields)) f->n = f->holes = 0;
    if (f->spent) f->spent--;
    if (RW_LIKELY(f->n != 0) && RW_LIKELY(fits(f, text, sum))) {
        fill(f, sum, s, text);
        return 1;
    }
    const int got = json_scan(s, fields, JSON_TOP_OBJECT, text);
    if (got > 0 && f->spent <= SPENT_MAX - JSON_FORM_LEARN_COST) {
        f->spent += JSON_FORM_LEARN_COST;
        learn(f, s, text);
    }
    return got;
}
