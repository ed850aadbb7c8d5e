// http names: the table of names is what http_names.h says, in every mixture of upper and lower case, and
// nothing else is taken for a name of it. If a slot is wrong, the test prints the numbers that would be
// right.
#include "tests/unit/http_world.h"

#define X(symbol, name, slot) {name, slot, symbol, #symbol},
static const struct {
    const char *name;
    uint32_t slot;
    int row;
    const char *symbol;
} all[] = {HTTP_NAMES_READ(X) HTTP_NAMES_SEEN(X)};
#undef X
enum { ALL = sizeof all / sizeof *all };

static uint32_t slot_of(const char *name, uint32_t multiplier)
{
    const uint32_t n = (uint32_t)strlen(name);
    return ((http_load32(name + n - 4) | (uint32_t)HTTP_LOWER) + n * 8) * multiplier >>
        (32 - HTTP_NAME_SLOT_BITS);
}

static bool is_free_of_meetings(uint32_t multiplier)
{
    bool taken[1 << HTTP_NAME_SLOT_BITS] = {false};
    for (int i = 0; i < ALL; i++) {
        const uint32_t slot = slot_of(all[i].name, multiplier);
        if (taken[slot]) return false;
        taken[slot] = true;
    }
    return true;
}

static void print_what_is_right(void)
{
    uint32_t multiplier = HTTP_NAME_MULTIPLIER;
    uint64_t x = 88172645463325252;
    for (uint32_t tries = 0; !is_free_of_meetings(multiplier); tries++) {
        if (tries == 100 * 1000 * 1000)
            fail_msg("no multiplier found: two names have the same length and ending");
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        multiplier = (uint32_t)x | 1;
    }
    print_message("#define HTTP_NAME_MULTIPLIER UINT32_C(0x%x)\n", multiplier);
    for (int i = 0; i < ALL; i++)
        print_message("    X(%s, \"%s\", %u) \\\n", all[i].symbol, all[i].name,
                      slot_of(all[i].name, multiplier));
}

static void test_table__slots_are_right(void **state)
{
    (void)state;
    bool right = is_free_of_meetings(HTTP_NAME_MULTIPLIER);
    for (int i = 0; i < ALL; i++) right = right && all[i].slot == slot_of(all[i].name, HTTP_NAME_MULTIPLIER);
    if (!right) print_what_is_right();
    assert_true(right);
}

static void test_name_of__every_name_in_any_case(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++) {
        uint8_t name[32];
        const uint32_t n = (uint32_t)strlen(all[i].name);
        const int kind = all[i].row < HTTP_N_OTHER ? all[i].row : HTTP_N_OTHER;
        for (uint32_t mixture = 0; mixture < 64; mixture++) {
            for (uint32_t k = 0; k < n; k++) {
                const uint8_t c = (uint8_t)all[i].name[k];
                const bool upper = mixture == 1 || (mixture > 1 && (mixture * 2654435761u >> (k % 31) & 1));
                name[k] = upper && c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
            }
            assert_int_equal(http_name_of(span_of(name, n)), kind);
        }
        if (kind == HTTP_N_OTHER) continue;
        world_text(http_name_text((enum http_name)kind), all[i].name);
        // One byte away from a name is another name.
        for (uint32_t k = 0; k < n; k++) {
            memcpy(name, all[i].name, n);
            for (int bit = 0; bit < 8; bit++) {
                name[k] = (uint8_t)(all[i].name[k] ^ 1 << bit);
                if (span_ieq(span_of(name, n), span_str(all[i].name))) continue;
                assert_int_not_equal(http_name_of(span_of(name, n)), kind);
            }
        }
        assert_int_not_equal(http_name_of(span_of(all[i].name, n - 1)), kind);
        assert_int_not_equal(http_name_of(span_of(all[i].name + 1, n - 1)), kind);
    }
    assert_int_equal(http_name_of(SPAN("")), HTTP_N_OTHER);
    assert_int_equal(http_name_of(SPAN("hos")), HTTP_N_OTHER);
    assert_int_equal(http_name_of(SPAN("x-a-name-that-is-longer-than-any-of-the-table")), HTTP_N_OTHER);
    world_text(http_name_text(HTTP_N_OTHER), "");
    world_text(http_method_name(HTTP_METHOD_OTHER), "");
}

