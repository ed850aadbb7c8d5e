// Answers of providers: see fuzz_http_head.h. The first byte chooses the method of the request.
#include "tests/fuzz/fuzz_http_head.h"

static enum http_method asked;

static int parse(const uint8_t *p, uint32_t n, struct http_head *head, struct http_memo *memo)
{
    const struct http_rules rules = {.head_bytes_max = 4096, .target_bytes_max = 512, .fields_max = 40};
    return memo ? http_response_parse_memo(p, n, &rules, asked, head, memo)
                : http_response_parse(p, n, &rules, asked, head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    if (size < 1 || size > FUZZ_BYTES_MAX) return 0;
    asked = (enum http_method)(data[0] % (HTTP_METHOD_OTHER + 1));
    const int got = head_fuzz(data + 1, size - 1, parse, &head);
    if (got <= 0) return 0;
    fuzz_within(http_reason(&head), head.base, (size_t)got);
    MUST(head.status >= 100 && head.status <= 599);
    const bool without = asked == HTTP_HEAD || head.status < 200 || head.status == 204 || head.status == 304;
    MUST(without == (head.framing.kind == HTTP_BODY_NONE));
    MUST(head.framing.kind != HTTP_BODY_UNTIL_CLOSE || !head.framing.keep_alive);
    MUST(!head.framing.expect_continue && !head.framing.websocket);
    return 0;
}
