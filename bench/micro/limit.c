// What a governed request pays for its limits: admit, reserve, charge and release at five levels, each with requests and
// tokens per minute, concurrency and a budget per day and month, on warm cells. Prints nanoseconds and, where the kernel
// counts them, instructions per request; then the same with fewer levels.
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "policy/limit.h"

#define ROUNDS 200000
#define USD INT64_C(1000000000)

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * CLOCK_SEC + t.tv_nsec;
}

// -1: nobody counts here (a virtual machine, kernel.perf_event_paranoid).
static int count_instructions(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attr,
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static int64_t read_count(int fd)
{
    int64_t n = 0;
    return fd >= 0 && read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

static struct limit_set set;
static struct limit_bound bound[LIMIT_LEVELS];
static struct limit_time now;

static void one_request(struct store_cells *cells, unsigned levels)
{
    struct limit l = {.cells = cells};
    struct limit_refusal why;
    for (unsigned i = 0; i < levels; i++) l.level[i] = &bound[i];
    if (!limit_admit(&l, LIMIT_ALL_LEVELS, &now, &why) || !limit_reserve(&l, 500, USD / 100, &now, &why)) {
        fprintf(stderr, "refused: %s of %s\n", limit_what_name(why.what), limit_level_name(why.level));
        exit(1);
    }
    limit_charge(&l, 450, USD / 200, &now);
    limit_release(&l, &now);
    now.now_ns += CLOCK_MS;
}

int main(void)
{
    char path[] = "/tmp/ringway-micro-XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    const struct store_cells_cfg cfg = {.path = path, .cells = 1024, .layout = LIMIT_LAYOUT};
    struct store_cells *cells = NULL;
    enum store_cells_how how;
    if (store_cells_open(&cfg, &cells, &how) != RW_OK || store_cells_ready(cells) != RW_OK) return 1;
    struct limit_cfg limits = limit_cfg_none();
    limits.rpm = limits.tpm = 500000000;
    limits.concurrency = 1000;
    limits.usd_per_day = limits.usd_per_month = LIMIT_USD_NANOS_MAX;
    const char *why = "";
    if (limit_compile(&limits, LIMIT_KEY, &set, &why) != RW_OK) return 1;
    for (unsigned i = 0; i < 5; i++)
        if (limit_bind(cells, (enum limit_level)i, (struct limit_id){1, 0}, &set, &bound[i]) != RW_OK)
            return 1;
    now.now_ns = 1000 * CLOCK_SEC;
    limit_time_at(&now, NULL, INT64_C(1700000000) * CLOCK_SEC);
    const int counter = count_instructions();
    for (unsigned levels = 0; levels <= 5; levels++) {
        for (int i = 0; i < 1000; i++) one_request(cells, levels);
        const int64_t counted = read_count(counter), begun = clock_ns();
        for (int i = 0; i < ROUNDS; i++) one_request(cells, levels);
        const int64_t ns = clock_ns() - begun, instructions = read_count(counter) - counted;
        printf("limits at %u levels: %4lld ns", levels, (long long)(ns / ROUNDS));
        if (counter >= 0) printf(", %4lld instructions\n", (long long)(instructions / ROUNDS));
        else printf(" (instructions are not counted here)\n");
    }
    store_cells_close(cells);
    unlink(path);
    return 0;
}
