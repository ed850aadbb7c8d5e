// See doctor.h.
#include "control/doctor.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/fmt.h"
#include "control/plan_tls.h"
#include "io/probe.h"
#include "tls/crypto.h"
#include "tls/tls_aes.h"

static void json_field(FILE *out, const char *before, const char *key, const char *value)
{
    static char text[FMT_JSON_BYTES(512)]; // one thread, and too large for a frame
    struct fmt f;
    fmt_init(&f, text, sizeof text);
    fmt_json_string(&f, span_str(value));
    fprintf(out, "%s\"%s\":%.*s", before, key, (int)f.n, f.p);
}

// The trust store for https providers.
static void write_tls(bool json, FILE *out)
{
    struct plan_tls tls = {0};
    char why[384] = "", value[384] = "";
    uint32_t count = 0;
    const char *path = plan_tls_system(&tls, &count, why, sizeof why);
    if (path) snprintf(value, sizeof value, "%s, %u certificates", path, count);
    const char *state = path ? "ok" : "warn";
    if (json) {
        json_field(out, ",{", "what", "trust store");
        json_field(out, ",", "state", state);
        json_field(out, ",", "value", value);
        json_field(out, ",", "why", path ? "" : "https providers without ca_file cannot be reached");
        json_field(out, ",", "mend", why);
        fputs("}", out);
    } else {
        fprintf(out, "%-5s %-14s %s\n", state, "trust store", value);
        if (!path) fprintf(out, "      %-14s mend: %s\n", "", why);
    }
    plan_tls_done(&tls);
}

// What encryption runs on. Portable code is fifty times slower.
static void write_crypto(bool json, FILE *out)
{
    char value[128];
    const bool fast = tls_aes_is_fast();
    snprintf(value, sizeof value, "AES-GCM %s, SHA-256 %s", tls_aes_name(), crypto_sha256_name());
    const char *state = fast ? "ok" : "warn",
               *why = fast ? "" : "no AES instructions: TLS prefers ChaCha20-Poly1305";
    if (json) {
        json_field(out, ",{", "what", "cryptography");
        json_field(out, ",", "state", state);
        json_field(out, ",", "value", value);
        json_field(out, ",", "why", why);
        json_field(out, ",", "mend", "");
        fputs("}", out);
    } else {
        fprintf(out, "%-5s %-14s %s\n", state, "cryptography", value);
        if (!fast) fprintf(out, "      %-14s %s\n", "", why);
    }
}

static void write_json(const struct io_probe *p, FILE *out)
{
    fputs("{\"findings\":[", out);
    for (int i = 0; i < IO_PROBE_ROW_COUNT; i++) {
        const struct io_probe_row *r = &p->row[i];
        json_field(out, i ? ",{" : "{", "what", r->what);
        json_field(out, ",", "state", io_probe_state_name(r->state));
        json_field(out, ",", "value", r->value);
        json_field(out, ",", "why", r->why);
        json_field(out, ",", "mend", r->mend);
        fputs("}", out);
    }
    write_crypto(true, out);
    write_tls(true, out);
    fputs("]}\n", out);
}

static void write_table(const struct io_probe *p, FILE *out)
{
    for (int i = 0; i < IO_PROBE_ROW_COUNT; i++) {
        const struct io_probe_row *r = &p->row[i];
        fprintf(out, "%-5s %-14s %s\n", io_probe_state_name(r->state), r->what, r->value);
        if (r->why[0]) fprintf(out, "      %-14s %s\n", "", r->why);
        if (r->mend[0]) fprintf(out, "      %-14s mend: %s\n", "", r->mend);
    }
    write_crypto(false, out);
    write_tls(false, out);
    if (!io_probe_uring_ok(p))
        fputs("\nWithout io_uring `ringway serve` goes on with epoll (io: auto).\n", out);
}

int doctor_run(bool json, FILE *out)
{
    struct io_probe *p = malloc(sizeof *p);
    if (!p) {
        fputs("out of memory\n", out);
        return 1;
    }
    io_probe_run(p, NULL);
    if (json) write_json(p, out);
    else write_table(p, out);
    int status = 0;
    for (int i = 0; i < IO_PROBE_ROW_COUNT; i++)
        if (p->row[i].state == IO_PROBE_BAD) status = 1;
    free(p);
    return status;
}
