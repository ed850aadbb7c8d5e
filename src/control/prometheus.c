// See prometheus.h. A line is formatted into the free end of the page, which is first made large enough for
// any line; so the page grows in few steps and is never cut inside a line.
#include "control/prometheus.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fmt.h"

// The longest line: two label values, each byte of them escaped as two, beside names and numbers; or a help
// text.
#define LINE_BYTES_MAX (4 * METRIC_NAME_BYTES_MAX + 512)
#define GROW_BYTES_MIN KIB(64)

void prometheus_init(struct prometheus_text *t, uint32_t max)
{
    MUST(max >= LINE_BYTES_MAX && max <= PROMETHEUS_BYTES_MAX);
    *t = (struct prometheus_text){.max = max};
}

void prometheus_done(struct prometheus_text *t)
{
    free(t->p);
    t->p = NULL;
    t->n = t->cap = 0;
}

// Room for one line. False: the page is as large as it may be, and stays so.
static bool room(struct prometheus_text *t)
{
    if (t->overflow) return false;
    if (t->cap - t->n >= LINE_BYTES_MAX) return true;
    const uint32_t want = t->cap == 0 ? GROW_BYTES_MIN : t->cap < t->max / 2 ? t->cap * 2 : t->max;
    const uint32_t cap = want < t->max ? want : t->max;
    char *p = cap - t->n >= LINE_BYTES_MAX ? realloc(t->p, cap) : NULL;
    if (!p) {
        t->overflow = true;
        return false;
    }
    t->p = p;
    t->cap = cap;
    return true;
}

static bool line_begin(struct prometheus_text *t, struct fmt *ret_line)
{
    if (!room(t)) return false;
    fmt_init(ret_line, t->p + t->n, LINE_BYTES_MAX);
    return true;
}

static void line_end(struct prometheus_text *t, struct fmt *line)
{
    fmt_char(line, '\n');
    MUST(!line->overflow);
    t->n += line->n;
}

static void family(struct prometheus_text *t, const char *name, const char *help, enum metric_kind kind)
{
    struct fmt line;
    if (!line_begin(t, &line)) return;
    fmt_str(&line, "# HELP ");
    fmt_str(&line, name);
    fmt_char(&line, ' ');
    fmt_str(&line, help);
    line_end(t, &line);
    if (!line_begin(t, &line)) return;
    fmt_str(&line, "# TYPE ");
    fmt_str(&line, name);
    static const char *const kinds[] = {[METRIC_COUNTER] = " counter",
                                        [METRIC_GAUGE] = " gauge",
                                        [METRIC_NANOS] = " counter",
                                        [METRIC_LONG] = " histogram",
                                        [METRIC_SHORT] = " histogram"};
    fmt_str(&line, kinds[kind]);
    line_end(t, &line);
}

// One more label of a line that ends with '{' or with a label. Backslash, quote and line feed are escaped;
// names come from the configuration, which is UTF-8.
static void label(struct fmt *line, const char *name, struct span value)
{
    if (line->p[line->n - 1] != '{') fmt_char(line, ',');
    fmt_str(line, name);
    fmt_str(line, "=\"");
    for (uint32_t i = 0; i < value.n && i < METRIC_NAME_BYTES_MAX; i++) {
        const char c = (char)value.p[i];
        if (c == '\\' || c == '"' || c == '\n') fmt_char(line, '\\');
        fmt_char(line, c == '\n' ? 'n' : c);
    }
    fmt_char(line, '"');
}

// Behind the labels, if there are any, the value follows.
static void labels_end(struct fmt *line)
{
    if (line->p[line->n - 1] == '{') line->n--;
    else fmt_char(line, '}');
    fmt_char(line, ' ');
}

// --- Metrics with cells.

struct series {
    const struct metric_info *info;
    const struct prometheus_source *source;
    uint32_t row;
    uint32_t fixed; // index over both fixed labels
};

static uint64_t sum_of(const struct series *s, uint32_t cell)
{
    uint64_t sum = 0;
    for (uint32_t w = 0; w < s->source->worker_count; w++) {
        const metric_cell *cells = metric_row_cells(s->source->workers[w], s->info->set, s->row);
        if (cells) sum += atomic_load_explicit(&cells[(s->info->id & 0xffff) + cell], memory_order_relaxed);
    }
    return sum;
}

