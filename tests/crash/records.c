// All raw records of a data_dir as JSON lines, for tests that compare the ledger with what clients and providers saw.
//
//     records DATA_DIR
//
// Reads beside a running server.
#include <stdio.h>

#include "store/env.h"
#include "store/usage.h"

static const struct {
    uint32_t flag;
    const char *name;
} flags[] = {{STORE_ESTIMATED, "estimated"}, {STORE_CRASHED, "crashed"},   {STORE_CUT, "cut"},
             {STORE_STREAMED, "streamed"},   {STORE_UNPRICED, "unpriced"}, {STORE_FAILED, "failed"},
             {STORE_REFUSED, "refused"}};

// Texts of these tests need no escapes.
static void text(const char *name, struct span s)
{
    printf(",\"%s\":\"%.*s\"", name, SPAN_ARG(s));
}

static bool print_record(const struct store_record *r, void *ctx)
{
    char id[STORE_ID_CHARS];
    uint64_t tokens = 0;
    (void)ctx;
    store_id_text(r->id, id);
    for (int i = 0; i < STORE_TOKENS_COUNT; i++) tokens += r->tokens[i];
    printf("{\"id\":\"%.*s\",\"part\":%u,\"status\":%u,\"key\":%u,\"input\":%u,\"output\":%u,\"tokens\":%llu,"
           "\"nanos\":%lld",
           STORE_ID_CHARS, id, r->part, r->status, r->key, r->tokens[STORE_TOKENS_INPUT],
           r->tokens[STORE_TOKENS_OUTPUT], (unsigned long long)tokens, (long long)r->cost_nanos);
    text("end", r->end);
    text("model", r->texts.model);
    text("user", r->texts.user);
    printf(",\"flags\":[");
    const char *comma = "";
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!(r->flags & flags[i].flag)) continue;
        printf("%s\"%s\"", comma, flags[i].name);
        comma = ",";
    }
    printf("]}\n");
    return true;
}

int main(int argc, char **argv)
{
    char why[STORE_WHY_BYTES];
    struct store *s;
    struct store_reader *r;
    if (argc != 2) {
        fprintf(stderr, "usage: records DATA_DIR\n");
        return 2;
    }
    const struct store_cfg cfg = {.data_dir = argv[1]};
    if (store_open(&cfg, &s, why) != RW_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    enum rw_err err = store_reader_open(s, STORE_USAGE, &r);
    if (!err) {
        const struct store_raw_query all = {.to_ms = (INT64_C(1) << 48) - 1};
        err = store_usage_raw(r, &all, print_record, NULL);
        store_reader_close(r);
    }
    store_close(s);
    if (err) fprintf(stderr, "%s\n", rw_err_name((int)err));
    return err ? 1 : 0;
}
