// The PROXY protocol: every prefix asks for more or gives the same result as the whole; the length and the
// TLVs lie within the input. The first byte chooses which versions are accepted.
#include "tests/fuzz/fuzz.h"
#include "wire/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > FUZZ_BYTES_MAX) return 0;
    const uint32_t accept = data[0] & PROXY_ACCEPT_ANY;
    data++;
    const uint32_t n = (uint32_t)size - 1;
    const uint8_t *p = fuzz_flush(0, data, n);
    struct proxy_header h = {.kind = 99};
    const int got = proxy_parse(p, n, accept, &h);
    if (got > 0) {
        MUST((uint32_t)got <= n && got >= 15 && h.kind <= PROXY_IPV6 && (h.version == 1 || h.version == 2));
        MUST(accept & h.version);
        fuzz_within(h.tlvs, p, (size_t)got);
        struct span value;
        for (int type = 0; type < 256; type++)
            if (proxy_tlv(&h, (uint8_t)type, &value)) fuzz_within(value, h.tlvs.p, h.tlvs.n);
    } else {
        MUST(h.kind == 99);
        if (got < 0) MUST(proxy_bad_text(got));
    }
    for (uint32_t salt = 0; salt < 4; salt++) {
        const uint32_t cut = fuzz_number(data, n, salt, n + 1);
        struct proxy_header part;
        const int early = proxy_parse(fuzz_flush(1, data, cut), cut, accept, &part);
        if (early == PROXY_NEED_MORE) continue;
        MUST(early == got);
        if (early > 0) MUST(part.kind == h.kind && memcmp(part.source, h.source, 16) == 0);
    }
    return 0;
}
