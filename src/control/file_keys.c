// See file_keys.h.
#include "control/file_keys.h"

#include <stdlib.h>

#include "io/clock.h"
#include "store/accounts.h"

struct making {
    struct store *store;
    struct store_reader *reader;
    struct store_buf buf;
    // What is written.
    struct store_account account;
    const uint8_t *hash;
    uint32_t old; // a key that moved to another team
    uint32_t id;
};

static enum rw_err write_one(struct store_txn *t, void *ctx)
{
    struct making *m = ctx;
    struct io_time now;
    io_clock(&now);
    const struct store_act act = {.wall_ms = now.wall_ns / CLOCK_MS,
                                  .actor = SPAN("ringway"),
                                  .detail = SPAN("{\"from\":\"configuration\"}")};
    if (m->old) RW_TRY(store_account_delete(t, STORE_KEY, m->old, &act));
    return store_account_create(t, &m->account, m->hash, &act, &m->id);
}

static enum rw_err make(struct making *m, enum store_kind kind, uint32_t parent, struct span name,
                        const uint8_t *hash, uint32_t *ret_id)
{
    m->account = (struct store_account){
        .kind = (uint8_t)kind, .parent = parent, .name = name, .flags = STORE_FROM_FILE};
    m->hash = hash;
    RW_TRY(store_commit(m->store, STORE_ACCOUNTS, write_one, m));
    *ret_id = m->id;
    return RW_OK;
}

static enum rw_err team_of(struct making *m, struct span name, uint32_t *ret_team, uint32_t *ret_tenant)
{
    struct store_account a;
    enum rw_err err = store_account_named(m->reader, STORE_TEAM, name, &m->buf, &a);
    if (err == RW_OK) {
        *ret_team = a.id;
        *ret_tenant = a.parent;
        return RW_OK;
    }
    if (err != RW_E_NOT_FOUND) return err;
    RW_TRY(store_account_named(m->reader, STORE_TENANT, SPAN("default"), &m->buf, &a));
    *ret_tenant = a.id;
    return make(m, STORE_TEAM, a.id, name, NULL, ret_team);
}

static enum rw_err number(struct making *m, struct span name, struct span team, const uint8_t *hash,
                          struct file_key *ret)
{
    struct store_account a;
    m->old = 0;
    RW_TRY(team_of(m, team, &ret->team, &ret->tenant));
    const enum rw_err err = store_key_find(m->reader, hash, 0, &m->buf, &a);
    if (err == RW_E_NOT_FOUND) return make(m, STORE_KEY, ret->team, name, hash, &ret->key);
    if (err) return err;
    ret->key = a.id;
    if (!(a.flags & STORE_FROM_FILE)) {
        // The same key was made or imported before: its record says whose it is.
        ret->team = a.parent;
        ret->tenant = a.tenant;
        return RW_OK;
    }
    if (a.parent == ret->team && span_eq(a.name, name)) return RW_OK;
    m->old = a.id;
    return make(m, STORE_KEY, ret->team, name, hash, &ret->key);
}

static enum rw_err number_all(struct making *m, const struct store_pepper *pepper, const struct config *c,
                              struct file_key *ret)
{
    uint8_t hash[STORE_HASH_BYTES];
    for (uint32_t i = 0; i < c->key_count; i++) {
        const struct config_key *k = &c->keys[i];
        crypto_hmac(&pepper->hmac, k->key, strlen(k->key), hash);
        RW_TRY(number(m, span_str(k->name), span_str(k->team), hash, &ret[i]));
    }
    return RW_OK;
}

enum rw_err file_keys_number(struct store *s, const struct store_pepper *pepper, const struct config *c,
                             struct file_key *ret)
{
    struct making m = {.store = s,
                       .buf = {.p = malloc(STORE_ACCOUNT_BYTES_MAX), .cap = STORE_ACCOUNT_BYTES_MAX}};
    enum rw_err err = m.buf.p ? store_reader_open(s, STORE_ACCOUNTS, &m.reader) : (enum rw_err) - ENOMEM;
    if (!err) err = number_all(&m, pepper, c, ret);
    if (m.reader) store_reader_close(m.reader);
    free(m.buf.p);
    return err;
}
