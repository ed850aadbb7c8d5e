// http memo: a memo must never be noticed. Heads are parsed in long sequences with one memo, each like the
// one before or a little different (another byte, another value, a line more or less, cut off), and each
// result is compared with that of a plain parse, by every way of scanning, flush against a forbidden page.
// Then: that the memo is used at all, and when it is not.
#include "tests/unit/http_world.h"

#include "base/prng.h"

static struct http_memo memo;
static struct http_head plain, head;

static int reset(void **state)
{
    (void)state;
    world.rules = (struct http_rules)HTTP_RULES_DEFAULT;
    world.answers = false;
    world.asked = HTTP_POST;
    memset(&memo, 0, sizeof memo);
    if (!world.guard.map) world.guard = guard_open(8192);
    return 0;
}

static int with_memo(const uint8_t *p, uint32_t n)
{
    return world.answers ? http_response_parse_memo(p, n, &world.rules, world.asked, &head, &memo)
                         : http_request_parse_memo(p, n, &world.rules, &head, &memo);
}

static int compare(const void *bytes, size_t size)
{
    const uint32_t n = (uint32_t)size;
    const uint8_t *p = guard_put(&world.guard, bytes, n);
    http_head_init(&plain);
    const int expected = world_parse(p, n, &plain);
    http_head_init(&head);
    const int got = with_memo(p, n);
    if (got != expected)
        fail_msg("%s: %s, not %s for:\n%.*s", http_way()->name, world_name(got), world_name(expected), (int)n,
                 (const char *)bytes);
    if (got > 0) {
        assert_ptr_equal(head.base, p);
        world_same(http_way()->name, &plain, &head);
    }
    return got;
}

struct text {
    char p[2000];
    uint32_t n;
};

static const char *const lines[] = {"Host: api.example.com:8080",
                                    "Authorization: Bearer rw-0123456789",
                                    "Content-Type: application/json",
                                    "Content-Length: 1234",
                                    "Connection: keep-alive",
                                    "User-Agent: a client that has a long name, longer than one vector",
                                    "X-Unknown: some",
                                    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                    "Expect: 100-continue",
                                    "Accept:  */*",
                                    "X-Tab: a\tb",
                                    "X-Empty:",
                                    "Transfer-Encoding: chunked",
                                    "Upgrade: websocket"};

static void random_head(struct text *t, struct prng *prng)
{
    t->n = (uint32_t)snprintf(t->p, sizeof t->p, "%s",
                              world.answers ? "HTTP/1.1 200 OK\r\n"
                                            : "POST /v1/chat/completions?a=b HTTP/1.1\r\n");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (i == 0 || prng_below(prng, i > 7 ? 6 : 2))
            t->n += (uint32_t)snprintf(t->p + t->n, sizeof t->p - t->n, "%s\r\n", lines[i]);
    t->n += (uint32_t)snprintf(t->p + t->n, sizeof t->p - t->n, "\r\nbody");
}

// One small change at a random place, of the kinds that heads have from one request to the next, and of
// hostile ones.
static void change(struct text *t, struct prng *prng)
{
    static const char odd[] = "0123456789abcXYZ :-,\t\r\n\x7f";
    const uint32_t at = prng_below(prng, t->n);
    switch (prng_below(prng, 6)) {
    case 0: t->p[at] = odd[prng_below(prng, sizeof odd)]; break;
    case 1:
    case 2: // a digit, as lengths and ids change
        for (uint32_t i = at; i < t->n; i++)
            if (t->p[i] >= '0' && t->p[i] <= '9') {
                t->p[i] = (char)('0' + prng_below(prng, 10));
                break;
            }
        break;
    case 3:
        if (t->n + 1 >= sizeof t->p) break;
        memmove(t->p + at + 1, t->p + at, t->n - at);
        t->p[at] = odd[prng_below(prng, sizeof odd)];
        t->n++;
        break;
    case 4:
        memmove(t->p + at, t->p + at + 1, t->n - at - 1);
        t->n--;
        break;
    default: break;
    }
}