static void fixed_labels(struct fmt *line, const struct series *s)
{
    const uint32_t second = metric_label_values(s->info->labels[1]);
    const uint32_t value[2] = {s->fixed / second, s->fixed % second};
    for (int i = 0; i < 2; i++) {
        if (s->info->labels[i] == METRIC_LABEL_UNUSED) continue;
        label(line, metric_label_name(s->info->labels[i]),
              span_str(metric_label_value(s->info->labels[i], value[i])));
    }
}

// Name and labels up to, but without, the value. `le`: of a bucket, or empty.
static bool sample_begin(struct prometheus_text *t, struct fmt *line, const struct series *s,
                         const char *suffix, struct span le)
{
    if (!line_begin(t, line)) return false;
    fmt_str(line, s->info->name);
    fmt_str(line, suffix);
    fmt_char(line, '{');
    if (s->info->set != METRIC_SET_PLAIN)
        label(line, "model", metric_row_model(s->source->labels, s->info->set, s->row));
    if (s->info->set == METRIC_SET_TARGET)
        label(line, "provider", metric_row_provider(s->source->labels, s->row));
    fixed_labels(line, s);
    if (le.n) label(line, "le", le);
    labels_end(line);
    return true;
}

static void number(struct prometheus_text *t, const struct series *s)
{
    const uint64_t value = sum_of(s, s->fixed);
    const bool is_only = s->info->set == METRIC_SET_PLAIN && s->info->labels[0] == METRIC_LABEL_UNUSED;
    struct fmt line;
    if (value == 0 && s->info->kind != METRIC_GAUGE && !is_only) return;
    if (!sample_begin(t, &line, s, "", (struct span){NULL, 0})) return;
    if (s->info->kind == METRIC_GAUGE) fmt_i64(&line, (int64_t)value);
    else if (s->info->kind == METRIC_NANOS) fmt_decimal(&line, (int64_t)value, 9);
    else fmt_u64(&line, value);
    line_end(t, &line);
}

// A bound in seconds, cut to nanoseconds. Observations are whole nanoseconds, so the cut moves none of them.
static struct span bound_text(enum metric_kind kind, uint32_t bucket, char out[FMT_DECIMAL_BYTES])
{
    const uint64_t units = metric_bucket_bound(kind, bucket), mask = (UINT64_C(1) << 30) - 1;
    if (units == UINT64_MAX) return SPAN("+Inf");
    const uint64_t ns = (units >> 30) * 1000000000 + ((units & mask) * 1000000000 >> 30);
    return span_of(out, (size_t)(fmt_raw_decimal(out, (int64_t)ns, 9) - out));
}

static void histogram(struct prometheus_text *t, const struct series *s)
{
    const enum metric_kind kind = (enum metric_kind)s->info->kind;
    uint64_t count = 0, bucket[METRIC_BUCKETS];
    for (uint32_t b = 0; b < METRIC_BUCKETS; b++) count += bucket[b] = sum_of(s, 1 + b);
    if (count == 0 && s->info->set != METRIC_SET_PLAIN) return;
    struct fmt line;
    uint64_t below = 0;
    for (uint32_t b = 0; b < METRIC_BUCKETS; b++) {
        char text[FMT_DECIMAL_BYTES];
        below += bucket[b];
        if (!sample_begin(t, &line, s, "_bucket", bound_text(kind, b, text))) return;
        fmt_u64(&line, below);
        line_end(t, &line);
    }
    if (!sample_begin(t, &line, s, "_sum", (struct span){NULL, 0})) return;
    fmt_decimal(&line, (int64_t)sum_of(s, 0), 9);
    line_end(t, &line);
    if (!sample_begin(t, &line, s, "_count", (struct span){NULL, 0})) return;
    fmt_u64(&line, count);
    line_end(t, &line);
}

