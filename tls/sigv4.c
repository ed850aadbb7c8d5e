// See sigv4.h. The canonical request is never written down: it goes straight into the hash.
#include "tls/sigv4.h"

#include "base/clock.h"
#include "base/fmt.h"

#define SECRET_BYTES_MAX 128
#define EXPIRES_S_MAX 604800

static const char algorithm[] = "AWS4-HMAC-SHA256";
static const char unsigned_payload[] = "UNSIGNED-PAYLOAD";
static const char streamed_payload[] = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
static const char hex_upper[] = "0123456789ABCDEF";

// --- What is hashed, collected to whole updates.

struct sink {
    struct crypto_sha256 hash;
    uint32_t n;
    uint8_t held[192];
};

static void flush(struct sink *s)
{
    crypto_sha256_update(&s->hash, s->held, s->n);
    s->n = 0;
}

static void put_char(struct sink *s, uint8_t c)
{
    if (s->n == sizeof s->held) flush(s);
    s->held[s->n++] = c;
}

static void put(struct sink *s, struct span text)
{
    if (text.n > sizeof s->held - s->n) {
        flush(s);
        if (text.n > sizeof s->held) {
            crypto_sha256_update(&s->hash, text.p, text.n);
            return;
        }
    }
    if (text.n) memcpy(s->held + s->n, text.p, text.n);
    s->n += text.n;
}

static void put_lower(struct sink *s, struct span text)
{
    for (uint32_t i = 0; i < text.n; i++) put_char(s, span_lower(text.p[i]));
}

static bool unreserved(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '-' || c == '.' || c == '_' ||
        c == '~';
}

static void put_encoded(struct sink *s, uint8_t c)
{
    if (unreserved(c)) {
        put_char(s, c);
        return;
    }
    put_char(s, '%');
    put_char(s, (uint8_t)hex_upper[c >> 4]);
    put_char(s, (uint8_t)hex_upper[c & 15]);
}

// --- Path.

static bool path_is_plain(struct span path)
{
    struct span rest = path, segment;
    if (path.n == 0 || path.p[0] != '/') return path.n == 0;
    rest = span_from(path, 1);
    while (span_split(&rest, '/', &segment))
        if (span_eq(segment, SPAN(".")) || span_eq(segment, SPAN("..")) || (segment.n == 0 && rest.p))
            return false;
    return true;
}

static enum rw_err put_path(struct sink *s, struct span path, bool s3)
{
    if (path.n == 0) path = SPAN("/");
    if (path.p[0] != '/' || (!s3 && !path_is_plain(path))) return RW_E_BAD;
    if (s3) put(s, path);
    for (uint32_t i = 0; !s3 && i < path.n; i++) {
        if (path.p[i] == '/') put_char(s, '/');
        else put_encoded(s, path.p[i]);
    }
    return RW_OK;
}

// --- Query: parameters are decoded and encoded anew, and sorted as they are then.

static int hex_digit(uint8_t c)
{
    if ((uint8_t)(c - '0') < 10) return c - '0';
    c |= 0x20;
    return (uint8_t)(c - 'a') < 6 ? c - 'a' + 10 : -1;
}

// The next byte, decoded; -1 at the end. The encoding is known to be whole.
static int take_byte(struct span *rest)
{
    if (rest->n == 0) return -1;
    const uint8_t c = rest->p[0];
    if (c != '%') {
        *rest = span_from(*rest, 1);
        return c;
    }
    const int high = hex_digit(rest->p[1]), low = hex_digit(rest->p[2]);
    MUST(high >= 0 && low >= 0);
    *rest = span_from(*rest, 3);
    return high * 16 + low;
}

static bool encoding_is_whole(struct span text)
{
    for (uint32_t i = 0; i < text.n; i++) {
        if (text.p[i] != '%') continue;
        if (text.n - i < 3 || hex_digit(text.p[i + 1]) < 0 || hex_digit(text.p[i + 2]) < 0) return false;
        i += 2;
    }
    return true;
}