static void test_memo__never_noticed_in_random_sequences(void **state)
{
    (void)state;
    struct prng prng;
    prng_seed(&prng, 4711);
    uint32_t taken = 0, all = 0;
    for (uint32_t round = 0; round < 600; round++) {
        static struct text first, t;
        world.answers = round % 2;
        memset(&memo, 0, sizeof memo);
        random_head(&first, &prng);
        for (uint32_t w = 0; http_way_list(w); w++) {
            if (!http_way_list(w)->usable()) continue;
            http_way_choose(http_way_list(w));
            t = first;
            for (uint32_t i = 0; i < 30; i++, all++) {
                // Mostly from a good head, so that the next one is good, too.
                if (compare(t.p, t.n) <= 0 || prng_below(&prng, 4) == 0) t = first;
                else taken++;
                for (uint32_t changes = prng_below(&prng, 4); changes > 0; changes--) change(&t, &prng);
                if (prng_below(&prng, 10) == 0) t.n = prng_below(&prng, t.n + 1);
                if (t.n == 0) t = first;
            }
        }
    }
    assert_in_range(taken, all / 4, all);
}

// Each byte of an ordinary head replaced by each other byte, the memo holding the ordinary one.
static void test_memo__every_byte_changed(void **state)
{
    (void)state;
    char text[] = "POST /v1/x HTTP/1.1\r\nHost: a:80\r\nX-Id: 0a1\r\nConnection: close\r\nContent-Length: "
                  "12\r\nZ: y\r\n\r\n";
    const size_t n = sizeof text - 1;
    for (uint32_t w = 0; http_way_list(w); w++) {
        if (!http_way_list(w)->usable()) continue;
        http_way_choose(http_way_list(w));
        for (size_t at = 0; at < n; at++) {
            const char right = text[at];
            for (int c = 0; c < 256; c++) {
                if (memo.bytes != n || memcmp(memo.text, text, n) != 0) compare(text, n);
                text[at] = (char)c;
                compare(text, n);
                text[at] = right;
            }
        }
    }
}

static void test_memo__says_what_the_new_values_mean(void **state)
{
    (void)state;
#define HEAD(host, connection, length) \
    "POST /v1/x HTTP/1.1\r\nHost: " host "\r\nConnection: " connection "\r\nContent-Length: " length \
    "\r\n\r\n"
#define PARSE(text) compare(text, sizeof(text) - 1)
    assert_true(PARSE(HEAD("a", "close", "100")) > 0);
    assert_true(PARSE(HEAD("a", "close", "250")) > 0);
    assert_int_equal(head.framing.length, 250);
    assert_false(head.framing.keep_alive);
    assert_true(PARSE(HEAD("b", "other", "007")) > 0);
    assert_int_equal(head.framing.length, 7);
    assert_true(head.framing.keep_alive);
    world_text(http_value(&head, HTTP_N_HOST), "b");
    assert_int_equal(PARSE(HEAD("@", "close", "100")), HTTP_BAD_HOST);
    assert_int_equal(PARSE(HEAD("a", "close", "-10")), HTTP_BAD_LENGTH);
    assert_int_equal(PARSE(HEAD("a", "close", "1 0")), HTTP_BAD_LENGTH);
    assert_true(PARSE(HEAD("a", "close", " 10")) > 0); // white space in front: another shape
    assert_int_equal(head.framing.length, 10);
    assert_true(PARSE(HEAD("a", "close", "100")) > 0);
}

static void test_memo__is_used(void **state)
{
    (void)state;
    const char text[] = HEAD("a.example.com", "close", "100");
    assert_true(PARSE(HEAD("a.example.com", "close", "100")) > 0);
    assert_int_equal(memo.bytes, sizeof text - 1);
    // A mark in the memo's result comes back with the same head, and with one of the same shape.
    memo.head.framing.websocket = true;
    http_head_init(&head);
    assert_int_equal(with_memo((const uint8_t *)text, sizeof text - 1), sizeof text - 1);
    assert_true(head.framing.websocket);
    // Other values of the same length, in the first line and in the last: nothing is parsed, so the mark comes back.
    memo.head.doubled = 1u << HTTP_N_COOKIE;
    const char other[] = HEAD("a.example.net", "close", "101");
    http_head_init(&head);
    assert_int_equal(with_memo((const uint8_t *)other, sizeof other - 1), sizeof other - 1);
    assert_int_equal(head.doubled, 1u << HTTP_N_COOKIE);
    assert_int_equal(head.framing.length, 101);
    // The lines before one of another shape are taken, too.
    memo.head.minor = 7;
    const char longer[] = HEAD("a.example.com", "close", "1001");
    http_head_init(&head);
    assert_int_equal(with_memo((const uint8_t *)longer, sizeof longer - 1), sizeof longer - 1);
    assert_int_equal(head.minor, 7);
    assert_int_equal(head.doubled, 0);
    assert_int_equal(head.framing.length, 1001);
    assert_int_equal(memo.bytes, sizeof longer - 1); // it is the memo now
}

