// A folder for a test's store, made new below $TMPDIR and removed with all that is in it; and a store opened
// there or the test fails.
#ifndef RINGWAY_TESTS_STORE_DIR_H
#define RINGWAY_TESTS_STORE_DIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/env.h"

static char store_dir_path[256];

static inline int store_dir_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void store_dir_remove(void)
{
    if (store_dir_path[0]) (void)nftw(store_dir_path, store_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    store_dir_path[0] = 0;
}

static inline void store_dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(store_dir_path, sizeof store_dir_path, "%s/ringway-store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(store_dir_path));
}

static inline struct store *store_dir_open(void)
{
    // Small maps: address space is what sanitizers and RLIMIT_AS run out of.
    const struct store_cfg cfg = {.data_dir = store_dir_path,
                                  .map_bytes = {UINT64_C(1) << 30, UINT64_C(4) << 30}};
    struct store *s = NULL;
    char why[STORE_WHY_BYTES];
    const enum rw_err err = store_open(&cfg, &s, why);
    if (err) (void)fprintf(stderr, "store_open: %s\n", why);
    assert_int_equal(err, RW_OK);
    return s;
}

#endif
