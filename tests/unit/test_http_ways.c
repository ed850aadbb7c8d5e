// http ways: the vectors against the line parsers on random heads. Heads are put together from good and
// bad pieces and then damaged a little, so that most are nearly right; lines are filled up so that names,
// values and line ends meet every position of a vector and every distance from the end of the input.
#include "tests/unit/http_world.h"

#include "base/prng.h"

enum { ROUNDS = 6000, CAP = 900 };

struct text {
    char p[CAP];
    uint32_t n;
};

static void add(struct text *t, const char *s)
{
    const uint32_t n = (uint32_t)strlen(s);
    if (n > CAP - t->n) return;
    memcpy(t->p + t->n, s, n);
    t->n += n;
}

static void add_filling(struct text *t, struct prng *prng, uint32_t max)
{
    static const char letters[] = "abcXYZ019-_.~/ :;=,?&\t";
    const uint32_t n = prng_below(prng, max);
    for (uint32_t i = 0; i < n && t->n < CAP; i++)
        t->p[t->n++] = letters[prng_below(prng, sizeof letters - 1)];
}

static const char *pick(struct prng *prng, const char *const *list, uint32_t n)
{
    return list[prng_below(prng, n)];
}
#define PICK(prng, list) pick(prng, list, sizeof(list) / sizeof(list)[0])

static void random_head(struct text *t, struct prng *prng, bool answer)
{
    static const char *const first[] = {"GET / HTTP/1.1\r\n",
                                        "POST /v1/chat/completions HTTP/1.1\r\n",
                                        "GET /0123456789012345678901234567890123456789?a=b HTTP/1.1\r\n",
                                        "GET /?x?y HTTP/1.0\r\n",
                                        "DELETE /v1/files/1 HTTP/1.1\r\n",
                                        "\r\nGET / HTTP/1.1\r\n",
                                        "GET http://h/x HTTP/1.1\r\n"};
    static const char *const status[] = {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 429 Too Many Requests\r\n",
                                         "HTTP/1.0 200 \r\n", "HTTP/1.1 204\r\n"};
    static const char *const names[] = {
#define X(symbol, name, slot) name,
        HTTP_NAMES_READ(X) HTTP_NAMES_SEEN(X)
#undef X
            "X",
        "te",
        "Via",
        "HoSt",
        "CONTENT-LENGTH",
        "Transfer-Encoding",
        "x-unknown",
        "X-Unknown-Name-Of-Thirty-One-By",
        "X-Unknown-Name-Of-Thirty-Two-Byt",
        "x-not-quite-a-known-name-at-all-is-it",
        "content-lengtj",
        "hos",
        "hosts",
        "x_y",
        "bad name",
        "",
        "conten\xc3\xa9"};
    static const char *const colons[] = {": ", ": ", ": ", ": ", ": ", ":", ":  ", ":\t", " : "};
    static const char *const values[] = {"",
                                         "a",
                                         "5",
                                         "chunked",
                                         "close",
                                         "keep-alive",
                                         "127.0.0.1:8080",
                                         "100-continue",
                                         "application/json",
                                         "\x7f",
                                         "\x01",
                                         "\xff\x80"};
    static const char *const ends[] = {"\r\n",  "\r\n",   "\r\n", "\r\n", "\r\n",   "\r\n",
                                       " \r\n", "\t\r\n", "\n",   "\r",   "\r\r\n", "\r\n "};
    t->n = 0;
    add(t, answer ? PICK(prng, status) : PICK(prng, first));
    if (prng_below(prng, 4)) add(t, "Host: example.com\r\n");
    for (uint32_t left = prng_below(prng, 12); left > 0; left--) {
        const bool usual = prng_below(prng, 8) != 0;
        add(t, PICK(prng, names));
        add(t, usual ? ": " : PICK(prng, colons));
        add(t, PICK(prng, values));
        if (prng_below(prng, 2)) add_filling(t, prng, 80);
        add(t, usual ? "\r\n" : PICK(prng, ends));
    }
    add(t, "\r\n");
    if (prng_below(prng, 2)) add_filling(t, prng, 100);
    if (prng_below(prng, 3) == 0) t->p[prng_below(prng, t->n)] = (char)prng_below(prng, 256);
    if (prng_below(prng, 3) == 0) t->n = prng_below(prng, t->n + 1);
}

static void compare(struct prng *prng, bool answer, uint32_t *ret_taken, uint32_t *ret_bad)
{
    static struct http_head plain, head;
    struct text t;
    random_head(&t, prng, answer);
    world.answers = answer;
    http_way_choose(&http_way_scalar);
    http_head_init(&plain);
    const int expected = world_parse((const uint8_t *)t.p, t.n, &plain);
    *ret_taken += expected > 0;
    *ret_bad += expected < 0;
    for (uint32_t w = 0; http_way_list(w); w++) {
        if (!http_way_list(w)->usable()) continue;
        http_way_choose(http_way_list(w));
        const uint32_t cut = prng_below(prng, t.n + 1);
        http_head_init(&head);
        int got = world_parse(guard_put(&world.guard, t.p, cut), cut, &head);
        if (got == HTTP_NEED_MORE) got = world_parse(guard_put(&world.guard, t.p, t.n), t.n, &head);
        if (got != expected)
            fail_msg("%s, cut at %u: %s, not %s for:\n%.*s", http_way_list(w)->name, cut, world_name(got),
                     world_name(expected), (int)t.n, t.p);
        if (got > 0) world_same(http_way_list(w)->name, &plain, &head);
    }
}

