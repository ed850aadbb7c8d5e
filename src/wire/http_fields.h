// The scan for usual lines (see http_priv.h), written once over a few vector operations. Included by the
// file of each instruction set, after it has defined:
//
//   HTTP_ISA                    attributes for every function ("target(...)", or nothing)
//   VEC                         bytes of a vector, 16 or 32
//   vec_mask                    an integer with VEC_BITS bits for each byte of a vector, lowest byte lowest
//   vec_stop(p)                 mask of the bytes that end a run of text at p: controls, HTAB included,
//   and DEL vec_outside(p, nibbles)     mask of the bytes that are not in a class
//   vec_question(p)             mask of the '?'
//   vec_differ(a, b)            mask of the bytes that are not the same
//   vec_same_2(a, b)            true if all bytes of two vectors are the same
//   name_colon(p)               position of the first colon in p[0 .. 32), or 32
//   name_is(p, row, n)          p[0 .. n] equals the row's name and colon whatever the case of p; n <= 32,
//   false
//                               if it is 32
//   name_is_token(p, n)         p[0 .. n) are token characters; n < 32
//
// name_is() sets bit 5 of every byte, which makes letters lower-case and leaves alone the '-', digits and
// colon of the table. But it would turn controls into these: CR into '-'. They are raised to 0x20 first,
// which is in no name.
//
// All of them read whole vectors. Within NEAR bytes of its end the input is therefore read from a copy
// that has zeros behind it; zeros are neither text nor part of a name, so they look like the end of what
// has come.
#include "wire/http_priv.h"

#define CRLF 0x0a0d
#define CRLF_CRLF UINT32_C(0x0a0d0a0d)

// From a line that begins at least this far from the end, the name's 32 bytes, the first vector of the
// value and four bytes behind whatever is found in it can be read.
#define NEAR 72
// What is copied for the lines after that, and the zeros behind it: 33 bytes to a value, and a vector.
#define COPY 72
#define ZEROS 72

HTTP_ISA static inline size_t mask_first(vec_mask m)
{
    return (size_t)__builtin_ctzll(m) / VEC_BITS;
}

// The first byte that ends a run of text in p[at .. n), n >= VEC; n if it is one of the last three.
HTTP_ISA static inline size_t text_end(const uint8_t *p, size_t at, size_t n)
{
    for (; at + VEC <= n; at += VEC) {
        const vec_mask m = vec_stop(p + at);
        if (m) return at + mask_first(m) + 4 <= n ? at + mask_first(m) : n;
    }
    if (at >= n) return n;
    const size_t seen = VEC - (n - at);
    const vec_mask m = (vec_mask)(vec_stop(p + n - VEC) >> (seen * VEC_BITS));
    return m && at + mask_first(m) + 4 <= n ? at + mask_first(m) : n;
}

// Lines that begin in p[at .. last]. With zeros behind p[n - 1], last may be n - 1, otherwise n - NEAR.
HTTP_ISA static inline __attribute__((always_inline)) size_t lines(const uint8_t *p, size_t at, size_t last,
                                                                   size_t n, size_t fields_max,
                                                                   struct http_head *head)
{
    size_t count = head->field_count;
    while (at <= last && count < fields_max) {
        const uint8_t *name = p + at;
        const size_t len = name_colon(name);
        const struct http_row *row = http_row_of(name, len);
        size_t kind = row->kind;
        if (RW_UNLIKELY(!name_is(name, row, len))) {
            if (len - 1 >= 31 || !name_is_token(name, len)) break;
            kind = HTTP_N_OTHER;
        }
        if (name[len + 1] != ' ' || name[len + 2] == ' ') break;
        const size_t value = at + len + 2;
        const vec_mask stop = vec_stop(p + value);
        size_t end = value;
        if (RW_LIKELY(stop != 0)) end += mask_first(stop);
        else if ((end = text_end(p, value + VEC, n)) >= n) break;
        if (p[end - 1] == ' ') break;
        const uint32_t four = http_load32(p + end);
        if ((four & 0xffff) != CRLF) break;

        struct http_field *field = &head->field[count];
        count++;
        field->name = (uint16_t)at;
        field->value = (uint16_t)value;
        field->value_len = (uint16_t)(end - value);
        field->name_len = (uint8_t)len;
        field->kind = (uint8_t)kind;
        if (RW_LIKELY(head->first[kind] == 0)) head->first[kind] = (uint8_t)count;
        else if (kind != HTTP_N_OTHER) head->doubled |= UINT64_C(1) << kind;
        at = end + 2;
        if (four == CRLF_CRLF) break;
    }
    head->field_count = (uint16_t)count;
    return at;
}

