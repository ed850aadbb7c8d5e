// See end.h.
#include "base/end.h"

#include <string.h>

#include "base/check.h"

#define X(symbol, name_, is_error_, status_, text_) \
    [symbol] = {.name = (name_), .text = (text_), .status = (status_), .is_error = (is_error_)},
static const struct end_info table[RW_END_COUNT] = {RW_ENDS(X)};
#undef X

const struct end_info *end_info(enum rw_end end)
{
    MUST(end < RW_END_COUNT);
    return &table[end];
}

uint32_t end_text(enum rw_end end, const char *detail, char *out, uint32_t cap)
{
    MUST(cap > 0);
    const char *text = end_info(end)->text;
    uint32_t n = 0;
    bool whole = true;
    for (; *text && whole; text++) {
        const bool fill = *text == '%';
        const char *piece = fill ? (detail ? detail : "") : text;
        const size_t len = fill ? strlen(piece) : 1;
        const uint32_t room = cap - 1 - n;
        const uint32_t take = len < room ? (uint32_t)len : room;
        memcpy(out + n, piece, take);
        n += take;
        whole = take == len;
    }
    // A cut may have fallen inside a multi-byte character: drop its beginning.
    if (!whole) {
        uint32_t start = n;
        while (start > 0 && ((uint8_t)out[start - 1] & 0xc0) == 0x80) start--;
        const uint8_t lead = start > 0 ? (uint8_t)out[start - 1] : 0;
        const uint32_t needs = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
        if (needs > n - start + 1) n = start - 1;
    }
    out[n] = 0;
    return n;
}