static void families_of_workers(struct prometheus_text *t, const struct prometheus_source *source)
{
    uint32_t n;
    const struct metric_info *table = metric_table(&n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t fixed =
            metric_label_values(table[i].labels[0]) * metric_label_values(table[i].labels[1]);
        family(t, table[i].name, table[i].help, (enum metric_kind)table[i].kind);
        struct series s = {.info = &table[i], .source = source};
        for (s.row = 0; s.row < metric_rows(source->labels, table[i].set); s.row++) {
            if (table[i].kind >= METRIC_LONG) {
                histogram(t, &s);
                continue;
            }
            for (s.fixed = 0; s.fixed < fixed; s.fixed++) number(t, &s);
        }
    }
}

// --- Names that dashboards of older gateways use: sums over the metrics above.

static void old_requests(struct prometheus_text *t, const struct prometheus_source *source, struct series *s)
{
    struct fmt line;
    family(t, "omni_llm_requests_total", "Requests that ended (the older name).", METRIC_COUNTER);
    for (s->row = 0; s->row < metric_rows(source->labels, METRIC_SET_TARGET); s->row++) {
        uint64_t sum = 0;
        for (uint32_t cell = 0; cell < METRIC_STATUS_COUNT * RW_END_COUNT; cell++) sum += sum_of(s, cell);
        if (sum == 0) continue;
        if (!line_begin(t, &line)) return;
        fmt_str(&line, "omni_llm_requests_total{");
        label(&line, "model", metric_row_model(source->labels, METRIC_SET_TARGET, s->row));
        label(&line, "provider", metric_row_provider(source->labels, s->row));
        labels_end(&line);
        fmt_u64(&line, sum);
        line_end(t, &line);
    }
}

static uint64_t errors_of_row(const struct series *s)
{
    uint64_t sum = 0;
    for (uint32_t cell = 0; cell < METRIC_STATUS_COUNT * RW_END_COUNT; cell++)
        if (end_info((enum rw_end)(cell % RW_END_COUNT))->is_error) sum += sum_of(s, cell);
    return sum;
}

// Rows of one provider are added up at the first of them.
static void old_errors(struct prometheus_text *t, const struct prometheus_source *source, struct series *s)
{
    struct fmt line;
    const uint32_t rows = metric_rows(source->labels, METRIC_SET_TARGET);
    family(t, "omni_llm_errors_by_provider", "Requests that ended with an error (the older name).",
           METRIC_COUNTER);
    for (uint32_t first = 0; first < rows; first++) {
        const struct span provider = metric_row_provider(source->labels, first);
        bool is_first = true;
        uint64_t sum = 0;
        for (s->row = 0; s->row < rows; s->row++) {
            if (!span_eq(metric_row_provider(source->labels, s->row), provider)) continue;
            if (s->row < first) is_first = false;
            sum += errors_of_row(s);
        }
        if (!is_first || sum == 0) continue;
        if (!line_begin(t, &line)) return;
        fmt_str(&line, "omni_llm_errors_by_provider{");
        label(&line, "provider", provider);
        labels_end(&line);
        fmt_u64(&line, sum);
        line_end(t, &line);
    }
}

static void families_of_old_names(struct prometheus_text *t, const struct prometheus_source *source)
{
    uint32_t n;
    const struct metric_info *info = metric_table(&n);
    while (info->id != METRIC_REQUESTS) info++;
    struct series s = {.info = info, .source = source};
    old_requests(t, source, &s);
    old_errors(t, source, &s);
}

// --- Metrics of the process.

static void suspicious(struct prometheus_text *t, const char *name)
{
    struct fmt line;
    for (const struct check_site *site = check_sites(); site; site = site->next) {
        if (!line_begin(t, &line)) return;
        fmt_str(&line, name);
        fmt_char(&line, '{');
        label(&line, "file", span_str(site->file));
        char number_text[FMT_U64_BYTES];
        const char *number_end = fmt_raw_u64(number_text, (uint64_t)site->line);
        label(&line, "line", span_of(number_text, (size_t)(number_end - number_text)));
        label(&line, "what", span_str(site->what));
        labels_end(&line);
        fmt_u64(&line, atomic_load_explicit(&site->hits, memory_order_relaxed));
        line_end(t, &line);
    }
}