static void test_ways__agree_on_random_heads(void **state)
{
    (void)state;
    world.guard = guard_open(4096);
    struct prng prng;
    prng_seed(&prng, 20251121);
    uint32_t taken = 0, bad = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) compare(&prng, i % 3 == 0, &taken, &bad);
    // The generator makes enough of either kind.
    assert_in_range(taken, ROUNDS / 20, ROUNDS);
    assert_in_range(bad, ROUNDS / 20, ROUNDS);
    guard_close(&world.guard);
}

// A field in the last bytes of the input, at every distance from its end, with values of every length.
static void test_ways__agree_near_the_end_of_the_input(void **state)
{
    (void)state;
    world.answers = false;
    world.guard = guard_open(4096);
    for (uint32_t before = 0; before < 70; before++)
        for (uint32_t value = 0; value < 70; value++) {
            char text[400];
            const int n = snprintf(
                text, sizeof text, "GET / HTTP/1.1\r\nX-Filling: %.*s\r\nHost: %.*s\r\n\r\n", (int)before,
                "0123456789012345678901234567890123456789012345678901234567890123456789", (int)value,
                "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij");
            static struct http_head plain, head;
            http_way_choose(&http_way_scalar);
            http_head_init(&plain);
            const int expected = http_request_parse((const uint8_t *)text, (uint32_t)n, &world.rules, &plain);
            assert_true(value ? expected == n : expected == HTTP_BAD_HOST);
            for (uint32_t w = 0; http_way_list(w); w++) {
                if (!http_way_list(w)->usable()) continue;
                http_way_choose(http_way_list(w));
                http_head_init(&head);
                const uint8_t *p = guard_put(&world.guard, text, (size_t)n);
                assert_int_equal(http_request_parse(p, (uint32_t)n, &world.rules, &head), expected);
                if (expected > 0) world_same(http_way_list(w)->name, &plain, &head);
            }
        }
    guard_close(&world.guard);
}

// The vectors must not only be right, they must be used: on an ordinary head nothing is left for the line
// parser.
static void test_ways__take_all_of_an_ordinary_head(void **state)
{
    (void)state;
    const char text[] =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a.example.com\r\nAuthorization: Bearer rw-0123456789\r\n"
        "Content-Type: application/json\r\nX-Unknown: some value that is longer than one vector of bytes\r\n"
        "Content-Length: 10\r\n\r\n";
    for (uint32_t w = 0; http_way_list(w); w++) {
        if (!http_way_list(w)->usable() || http_way_list(w) == &http_way_scalar) continue;
        static struct http_head head;
        http_head_init(&head);
        assert_int_equal(
            http_way_list(w)->request((const uint8_t *)text, sizeof text - 1, &world.rules, &head),
            sizeof text - 3);
        assert_int_equal(head.field_count, 5);
        static struct http_head again;
        http_head_init(&again);
        assert_int_equal(http_way_list(w)->fields((const uint8_t *)text, 36, sizeof text - 1, 2, &again),
                         strstr(text, "Content-Type") - text);
        assert_int_equal(again.field_count, 2);
    }
    assert_null(http_way_list(99));
}

// The two that the memo uses, from every place to every end, with the difference or the end of the text everywhere.
static void test_ways__agree_where_bytes_differ_and_texts_end(void **state)
{
    (void)state;
    struct guard other = guard_open(4096);
    world.guard = guard_open(4096);
    char text[101];
    memset(text, 'a', sizeof text);
    for (uint32_t n = HTTP_DIFFER_MIN; n < sizeof text; n += 3) {
        uint8_t *a = guard_put(&world.guard, text, n), *b = guard_put(&other, text, n);
        for (uint32_t at = 0; at <= n; at++) {
            const uint32_t from = at % 41 < n ? at % 41 : 0;
            for (uint32_t w = 0; http_way_list(w); w++) {
                const struct http_way *way = http_way_list(w);
                if (!way->usable()) continue;
                if (at < n) a[at] = w % 2 ? '\r' : 0x7f;
                assert_int_equal(way->differ(a, b, from, n), at < from ? n : at);
                const uint32_t end = at < from ? n : at;
                assert_int_equal(way->text(a, from, n), end + 4 <= n ? end : n);
                if (at < n) a[at] = 'a';
            }
        }
    }
    guard_close(&other);
    guard_close(&world.guard);
}

static uint32_t asked_request, asked_fields;

static uint32_t count_request(const uint8_t *p, uint32_t n, const struct http_rules *rules,
                              struct http_head *head)
{
    (void)p, (void)n, (void)rules, (void)head;
    asked_request++;
    return 0;
}

static uint32_t count_fields(const uint8_t *p, uint32_t from, uint32_t n, uint32_t fields_max,
                             struct http_head *head)
{
    (void)p, (void)n, (void)fields_max, (void)head;
    asked_fields++;
    return from;
}

static bool yes(void)
{
    return true;
}

// The parser asks the way for the request line once, and for every line after one that the way has not taken.
static void test_parse__asks_the_way(void **state)
{
    (void)state;
    static const struct http_way counting = {"counting", yes, count_request, count_fields, NULL, NULL};
    const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    static struct http_head head;
    http_way_choose(&counting);
    http_head_init(&head);
    assert_int_equal(http_request_parse((const uint8_t *)text, sizeof text - 1, &world.rules, &head),
                     sizeof text - 1);
    assert_int_equal(asked_request, 1);
    assert_int_equal(asked_fields, 3);
    http_way_choose(&http_way_scalar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways__agree_on_random_heads),
        cmocka_unit_test(test_ways__agree_near_the_end_of_the_input),
        cmocka_unit_test(test_ways__take_all_of_an_ordinary_head),
        cmocka_unit_test(test_ways__agree_where_bytes_differ_and_texts_end),
        cmocka_unit_test(test_parse__asks_the_way),
    };
    return cmocka_run_group_tests_name("http_ways", tests, NULL, NULL);
}
