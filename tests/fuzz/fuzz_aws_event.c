// Amazon's event streams: frames lie in the input, a part of a frame is none, and what was written is read back. Random bytes
// never get beyond the sums, so that every input is also read as headers and a payload with the right sums around them.
#include "tests/fuzz/fuzz.h"
#include "wire/aws_event.h"

static const enum aws_event_kind kinds[] = {AWS_EVENT_EVENT, AWS_EVENT_EXCEPTION};

static void put32(uint8_t *p, uint32_t v)
{
    for (uint32_t i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

// Reads frames until there is none; the bytes that they took.
static uint32_t read_all(const uint8_t *p, uint32_t n)
{
    struct aws_event_frame f;
    uint32_t at = 0;
    for (;;) {
        const int64_t k = aws_event_next(p + at, n - at, &f);
        MUST(k == 0 || k == RW_E_BAD || k == RW_E_TOO_LARGE || (k >= 16 && k <= n - at));
        if (k <= 0) return at;
        fuzz_within(f.payload, p + at, (size_t)k);
        if (f.kind != AWS_EVENT_OTHER) {
            fuzz_within(f.type, p + at, (size_t)k);
            fuzz_within(f.message, p + at, (size_t)k);
        }
        at += (uint32_t)k;
    }
}

// The input as the inside of a frame, of which the first bytes are its headers.
static void check_inside(const uint8_t *data, uint32_t n, uint32_t headers)
{
    static uint8_t frame[FUZZ_BYTES_MAX + 16];
    struct aws_event_frame f;
    put32(frame, n + 16);
    put32(frame + 4, headers);
    put32(frame + 8, aws_event_crc32(0, frame, 8));
    if (n) memcpy(frame + 12, data, n);
    put32(frame + 12 + n, aws_event_crc32(0, frame, n + 12));
    (void)read_all(frame, n + 16);
    const int64_t k = aws_event_next(frame, n + 16, &f);
    MUST(k == RW_E_BAD || k == RW_E_TOO_LARGE || k == n + 16);
    if (k > 0) MUST(span_eq(f.payload, span_of(data + headers, n - headers)));
    if (k > 0 && n) MUST(aws_event_next(frame, 16 + fuzz_number(data, n, 2, n), &f) == 0);
    frame[12 + n] ^= 1;
    MUST(aws_event_next(frame, n + 16, &f) < 0);
}

static void check_write(struct span type, struct span payload)
{
    static uint8_t frame[AWS_EVENT_FRAME_BYTES + 2 * FUZZ_BYTES_MAX];
    struct aws_event_frame f;
    for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const uint32_t k = aws_event_write(kinds[i], type, payload, frame, sizeof frame);
        MUST(k > 0 && k <= AWS_EVENT_FRAME_BYTES + type.n + payload.n);
        MUST(aws_event_next(frame, k, &f) == k && f.kind == kinds[i]);
        MUST(span_eq(f.type, type) && span_eq(f.payload, payload));
        MUST(aws_event_write(kinds[i], type, payload, frame, k - 1) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    const uint32_t n = (uint32_t)size, cut = fuzz_number(data, size, 0, n + 1);
    const uint8_t *p = fuzz_flush(0, data, size);
    const uint32_t whole = read_all(p, n);
    // Cut anywhere, no more than these frames is seen.
    MUST(read_all(fuzz_flush(1, data, cut), cut) <= whole);
    check_inside(p, n, fuzz_number(data, size, 1, n + 1));
    check_inside(p, n, n);
    check_write((struct span){p, cut < 200 ? cut : 200}, (struct span){p, n});
    return 0;
}