// As the encoded forms compare: what is to be encoded begins with '%', which is less than all that is not.
static int compare_encoded(struct span a, struct span b)
{
    for (;;) {
        const int x = take_byte(&a), y = take_byte(&b);
        if (x < 0 || y < 0) return (x >= 0) - (y >= 0);
        if (x == y) continue;
        const bool plain_x = unreserved((uint8_t)x), plain_y = unreserved((uint8_t)y);
        if (plain_x != plain_y) return plain_x ? 1 : -1;
        return x < y ? -1 : 1;
    }
}

struct parameter {
    struct span name, value;
};

static enum rw_err put_query(struct sink *s, struct span query)
{
    struct parameter list[SIGV4_FIELDS_MAX];
    uint32_t n = 0;
    if (!encoding_is_whole(query)) return RW_E_BAD;
    struct span rest = query, one;
    while (span_split(&rest, '&', &one)) {
        if (one.n == 0) continue;
        if (n == SIGV4_FIELDS_MAX) return RW_E_TOO_LARGE;
        const uint32_t cut = span_find(one, '=');
        const struct parameter p = {span_of(one.p, cut), span_from(one, cut + 1)};
        uint32_t at = n++;
        for (; at > 0; at--) {
            const int order = compare_encoded(list[at - 1].name, p.name);
            if (order < 0 || (order == 0 && compare_encoded(list[at - 1].value, p.value) <= 0)) break;
            list[at] = list[at - 1];
        }
        list[at] = p;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0) put_char(s, '&');
        for (int c; (c = take_byte(&list[i].name)) >= 0;) put_encoded(s, (uint8_t)c);
        put_char(s, '=');
        for (int c; (c = take_byte(&list[i].value)) >= 0;) put_encoded(s, (uint8_t)c);
    }
    return RW_OK;
}

// --- Fields.

struct fields {
    uint32_t n;
    const struct sigv4_field *list[SIGV4_FIELDS_MAX];
};

static int compare_names(struct span a, struct span b)
{
    const uint32_t n = a.n < b.n ? a.n : b.n;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t x = span_lower(a.p[i]), y = span_lower(b.p[i]);
        if (x != y) return x < y ? -1 : 1;
    }
    return (a.n > b.n) - (a.n < b.n);
}

static enum rw_err add_field(struct fields *f, const struct sigv4_field *field)
{
    if (f->n == SIGV4_FIELDS_MAX) return RW_E_TOO_LARGE;
    uint32_t at = f->n;
    for (; at > 0; at--) {
        const int order = compare_names(f->list[at - 1]->name, field->name);
        if (order == 0) return RW_E_BAD;
        if (order < 0) break;
        f->list[at] = f->list[at - 1];
    }
    f->list[at] = field;
    f->n++;
    return RW_OK;
}

static enum rw_err collect(struct fields *f, const struct sigv4_request *request)
{
    f->n = 0;
    for (uint32_t i = 0; i < request->fields; i++) RW_TRY(add_field(f, &request->field[i]));
    return RW_OK;
}

static void put_value(struct sink *s, struct span value)
{
    value = span_trim(value);
    for (uint32_t i = 0; i < value.n; i++)
        if (value.p[i] != ' ' || value.p[i - 1] != ' ') put_char(s, value.p[i]);
}

static void put_fields(struct sink *s, const struct fields *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        put_lower(s, f->list[i]->name);
        put_char(s, ':');
        put_value(s, f->list[i]->value);
        put_char(s, '\n');
    }
    for (uint32_t i = 0; i < f->n; i++) {
        put_char(s, i ? ';' : '\n');
        put_lower(s, f->list[i]->name);
    }
}

// "host;x-amz-date"
static void write_names(struct fmt *out, const struct fields *f, const char *separator)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (i) fmt_str(out, separator);
        for (uint32_t k = 0; k < f->list[i]->name.n; k++)
            fmt_char(out, (char)span_lower(f->list[i]->name.p[k]));
    }
}

// --- Keys and signatures.

