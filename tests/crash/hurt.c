// Makes the record of a team or a plan unreadable, or, done again, readable as it was: for tests of what a server does whose
// store is damaged. Every bit of the record is turned over.
//
//     hurt DATA_DIR team|plan NAME
//
// Works beside a running server, whose caches are told as by any change.
#include <stdio.h>
#include <string.h>

#include "store/accounts_priv.h"

struct wound {
    enum store_kind kind;
    struct span name;
};

static enum rw_err turn_over(struct store_txn *t, void *ctx)
{
    const struct wound *w = ctx;
    const struct store_name_key at = store_name_key(w->kind, w->name, 0);
    struct span id, record;
    RW_TRY(store_get(t->store, t->txn, TABLE_NAMES, (struct span){at.p, at.n}, &id));
    if (id.n != 4) return RW_E_CORRUPT;
    const struct store_short_key key = store_id_key(w->kind, store_be32_of(id.p));
    RW_TRY(store_get(t->store, t->txn, TABLE_GROUPS, store_short_span(&key), &record));
    uint8_t bytes[STORE_ACCOUNT_BYTES_MAX];
    if (record.n > sizeof bytes) return RW_E_TOO_LARGE;
    for (uint32_t i = 0; i < record.n; i++) bytes[i] = record.p[i] ^ 0xff;
    return store_put(t, TABLE_GROUPS, store_short_span(&key), (struct span){bytes, record.n}, 0);
}

int main(int argc, char **argv)
{
    char why[STORE_WHY_BYTES];
    struct store *s;
    if (argc != 4 || (strcmp(argv[2], "team") != 0 && strcmp(argv[2], "plan") != 0)) {
        fprintf(stderr, "usage: hurt DATA_DIR team|plan NAME\n");
        return 2;
    }
    const struct store_cfg cfg = {.data_dir = argv[1]};
    if (store_open(&cfg, &s, why) != RW_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    struct wound w = {.kind = strcmp(argv[2], "team") == 0 ? STORE_TEAM : STORE_PLAN,
                      .name = span_str(argv[3])};
    const enum rw_err err = store_commit(s, STORE_ACCOUNTS, turn_over, &w);
    store_close(s);
    if (err) fprintf(stderr, "%s\n", rw_err_name((int)err));
    return err ? 1 : 0;
}