static void expiries(struct prometheus_text *t, const struct prometheus_source *s, const char *name)
{
    struct plan_tls_expiry e;
    struct fmt line;
    for (uint32_t i = 0; s->tls && plan_tls_expiry(s->tls, i, &e); i++) {
        const struct span path = span_str(e.path);
        if (!line_begin(t, &line)) return;
        fmt_str(&line, name);
        fmt_char(&line, '{');
        // The end of a path tells more than its beginning.
        label(&line, "file",
              path.n > METRIC_NAME_BYTES_MAX ? span_from(path, path.n - METRIC_NAME_BYTES_MAX) : path);
        labels_end(&line);
        fmt_i64(&line, e.expires_s);
        line_end(t, &line);
    }
}

// Of sources that are renewed: when each expires, or how often that failed.
static void credentials(struct prometheus_text *t, const struct prometheus_source *s, const char *name,
                        bool failures)
{
    struct fmt line;
    for (uint32_t i = 0; s->credentials && i < s->credentials->count; i++) {
        const struct credentials_source *from = &s->credentials->source[i];
        if (from->kind == CREDENTIALS_AWS_KEYS) continue;
        if (!failures && from->now && !from->now->expires_s) continue; // never
        if (!line_begin(t, &line)) return;
        fmt_str(&line, name);
        fmt_char(&line, '{');
        label(&line, "provider", span_str(from->name));
        labels_end(&line);
        if (failures) fmt_u64(&line, from->failures);
        else fmt_i64(&line, from->now ? from->now->expires_s : 0);
        line_end(t, &line);
    }
}

static void labelled_one(struct prometheus_text *t, const char *name, const char *a, const char *a_value,
                         const char *b, const char *b_value)
{
    struct fmt line;
    if (!line_begin(t, &line)) return;
    fmt_str(&line, name);
    fmt_char(&line, '{');
    label(&line, a, span_str(a_value));
    if (b) label(&line, b, span_str(b_value));
    labels_end(&line);
    fmt_char(&line, '1');
    line_end(t, &line);
}

// value / 10^decimals
static void single(struct prometheus_text *t, const char *name, uint64_t value, uint32_t decimals)
{
    struct fmt line;
    if (!line_begin(t, &line)) return;
    fmt_str(&line, name);
    fmt_char(&line, ' ');
    if (decimals) fmt_decimal(&line, (int64_t)value, decimals);
    else fmt_u64(&line, value);
    line_end(t, &line);
}

static void process_values(struct prometheus_text *t, const struct prometheus_source *s,
                           enum metric_process which, const char *name)
{
    switch (which) {
    case METRIC_BUILD_INFO: labelled_one(t, name, "version", s->version, "build", s->build); break;
    case METRIC_IO_BACKEND: labelled_one(t, name, "backend", s->io_backend, NULL, NULL); break;
    case METRIC_WORKERS: single(t, name, s->worker_count, 0); break;
    case METRIC_LOG_DROPPED: single(t, name, s->log_lines_dropped, 0); break;
    case METRIC_SUSPICIOUS: suspicious(t, name); break;
    case METRIC_LEDGER_RECORDS: single(t, name, s->ledger_records, 0); break;
    case METRIC_LEDGER_CRASHED: single(t, name, s->ledger_crashed, 0); break;
    case METRIC_LEDGER_WAITING: single(t, name, s->ledger_waiting, 0); break;
    case METRIC_CACHE_ENTRIES: single(t, name, s->cache_entries, 0); break;
    case METRIC_CACHE_BYTES: single(t, name, s->cache_bytes, 0); break;
    case METRIC_CACHE_EVICTED: single(t, name, s->cache_evicted, 0); break;
    case METRIC_CACHE_FAILED: single(t, name, s->cache_failed, 0); break;
    case METRIC_LEDGER_TROUBLE: single(t, name, s->ledger_trouble, 0); break;
    case METRIC_CERTIFICATE_EXPIRES: expiries(t, s, name); break;
    case METRIC_CREDENTIAL_EXPIRES: credentials(t, s, name, false); break;
    case METRIC_CREDENTIAL_FAILURES: credentials(t, s, name, true); break;
    case METRIC_RESIDENT: single(t, name, s->process.resident_bytes, 0); break;
    case METRIC_VIRTUAL: single(t, name, s->process.virtual_bytes, 0); break;
    case METRIC_OPEN_FDS: single(t, name, s->process.open_fds, 0); break;
    case METRIC_MAX_FDS: single(t, name, s->process.max_fds, 0); break;
    case METRIC_START_TIME: single(t, name, s->process.start_ms, 3); break;
    case METRIC_CPU: single(t, name, s->process.cpu_ms, 3); break;
    case METRIC_PROCESS_COUNT: UNREACHABLE("a count, not a metric");
    }
}