static struct span payload_text(const struct sigv4_request *request, char hex[CRYPTO_HEX_CHARS(32)])
{
    if (request->payload == SIGV4_UNSIGNED) return span_str(unsigned_payload);
    if (request->payload == SIGV4_STREAMED) return span_str(streamed_payload);
    MUST(crypto_hex_encode(request->payload_sha256, CRYPTO_SHA256_BYTES, hex, CRYPTO_HEX_CHARS(32)) > 0);
    return span_of(hex, CRYPTO_HEX_CHARS(32));
}

static void write_date(char out[SIGV4_DATE_CHARS], int64_t now_s)
{
    char iso[FMT_TIME_ISO_BYTES]; // 2026-11-21T10:11:12.000000Z
    struct fmt f;
    struct fmt_time cache = {0};
    fmt_init(&f, iso, sizeof iso);
    fmt_time_iso(&f, &cache, now_s * CLOCK_SEC);
    uint32_t n = 0;
    for (uint32_t i = 0; i < 19; i++)
        if (iso[i] != '-' && iso[i] != ':') out[n++] = iso[i];
    out[n++] = 'Z';
    MUST(n == SIGV4_DATE_CHARS);
}

static void step(uint8_t key[CRYPTO_SHA256_BYTES], struct span text)
{
    struct crypto_hmac_key k;
    crypto_hmac_key_init(&k, key, CRYPTO_SHA256_BYTES);
    crypto_hmac(&k, text.p, text.n, key);
    crypto_wipe(&k, sizeof k);
}

static const uint8_t *day_key(struct sigv4_signer *signer, const char *date)
{
    if (memcmp(signer->day, date, SIGV4_DAY_CHARS) != 0) {
        crypto_hmac(&signer->secret, date, SIGV4_DAY_CHARS, signer->day_key);
        step(signer->day_key, signer->region);
        step(signer->day_key, signer->service);
        step(signer->day_key, SPAN("aws4_request"));
        memcpy(signer->day, date, SIGV4_DAY_CHARS);
    }
    return signer->day_key;
}

// What a signature begins with: algorithm, date, scope.
static void begin(struct crypto_hmac *hmac, struct sigv4_signer *signer, const char *date, const char *what)
{
    struct crypto_hmac_key key;
    crypto_hmac_key_init(&key, day_key(signer, date), CRYPTO_SHA256_BYTES);
    crypto_hmac_init(hmac, &key);
    crypto_wipe(&key, sizeof key);
    crypto_hmac_update(hmac, what, strlen(what));
    crypto_hmac_update(hmac, "\n", 1);
    crypto_hmac_update(hmac, date, SIGV4_DATE_CHARS);
    crypto_hmac_update(hmac, "\n", 1);
    crypto_hmac_update(hmac, date, SIGV4_DAY_CHARS);
    crypto_hmac_update(hmac, "/", 1);
    crypto_hmac_update(hmac, signer->region.p, signer->region.n);
    crypto_hmac_update(hmac, "/", 1);
    crypto_hmac_update(hmac, signer->service.p, signer->service.n);
    crypto_hmac_update(hmac, "/aws4_request\n", 14);
}

static void hmac_hex(struct crypto_hmac *hmac, const uint8_t digest[CRYPTO_SHA256_BYTES])
{
    char hex[CRYPTO_HEX_CHARS(CRYPTO_SHA256_BYTES)];
    MUST(crypto_hex_encode(digest, CRYPTO_SHA256_BYTES, hex, sizeof hex) == sizeof hex);
    crypto_hmac_update(hmac, hex, sizeof hex);
}

static void finish(struct crypto_hmac *hmac, char signature[SIGV4_SIGNATURE_CHARS])
{
    uint8_t mac[CRYPTO_SHA256_BYTES];
    crypto_hmac_final(hmac, mac);
    MUST(crypto_hex_encode(mac, sizeof mac, signature, SIGV4_SIGNATURE_CHARS) == SIGV4_SIGNATURE_CHARS);
}

