// Requests: see fuzz_http_head.h; and a request that is taken, written again by the writer, is taken again
// and says the same.
#include "tests/fuzz/fuzz_http_head.h"

static int parse(const uint8_t *p, uint32_t n, struct http_head *head, struct http_memo *memo)
{
    const struct http_rules rules = {.head_bytes_max = 4096, .target_bytes_max = 512, .fields_max = 40};
    return memo ? http_request_parse_memo(p, n, &rules, head, memo) : http_request_parse(p, n, &rules, head);
}

static void write_again(const struct http_head *head)
{
    static uint8_t out[2 * FUZZ_BYTES_MAX];
    static struct http_head again;
    struct http_writer w = http_writer(out, sizeof out);
    if (head->method == HTTP_METHOD_OTHER || head->minor == 0) return;
    http_write_request_line(&w, (enum http_method)head->method, http_path(head), http_query(head));
    for (uint32_t i = 0; i < head->field_count; i++)
        http_write_field(&w, http_field_name(head, i), http_field_value(head, i));
    const uint32_t n = http_write_end(&w);
    MUST(n > 0);
    const struct http_rules rules = {
        .head_bytes_max = 2 * FUZZ_BYTES_MAX, .target_bytes_max = 512, .fields_max = 40};
    http_head_init(&again);
    MUST(http_request_parse(out, n, &rules, &again) == (int)n);
    MUST(span_eq(http_path(head), http_path(&again)) && span_eq(http_query(head), http_query(&again)));
    MUST(again.method == head->method && again.field_count == head->field_count);
    MUST(again.framing.kind == head->framing.kind && again.framing.length == head->framing.length);
    MUST(again.framing.keep_alive == head->framing.keep_alive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    if (size > FUZZ_BYTES_MAX) return 0;
    const int got = head_fuzz(data, size, parse, &head);
    if (got <= 0) return 0;
    const uint8_t *p = head.base;
    fuzz_within(http_target(&head), p, (size_t)got);
    fuzz_within(http_query(&head), p, (size_t)got);
    MUST(head.target_len > 0 && head.target_len <= 512);
    MUST(
        head.path_len == 0 ||
        (head.path_at >= head.target_at && head.path_at + head.path_len <= head.target_at + head.target_len));
    MUST(http_path(&head).p[0] == '/' || head.method == HTTP_OPTIONS);
    MUST(head.minor == 0 || http_host_is_valid(http_value(&head, HTTP_N_HOST)));
    write_again(&head);
    return 0;
}