static void test_memo__is_not_used_for_other_rules_or_questions(void **state)
{
    (void)state;
    const char text[] = HEAD("a", "close", "100");
    assert_true(PARSE(HEAD("a", "close", "100")) > 0);
    world.rules.fields_max = 2;
    assert_int_equal(compare(text, sizeof text - 1), HTTP_BAD_FIELD_COUNT);
    world.rules.fields_max = 3;
    assert_true(compare(text, sizeof text - 1) > 0);
    world.rules.head_bytes_max = 40;
    assert_int_equal(compare(text, sizeof text - 1), HTTP_BAD_HEAD_SIZE);
    world.rules = (struct http_rules)HTTP_RULES_DEFAULT;

    memset(&memo, 0, sizeof memo);
    world.answers = true;
    const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Filling: 0123456789\r\n\r\n";
    assert_true(compare(answer, sizeof answer - 1) > 0);
    assert_int_equal(head.framing.kind, HTTP_BODY_LENGTH);
    world.asked = HTTP_HEAD;
    assert_true(compare(answer, sizeof answer - 1) > 0);
    assert_int_equal(head.framing.kind, HTTP_BODY_NONE);
    world.asked = HTTP_POST;
    assert_true(compare(answer, sizeof answer - 1) > 0);
    assert_int_equal(head.framing.kind, HTTP_BODY_LENGTH);
}

// A head that comes in pieces, one that is too long for the memo, and one too short.
static void test_memo__heads_in_pieces_and_of_other_sizes(void **state)
{
    (void)state;
    const char text[] = HEAD("a", "close", "100");
    for (int round = 0; round < 2; round++)
        for (uint32_t cut = 0; cut < sizeof text; cut++) {
            http_head_init(&head);
            int got = with_memo(guard_put(&world.guard, text, cut), cut);
            if (cut < sizeof text - 1) {
                assert_int_equal(got, HTTP_NEED_MORE);
                got = with_memo(guard_put(&world.guard, text, sizeof text - 1), sizeof text - 1);
            }
            assert_int_equal(got, sizeof text - 1);
            assert_int_equal(head.framing.length, 100);
        }
    char large[HTTP_MEMO_BYTES + 200];
    const int n =
        snprintf(large, sizeof large, "GET / HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n", HTTP_MEMO_BYTES, 1);
    assert_true(compare(large, (size_t)n) > 0);
    assert_int_equal(memo.bytes, 0);
    assert_true(compare(large, (size_t)n) > 0);
    assert_true(PARSE("GET / HTTP/1.0\r\n\r\n") > 0);
    assert_int_equal(memo.bytes, 0);
    assert_true(PARSE("GET /0123456789012345 HTTP/1.0\r\n\r\n") > 0); // no fields
    assert_true(PARSE("GET /0123456789012345 HTTP/1.0\r\n\r\n") > 0);
    assert_true(PARSE("GET /0123456789012346 HTTP/1.0\r\n\r\n") > 0);
    world_text(http_path(&head), "/0123456789012346");
}

static void test_forget__leaves_nothing(void **state)
{
    (void)state;
    assert_true(PARSE(HEAD("a", "close", "100")) > 0);
    http_memo_forget(&memo);
    static const struct http_memo nothing;
    assert_memory_equal(&memo, &nothing, sizeof memo);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, reset)
    const struct CMUnitTest tests[] = {
        T(test_memo__never_noticed_in_random_sequences),
        T(test_memo__every_byte_changed),
        T(test_memo__says_what_the_new_values_mean),
        T(test_memo__is_used),
        T(test_memo__is_not_used_for_other_rules_or_questions),
        T(test_memo__heads_in_pieces_and_of_other_sizes),
        T(test_forget__leaves_nothing),
    };
    return cmocka_run_group_tests_name("http_memo", tests, NULL, NULL);
}