// The same names in a head, as the ways see them.
static void test_parse__every_name_in_a_head(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++) {
        char text[200];
        const int n =
            snprintf(text, sizeof text,
                     "HTTP/1.1 200 OK\r\n%s: 100\r\nX-Filling: 01234567890123456789\r\n\r\n", all[i].name);
        world.answers = true;
        const struct world_result *r = world_check(text, (size_t)n);
        if (all[i].row == HTTP_N_TRANSFER_ENCODING) {
            assert_int_equal(r->got, HTTP_BAD_CODING);
            continue;
        }
        assert_int_equal(r->got, n);
        assert_int_equal(r->head.field[0].kind, all[i].row < HTTP_N_OTHER ? all[i].row : HTTP_N_OTHER);
        if (all[i].row < HTTP_N_OTHER) world_text(http_value(&r->head, (enum http_name)all[i].row), "100");
    }
}

// No byte at any place of a known name is mistaken for the right one: vectors compare with a bit set that
// tells a CR from a '-', among others.
static void test_parse__one_wrong_byte_in_every_name(void **state)
{
    (void)state;
    world.answers = false;
    static struct http_head plain, head;
    static const char before[] = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < ALL; i++) {
        char text[200];
        const uint32_t n =
            (uint32_t)snprintf(text, sizeof text, "%s%s: x\r\nX-Filling: %s%s\r\n\r\n", before, all[i].name,
                               "0123456789012345678901234567890123", "456789012345678901234567890123456789");
        char *const name = text + sizeof before - 1;
        for (size_t at = 0; at < strlen(all[i].name); at++)
            for (int c = 0; c < 256; c++) {
                name[at] = (char)c;
                http_way_choose(&http_way_scalar);
                http_head_init(&plain);
                const int expected = http_request_parse((uint8_t *)text, n, &world.rules, &plain);
                for (uint32_t w = 0; http_way_list(w); w++) {
                    if (!http_way_list(w)->usable()) continue;
                    http_way_choose(http_way_list(w));
                    http_head_init(&head);
                    assert_int_equal(http_request_parse((uint8_t *)text, n, &world.rules, &head), expected);
                    if (expected > 0) world_same(http_way_list(w)->name, &plain, &head);
                }
                name[at] = all[i].name[at];
            }
    }
}

static void test_classes__are_those_of_the_rfc(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        assert_int_equal(http_is((uint8_t)c, HTTP_TOKEN), alnum || (c && strchr("!#$%&'*+-.^_`|~", c)));
        assert_int_equal(http_is((uint8_t)c, HTTP_TEXT), c == '\t' || (c >= 0x20 && c != 0x7f));
        assert_int_equal(http_is((uint8_t)c, HTTP_TARGET), c > 0x20 && c < 0x7f && c != '#');
        assert_int_equal(http_is((uint8_t)c, HTTP_HOST), alnum || (c && strchr("-._~", c)));
        assert_int_equal(http_is((uint8_t)c, HTTP_HEX), c && strchr("0123456789abcdefABCDEF", c));
        assert_int_equal(http_is((uint8_t)c, HTTP_DIGIT), c >= '0' && c <= '9');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__slots_are_right),
        cmocka_unit_test(test_name_of__every_name_in_any_case),
        cmocka_unit_test(test_parse__every_name_in_a_head),
        cmocka_unit_test(test_parse__one_wrong_byte_in_every_name),
        cmocka_unit_test(test_classes__are_those_of_the_rfc),
    };
    return cmocka_run_group_tests_name("http_names", tests, NULL, NULL);
}
