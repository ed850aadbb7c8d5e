// See check.h.
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

static _Atomic(struct check_site *) sites;

void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "ringway: broken invariant: %s at %s:%d\n", what, file, line);
    abort();
}

void check_count(struct check_site *site)
{
    atomic_fetch_add_explicit(&site->hits, 1, memory_order_relaxed);
    if (atomic_flag_test_and_set(&site->linked)) return;
    struct check_site *head = atomic_load(&sites);
    do {
        site->next = head;
    } while (!atomic_compare_exchange_weak(&sites, &head, site));
}

const struct check_site *check_sites(void)
{
    return atomic_load(&sites);
}
