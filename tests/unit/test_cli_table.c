// cli_table: lists of JSON objects as an aligned table and as CSV, and objects a member a line. Each expected text is written
// out; what a name could do to a terminal is among the values.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "control/cli_table.h"

static const struct cli_column columns[] = {
    {"ID", "id", true}, {"NAME", "name", false}, {"RPM", "limits.rpm", true}, {"MODELS", "models", false}};

static const struct span rows[] = {
    SPAN_INIT("[{\"id\":\"1\",\"name\":\"ci\",\"limits\":{\"rpm\":600},\"models\":[\"a\",\"b\"]},"
              "{\"id\":\"22\",\"name\":\"J\\u00fcrgen, \\\"x\\\"\",\"limits\":{}}]"),
    SPAN_INIT("[{\"id\":\"333\",\"name\":\"\\u001b[31mred\\n\",\"limits\":{\"rpm\":null},\"models\":[]}]")};

static char *printed(enum cli_output as)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    cli_table_print(f, as, columns, 4, rows, 2);
    (void)fclose(f);
    return text;
}

static void test_table__aligned_by_characters_and_without_control(void **state)
{
    (void)state;
    char *text = printed(CLI_TABLE);
    assert_string_equal(text,
                        " ID  NAME         RPM  MODELS\n"
                        "  1  ci           600  a, b\n"
                        " 22  J\xc3\xbcrgen, \"x\"    -  -\n"
                        "333  ?[31mred?      -  -\n");
    free(text);
}

static void test_csv__quoted_after_rfc_4180(void **state)
{
    (void)state;
    char *text = printed(CLI_CSV);
    assert_string_equal(text,
                        "id,name,limits.rpm,models\n"
                        "1,ci,600,\"a, b\"\n"
                        "22,\"J\xc3\xbcrgen, \"\"x\"\"\",,\n"
                        "333,?[31mred?,,\n");
    free(text);
}

static void test_text__rates_as_the_command_line_takes_them(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"{\"rpm\":60,\"rates\":[{\"window\":\"second\",\"requests\":5,\"burst\":9},"
         "{\"window\":\"day\",\"tokens\":7}],\"hard\":false}",
         "rpm=60, requests=5/second:9, tokens=7/day, hard=false"},
        {"{}", "-"},
        {"[]", "-"},
        {"null", "-"},
        {"\"a\\tb\\u007f\"", "a?b?"},
        {"[{\"window\":5},{\"a\":{\"b\":[1,2]}}]", "window=5, a=b=1, 2"},
        {"\"half \\ud800 pair\"", "half \xef\xbf\xbd pair"},
        {"0.000000001", "0.000000001"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = cli_text(span_str(cases[i].json));
        assert_string_equal(text, cases[i].text);
        free(text);
    }
}

static void test_object__a_member_a_line(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    cli_object_print(f, CLI_TABLE,
                     SPAN("{\"id\":\"1\",\"created_at\":null,\"tags\":{\"a\":\"b\",\"c\":\"d\"}}"));
    (void)fclose(f);
    assert_string_equal(text,
                        "id          1\n"
                        "created_at  -\n"
                        "tags        a=b, c=d\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__aligned_by_characters_and_without_control),
        cmocka_unit_test(test_csv__quoted_after_rfc_4180),
        cmocka_unit_test(test_text__rates_as_the_command_line_takes_them),
        cmocka_unit_test(test_object__a_member_a_line),
    };
    return cmocka_run_group_tests_name("cli_table", tests, NULL, NULL);
}