HTTP_ISA static __attribute__((noinline)) size_t lines_near(const uint8_t *p, size_t at, size_t n,
                                                            size_t fields_max, struct http_head *head)
{
    // A name's hash reads up to four bytes in front of it.
    uint8_t copy[4 + COPY + ZEROS];
    memset(copy + 4 + COPY, 0, ZEROS);
    memcpy(copy + 4, p + n - COPY, COPY);
    // Where p would be if the copy were the end of the input. An address only: nothing is read in front of
    // the copy.
    const uint8_t *moved = (const uint8_t *)((uintptr_t)(copy + 4 + COPY) - n);
    return lines(moved, at, n - 1, n, fields_max, head);
}

HTTP_ISA static inline size_t fields_from(const uint8_t *p, size_t at, size_t n, size_t fields_max,
                                          struct http_head *head)
{
    const size_t last = n - NEAR;
    at = lines(p, at, last, n, fields_max, head);
    // Not for the blank line, which is what usually stands there.
    return at > last && at < n && p[at] != '\r' ? lines_near(p, at, n, fields_max, head) : at;
}

HTTP_ISA static uint32_t fields(const uint8_t *p, uint32_t from, uint32_t n, uint32_t fields_max,
                                struct http_head *head)
{
    return n < COPY || from < 4 ? from : (uint32_t)fields_from(p, from, n, fields_max, head);
}

static const uint8_t target_nibbles[16] = HTTP_NIBBLES(HTTP_IS_TARGET);
static const uint8_t host_nibbles[16] = HTTP_NIBBLES(HTTP_IS_HOST);

// "POST /path?query HTTP/1.1" CRLF. Returns the offset behind it, or 0.
HTTP_ISA static inline size_t usual_line(const uint8_t *p, size_t n, const struct http_rules *rules,
                                         struct http_head *head)
{
    const uint32_t four = http_load32(p);
    const bool post = four == http_load32("POST") && p[4] == ' ';
    if (!post && four != http_load32("GET ")) return 0;
    const size_t at = post ? 5 : 4;
    if (p[at] != '/') return 0;

    size_t question = 0, end = at;
    vec_mask outside = 0;
    for (;; end += VEC) {
        if (end + VEC + 16 > n) return 0;
        outside = vec_outside(p + end, target_nibbles);
        const vec_mask asked = vec_question(p + end);
        if (RW_UNLIKELY(asked) && question == 0) question = end + mask_first(asked);
        if (outside) break;
    }
    end += mask_first(outside);
    if (http_load64(p + end) != http_load64(" HTTP/1.") || http_load32(p + end + 7) != http_load32(".1\r\n"))
        return 0;
    if (end - at > rules->target_bytes_max) return 0;

    if (question == 0 || question > end) question = end;
    const size_t behind = question + (question < end);
    head->method = post ? HTTP_POST : HTTP_GET;
    head->method_at = 0;
    head->method_len = (uint8_t)(at - 1);
    head->target_at = head->path_at = (uint16_t)at;
    head->target_len = (uint16_t)(end - at);
    head->path_len = (uint16_t)(question - at);
    head->has_query = question < end;
    head->query_at = (uint16_t)behind;
    head->query_len = (uint16_t)(end - behind);
    head->authority_at = head->authority_len = 0;
    head->minor = 1;
    return end + 11;
}

HTTP_ISA static uint32_t request(const uint8_t *p, uint32_t n, const struct http_rules *rules,
                                 struct http_head *head)
{
    if (n < COPY) return 0;
    size_t at = usual_line(p, n, rules, head);
    if (at == 0) return 0;
    at = fields_from(p, at, n, rules->fields_max, head);
    if (RW_LIKELY(head->first[HTTP_N_HOST])) {
        const size_t value = head->field[head->first[HTTP_N_HOST] - 1].value;
        if (value + VEC <= n) {
            const vec_mask outside = vec_outside(p + value, host_nibbles);
            head->at.host_run = outside ? (uint16_t)mask_first(outside) : 0;
        }
    }
    return (uint32_t)at;
}

HTTP_ISA static uint32_t differ(const uint8_t *a, const uint8_t *b, uint32_t at, uint32_t n)
{
    size_t i = at;
    while (i + 2 * VEC <= n && vec_same_2(a + i, b + i)) i += 2 * VEC;
    for (; i + VEC <= n; i += VEC) {
        const vec_mask m = vec_differ(a + i, b + i);
        if (m) return (uint32_t)(i + mask_first(m));
    }
    if (i == n) return n;
    const size_t seen = VEC - (n - i);
    const vec_mask m = (vec_mask)(vec_differ(a + n - VEC, b + n - VEC) >> (seen * VEC_BITS));
    return m ? (uint32_t)(i + mask_first(m)) : n;
}

HTTP_ISA static uint32_t text(const uint8_t *p, uint32_t at, uint32_t n)
{
    return (uint32_t)text_end(p, at, n);
}