#define X(symbol, name_, kind_, help_) [symbol] = {.name = (name_), .help = (help_), .kind = (kind_)},
static const struct {
    const char *name;
    const char *help;
    enum metric_kind kind;
} process_table[METRIC_PROCESS_COUNT] = {RW_METRICS_PROCESS(X)};
#undef X

void prometheus_render(struct prometheus_text *t, const struct prometheus_source *s)
{
    t->n = 0;
    t->overflow = false;
    for (uint32_t i = 0; i < METRIC_PROCESS_COUNT; i++) {
        family(t, process_table[i].name, process_table[i].help, process_table[i].kind);
        process_values(t, s, (enum metric_process)i, process_table[i].name);
    }
    families_of_workers(t, s);
    families_of_old_names(t, s);
}

// --- /proc.

// The file's beginning as a span of `buffer`; empty if it cannot be read.
static struct span proc_read(const char *path, char *buffer, size_t cap)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return (struct span){NULL, 0};
    const ssize_t n = read(fd, buffer, cap);
    close(fd);
    return span_of(buffer, n > 0 ? (size_t)n : 0);
}

// Field `index` (from 0) of what is separated by single spaces; 0 if it is not there.
static uint64_t proc_field(struct span text, uint32_t index)
{
    struct span field = {NULL, 0};
    uint64_t v = 0;
    for (uint32_t i = 0; i <= index; i++)
        if (!span_split(&text, ' ', &field)) return 0;
    return span_u64(field, &v) ? v : 0;
}

// Seconds since 1970 at which the machine started, of the line "btime N" in /proc/stat. It stands behind one
// line for each processor and the interrupts, which may be long: only the beginnings of lines are kept.
static uint64_t boot_time(void)
{
    const int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    char chunk[512], line[32];
    uint32_t line_n = 0;
    uint64_t found = 0;
    for (ssize_t n; !found && (n = read(fd, chunk, sizeof chunk)) > 0;) {
        for (ssize_t i = 0; i < n && !found; i++) {
            if (chunk[i] != '\n') {
                if (line_n < sizeof line) line[line_n++] = chunk[i];
                continue;
            }
            const struct span s = span_of(line, line_n);
            if (span_starts(s, SPAN("btime "))) found = proc_field(s, 1);
            line_n = 0;
        }
    }
    close(fd);
    return found;
}

static uint64_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return 0;
    uint64_t n = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) n += entry->d_name[0] != '.';
    closedir(dir);
    return n > 0 ? n - 1 : 0; // without the one that is reading
}

void prometheus_process_read(struct prometheus_process *ret)
{
    char buffer[512];
    const uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK), page = (uint64_t)sysconf(_SC_PAGESIZE);
    const struct span stat = proc_read("/proc/self/stat", buffer, sizeof buffer);
    // The second field is the program's name in parentheses and may hold anything: fields are counted from
    // behind its end, where the third begins (proc(5)).
    uint32_t name_end = stat.n;
    while (name_end && stat.p[name_end - 1] != ')') name_end--;
    const struct span fields = span_from(stat, name_end + 1);
    struct rlimit files = {0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    *ret = (struct prometheus_process){
        .resident_bytes = proc_field(fields, 24 - 3) * page,
        .virtual_bytes = proc_field(fields, 23 - 3),
        .open_fds = count_fds(),
        .max_fds = files.rlim_cur,
        .start_ms = boot_time() * 1000 + proc_field(fields, 22 - 3) * 1000 / ticks,
        .cpu_ms = (proc_field(fields, 14 - 3) + proc_field(fields, 15 - 3)) * 1000 / ticks,
    };
}