static enum rw_err sign(struct sigv4_signer *signer, const struct sigv4_request *request, struct span query,
                        const struct fields *f, const char *date, char signature[SIGV4_SIGNATURE_CHARS])
{
    struct sink s = {.n = 0};
    uint8_t digest[CRYPTO_SHA256_BYTES];
    char hex[CRYPTO_HEX_CHARS(CRYPTO_SHA256_BYTES)];
    crypto_sha256_init(&s.hash);
    put(&s, request->method);
    put_char(&s, '\n');
    RW_TRY(put_path(&s, request->path, signer->s3));
    put_char(&s, '\n');
    RW_TRY(put_query(&s, query));
    put_char(&s, '\n');
    put_fields(&s, f);
    put_char(&s, '\n');
    put(&s, payload_text(request, hex));
    flush(&s);
    crypto_sha256_final(&s.hash, digest);

    struct crypto_hmac hmac;
    begin(&hmac, signer, date, algorithm);
    hmac_hex(&hmac, digest);
    finish(&hmac, signature);
    return RW_OK;
}

// --- What is offered.

enum rw_err sigv4_signer_init(struct sigv4_signer *signer, const struct sigv4_credentials *credentials,
                              struct span region, struct span service)
{
    uint8_t key[4 + SECRET_BYTES_MAX] = "AWS4";
    const struct span secret = credentials->secret_key;
    if (secret.n > SECRET_BYTES_MAX || credentials->access_key.n > SIGV4_TEXT_FIELD_BYTES_MAX ||
        region.n > SIGV4_TEXT_FIELD_BYTES_MAX || service.n > SIGV4_TEXT_FIELD_BYTES_MAX)
        return RW_E_TOO_LARGE;
    *signer = (struct sigv4_signer){.access_key = credentials->access_key,
                                    .session_token = credentials->session_token,
                                    .region = region,
                                    .service = service,
                                    .s3 = span_eq(service, SPAN("s3"))};
    signer->sends_payload_hash = signer->s3 || span_eq(service, SPAN("aoss"));
    if (secret.n) memcpy(key + 4, secret.p, secret.n);
    crypto_hmac_key_init(&signer->secret, key, 4 + secret.n);
    crypto_wipe(key, sizeof key);
    return RW_OK;
}

void sigv4_signer_wipe(struct sigv4_signer *signer)
{
    crypto_wipe(signer, sizeof *signer);
}

static void write_scope(struct fmt *out, const struct sigv4_signer *signer, const char *date,
                        const char *separator)
{
    fmt_bytes(out, date, SIGV4_DAY_CHARS);
    fmt_str(out, separator);
    fmt_span(out, signer->region);
    fmt_str(out, separator);
    fmt_span(out, signer->service);
    fmt_str(out, separator);
    fmt_str(out, "aws4_request");
}

static enum rw_err add(struct sigv4_signed *ret, struct fields *f, struct span name, struct span value)
{
    struct sigv4_field *field = &ret->add[ret->adds++];
    *field = (struct sigv4_field){name, value};
    return f ? add_field(f, field) : RW_OK;
}

enum rw_err sigv4_sign(struct sigv4_signer *signer, const struct sigv4_request *request,
                       struct sigv4_signed *ret)
{
    struct fields f;
    struct fmt text;
    ret->adds = 0;
    fmt_init(&text, ret->text, sizeof ret->text);
    write_date(ret->date, request->now_s);
    RW_TRY(collect(&f, request));
    RW_TRY(add(ret, &f, SPAN("x-amz-date"), span_of(ret->date, SIGV4_DATE_CHARS)));
    if (signer->session_token.n) RW_TRY(add(ret, &f, SPAN("x-amz-security-token"), signer->session_token));
    if (signer->sends_payload_hash || request->payload != SIGV4_HASHED) {
        const struct span payload = payload_text(request, ret->text);
        if (request->payload == SIGV4_HASHED) text.n = payload.n;
        RW_TRY(add(ret, &f, SPAN("x-amz-content-sha256"), payload));
    }
    RW_TRY(sign(signer, request, request->query, &f, ret->date, ret->signature));

