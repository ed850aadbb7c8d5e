// See http.h and http_names.h. A name finds its row by a multiplicative hash of its last four letters and its
// length; the multiplier was found by trying until no two names met. The compiler complains if two lines
// claim the same slot.
#include "wire/http_priv.h"

// An empty slot leads to the first row, whose name is then compared in vain.
#define X(symbol, text, slot) [slot] = (uint16_t)(symbol * sizeof(struct http_row)),
const uint16_t http_name_slot[1 << HTTP_NAME_SLOT_BITS] = {HTTP_NAMES_READ(X) HTTP_NAMES_SEEN(X)};
#undef X

#define X(symbol, text, slot) \
    [symbol] = {.name = text ":", .kind = (int)symbol < (int)HTTP_N_OTHER ? (int)symbol : (int)HTTP_N_OTHER},
_Alignas(32) const struct http_row http_name_row[HTTP_NAMES_ALL] = {HTTP_NAMES_READ(X) HTTP_NAMES_SEEN(X)};
#undef X

static_assert(sizeof(struct http_row) == 32, "one load");

#define X(symbol, text, slot) [symbol] = SPAN_INIT(text),
const struct span http_name_texts[HTTP_NAME_COUNT + 1] = {HTTP_NAMES_READ(X)[HTTP_N_OTHER] = SPAN_INIT("")};
#undef X

#define X(symbol, text, slot) \
    static_assert(sizeof(text) - 1 >= 4 && sizeof(text) - 1 <= HTTP_NAME_BYTES_KNOWN_MAX, text " fits a row");
HTTP_NAMES_READ(X)
HTTP_NAMES_SEEN(X)
#undef X

#define X(symbol, text) [symbol] = SPAN_INIT(text),
static const struct span methods[] = {HTTP_METHODS(X)[HTTP_METHOD_OTHER] = SPAN_INIT("")};
#undef X

#define CLASS(c) \
    (uint8_t)((HTTP_IS_TOKEN(c) ? HTTP_TOKEN : 0) | (HTTP_IS_TARGET(c) ? HTTP_TARGET : 0) | \
              (HTTP_IS_HOST(c) ? HTTP_HOST : 0) | (HTTP_IS_TEXT(c) ? HTTP_TEXT : 0) | \
              (HTTP_IS_DIGIT(c) ? HTTP_DIGIT : 0) | (HTTP_IS_HEX(c) ? HTTP_HEX : 0))
#define FOUR(c) CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define ROW(c) FOUR(c), FOUR((c) + 4), FOUR((c) + 8), FOUR((c) + 12)
const uint8_t http_class[256] = {ROW(0x00), ROW(0x10), ROW(0x20), ROW(0x30), ROW(0x40), ROW(0x50),
                                 ROW(0x60), ROW(0x70), ROW(0x80), ROW(0x90), ROW(0xa0), ROW(0xb0),
                                 ROW(0xc0), ROW(0xd0), ROW(0xe0), ROW(0xf0)};

enum http_name http_name_of(struct span name)
{
    if (name.n < 4 || name.n > HTTP_NAME_BYTES_KNOWN_MAX) return HTTP_N_OTHER;
    const struct http_row *row = http_row_of(name.p, name.n);
    const bool same = row->name[name.n] == ':' && span_ieq(name, span_of(row->name, name.n));
    return same ? (enum http_name)row->kind : HTTP_N_OTHER;
}

struct span http_method_name(enum http_method method)
{
    MUST(method <= HTTP_METHOD_OTHER);
    return methods[method];
}

uint32_t http_find(const struct http_head *head, struct span name, uint32_t from)
{
    for (uint32_t i = from; i < head->field_count; i++)
        if (span_ieq(http_field_name(head, i), name)) return i;
    return head->field_count > from ? head->field_count : from;
}

bool http_lists(const struct http_head *head, enum http_name kind, struct span token)
{
    if (!http_has(head, kind)) return false;
    for (uint32_t i = head->first[kind] - UINT32_C(1); i < head->field_count; i++) {
        if (head->field[i].kind != kind) continue;
        struct span rest = http_field_value(head, i), item;
        while (span_split(&rest, ',', &item))
            if (span_ieq(span_trim(item), token)) return true;
    }
    return false;
}