    const uint32_t at = text.n;
    fmt_str(&text, algorithm);
    fmt_str(&text, " Credential=");
    fmt_span(&text, signer->access_key);
    fmt_char(&text, '/');
    write_scope(&text, signer, ret->date, "/");
    fmt_str(&text, ", SignedHeaders=");
    write_names(&text, &f, ";");
    fmt_str(&text, ", Signature=");
    fmt_bytes(&text, ret->signature, SIGV4_SIGNATURE_CHARS);
    if (text.overflow) return RW_E_TOO_LARGE;
    ret->text_n = text.n;
    return add(ret, NULL, SPAN("authorization"), span_from(fmt_text(&text), at));
}

static void write_encoded(struct fmt *out, struct span text)
{
    for (uint32_t i = 0; i < text.n; i++) {
        const uint8_t c = text.p[i];
        const char code[3] = {'%', hex_upper[c >> 4], hex_upper[c & 15]};
        if (unreserved(c)) fmt_char(out, (char)c);
        else fmt_bytes(out, code, sizeof code);
    }
}

enum rw_err sigv4_presign(struct sigv4_signer *signer, const struct sigv4_request *request,
                          uint32_t expires_s, char *out, uint32_t cap, struct span *ret)
{
    MUST(expires_s > 0 && expires_s <= EXPIRES_S_MAX && request->payload != SIGV4_STREAMED);
    struct fields f;
    struct fmt text;
    char date[SIGV4_DATE_CHARS], signature[SIGV4_SIGNATURE_CHARS];
    fmt_init(&text, out, cap);
    write_date(date, request->now_s);
    RW_TRY(collect(&f, request));
    fmt_span(&text, request->query);
    fmt_str(&text, request->query.n ? "&X-Amz-Algorithm=" : "X-Amz-Algorithm=");
    fmt_str(&text, algorithm);
    fmt_str(&text, "&X-Amz-Credential=");
    write_encoded(&text, signer->access_key);
    fmt_str(&text, "%2F");
    write_scope(&text, signer, date, "%2F");
    fmt_str(&text, "&X-Amz-Date=");
    fmt_bytes(&text, date, sizeof date);
    fmt_str(&text, "&X-Amz-Expires=");
    fmt_u64(&text, expires_s);
    if (signer->session_token.n) {
        fmt_str(&text, "&X-Amz-Security-Token=");
        write_encoded(&text, signer->session_token);
    }
    fmt_str(&text, "&X-Amz-SignedHeaders=");
    write_names(&text, &f, "%3B");
    if (text.overflow) return RW_E_TOO_LARGE;
    RW_TRY(sign(signer, request, fmt_text(&text), &f, date, signature));
    fmt_str(&text, "&X-Amz-Signature=");
    fmt_bytes(&text, signature, sizeof signature);
    if (text.overflow) return RW_E_TOO_LARGE;
    *ret = fmt_text(&text);
    return RW_OK;
}

uint32_t sigv4_chunk(struct sigv4_signer *signer, struct sigv4_signed *request, const void *data, size_t n,
                     char out[SIGV4_CHUNK_HEAD_BYTES_MAX])
{
    struct crypto_hmac hmac;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    struct fmt head;
    begin(&hmac, signer, request->date, "AWS4-HMAC-SHA256-PAYLOAD");
    crypto_hmac_update(&hmac, request->signature, SIGV4_SIGNATURE_CHARS);
    crypto_hmac_update(&hmac, "\n", 1);
    crypto_sha256(NULL, 0, digest);
    hmac_hex(&hmac, digest);
    crypto_hmac_update(&hmac, "\n", 1);
    crypto_sha256(data, n, digest);
    hmac_hex(&hmac, digest);
    finish(&hmac, request->signature);
    fmt_init(&head, out, SIGV4_CHUNK_HEAD_BYTES_MAX);
    fmt_hex(&head, n, 1);
    fmt_str(&head, ";chunk-signature=");
    fmt_bytes(&head, request->signature, SIGV4_SIGNATURE_CHARS);
    fmt_str(&head, "\r\n");
    MUST(!head.overflow);
    return head.n;
}
