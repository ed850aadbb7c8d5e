// `ringway tls-check PROVIDER|HOST[:PORT]`: connects as the gateway would,
// twice, and says what was found: address, suite, the chain with its names and
// expiry, whether sessions are resumed, and what is wrong, with the mend.
// Blocking calls: this process does nothing else.
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fmt.h"
#include "control/cli.h"
#include "control/config.h"
#include "control/plan_tls.h"
#include "io/addr.h"
#include "io/clock.h"
#include "net/upstream.h"
#include "tls/tls_describe.h"

#define WAIT_S 10
#define CHAIN_MAX 10
#define SOON_S (INT64_C(30) * 86400)
#define DAY_S INT64_C(86400)

struct target {
    struct config_provider provider; // one of the configuration, or made of HOST:PORT
    char host[TLS_HOST_BYTES_MAX + 1];
};

struct attempt {
    enum tls_why why;
    struct tls_info info;
    struct tls_session session;
    int64_t took_ns;
    uint32_t certs;
    struct tls_description cert[CHAIN_MAX];
};

static int64_t now_ns(void)
{
    struct io_time t;
    io_clock(&t);
    return t.now_ns;
}

static int64_t wall_ns(void)
{
    struct io_time t;
    io_clock(&t);
    return t.wall_ns;
}

// --- What is to be looked at.

// HOST, HOST:PORT, [IPv6]:PORT.
static bool parse_target(const char *text, struct target *ret)
{
    struct span host = span_str(text), port = SPAN("443");
    uint64_t number;
    if (host.n > 0 && host.p[0] == '[') {
        const uint32_t end = span_find(host, ']');
        if (end == host.n) return false;
        if (end + 1 < host.n && host.p[end + 1] == ':') port = span_from(host, end + 2);
        host = span_of(host.p + 1, end - 1);
    } else {
        const uint32_t colon = span_find(host, ':');
        if (colon < host.n) port = span_from(host, colon + 1);
        host.n = colon;
    }
    if (host.n == 0 || host.n > TLS_HOST_BYTES_MAX || !span_u64(port, &number) || number == 0 ||
        number > 65535)
        return false;
    memcpy(ret->host, host.p, host.n);
    ret->host[host.n] = 0;
    ret->provider = (struct config_provider){
        .name = text, .base_url = {.text = text, .host = ret->host, .port = (uint16_t)number, .tls = true}};
    return true;
}

static bool find_provider(const struct config *config, const char *name, struct target *ret)
{
    for (uint32_t i = 0; i < config->provider_count; i++) {
        if (strcmp(config->providers[i].name, name) != 0) continue;
        ret->provider = config->providers[i];
        return true;
    }
    return false;
}

// --- Connecting.

static bool send_all(int fd, struct span text)
{
    while (text.n > 0) {
        const ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL);
        if (n <= 0) return false;
        text = span_from(text, (uint32_t)n);
    }
    return true;
}

// Has the proxy connect us further. False: it does not, and it was said why.
static bool tunnel(const struct config_provider *p, int fd)
{
    static const struct http_rules rules = {
        .head_bytes_max = HTTP_HEAD_BYTES, .target_bytes_max = 1, .fields_max = HTTP_FIELDS_MAX};
    static struct http_head head;
    static char text[2048 + PROXY_TEXT_BYTES_MAX];
    static uint8_t in[HTTP_HEAD_BYTES];
    const char *who = p->proxy.authorization, *why = "it closed the connection without an answer";
    const char *open = strchr(p->base_url.host, ':') ? "[" : "", *shut = *open ? "]" : "";
    const int n =
        snprintf(text, sizeof text, "CONNECT %s%s%s:%u HTTP/1.1\r\nhost: %s%s%s:%u\r\n%s%s%s\r\n", open,
                 p->base_url.host, shut, p->base_url.port, open, p->base_url.host, shut, p->base_url.port,
                 who ? "proxy-authorization: " : "", who ? who : "", who ? "\r\n" : "");
    MUST(n > 0 && (size_t)n < sizeof text);
    bool good = send_all(fd, span_of(text, (uint32_t)n));
    int r = HTTP_NEED_MORE;
    // Byte by byte: what follows the head is the provider's.
    http_head_init(&head);
    for (uint32_t have = 0; good && r == HTTP_NEED_MORE && have < sizeof in;) {
        if (recv(fd, in + have, 1, 0) != 1) break;
        r = http_response_parse(in, ++have, &rules, HTTP_METHOD_OTHER, &head);
    }
    crypto_wipe(text, sizeof text);
    good = r > 0 && head.status / 100 == 2;
    if (r > 0) why = up_proxy_why(head.status);
    else if (r != HTTP_NEED_MORE) why = "it does not answer in HTTP: is this an HTTP proxy?";
    if (!good)
        fprintf(stderr, "the proxy %s:%u does not lead to the provider: %s\n", p->proxy.host, p->proxy.port,
                why);
    return good;
}

// A connected socket, or -1 and it was said why. *ret_addr: where it is
// connected to.
static int dial(const struct config_provider *p, struct io_addr *ret_addr)
{
    char port[8];
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval wait = {.tv_sec = WAIT_S};
    int fd = -1, err = 0;
    const char *host = p->proxy.host ? p->proxy.host : p->base_url.host;
    snprintf(port, sizeof port, "%u", (unsigned)(p->proxy.host ? p->proxy.port : p->base_url.port));
    if (p->connect_to.addr.n == 0) {
        const int failed = getaddrinfo(host, port, &hints, &found);
        if (failed) {
            fprintf(stderr, "the name %s cannot be resolved: %s\n", host, gai_strerror(failed));
            return -1;
        }
    }
    struct addrinfo given = {.ai_family = p->connect_to.addr.sa.sa_family};
    struct io_addr to = p->connect_to.addr;
    for (const struct addrinfo *a = found ? found : &given; a && fd < 0; a = a->ai_next) {
        if (found) {
            if (a->ai_addrlen > sizeof(struct sockaddr_in6)) continue;
            to = (struct io_addr){.n = a->ai_addrlen};
            memcpy(&to.sa, a->ai_addr, a->ai_addrlen);
        }
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        if (connect(fd, &to.sa, to.n) == 0) break;
        err = errno;
        close(fd);
        fd = -1;
    }
    if (found) freeaddrinfo(found);
    if (fd < 0) fprintf(stderr, "%s:%s cannot be connected to: %s\n", host, port, strerror(err));
    else if (p->proxy.host && !tunnel(p, fd)) {
        close(fd);
        fd = -1;
    }
    *ret_addr = to;
    return fd;
}

static void keep_certificate(void *ctx, struct span der)
{
    struct attempt *a = ctx;
    if (a->certs < CHAIN_MAX && tls_describe(der, &a->cert[a->certs])) a->certs++;
}

static enum tls_why shake(struct tls_handshake *h, int fd)
{
    static uint8_t in[32768];
    uint32_t have = 0;
    for (;;) {
        struct tls_turn t = {.in = in, .in_n = have};
        tls_handshake_turn(h, &t);
        have -= t.used;
        memmove(in, in + t.used, have);
        const bool sent = send_all(fd, t.out);
        if (t.step == TLS_FAILED) return tls_handshake_why(h);
        if (t.step == TLS_DONE) return TLS_OK;
        if (!sent) return TLS_CUT;
        if (t.step == TLS_WANTS_TURN) continue;
        const ssize_t n = have < sizeof in ? recv(fd, in + have, sizeof in - have, 0) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return TLS_TIMEOUT;
        if (n <= 0) return TLS_CUT;
        have += (uint32_t)n;
    }
}

// One connection. False: there was none, and it was said why.
static bool attempt(const struct config_provider *p, struct tls_client *client,
                    const struct tls_session *resume, struct attempt *ret, struct io_addr *ret_addr)
{
    const int fd = dial(p, ret_addr);
    if (fd < 0) return false;
    void *memory = aligned_alloc(16, TLS_HANDSHAKE_BYTES);
    *ret = (struct attempt){.why = TLS_NO_MEMORY};
    if (memory) {
        const int64_t start = now_ns();
        struct tls_handshake *h = tls_client_start(memory, client, resume, wall_ns());
        tls_handshake_watch(h, keep_certificate, ret);
        ret->why = shake(h, fd);
        ret->took_ns = now_ns() - start;
        if (ret->why == TLS_OK) tls_handshake_finish(h, NULL, &ret->session, &ret->info);
        tls_handshake_end(h);
    }
    free(memory);
    close(fd);
    return true;
}

// --- Saying it.

static void write_date(int64_t s)
{
    char text[FMT_TIME_ISO_BYTES + 1];
    struct fmt_time cache = {0};
    struct fmt f;
    fmt_init(&f, text, sizeof text);
    // Beyond 2262 the nanoseconds end.
    fmt_time_iso(&f, &cache, (s < INT64_C(9000000000) ? s : INT64_C(9000000000)) * CLOCK_SEC);
    printf("%.10s", text);
}

static void write_chain(const struct attempt *a, int64_t now_s)
{
    for (uint32_t i = 0; i < a->certs; i++) {
        const struct tls_description *d = &a->cert[i];
        printf("%-11s %s, issued by %s%s, %s, ", i ? "" : "chain", d->subject, d->issuer,
               d->self_signed ? " (itself)" : "", d->key);
        write_date(d->not_before_s);
        printf(" to ");
        write_date(d->not_after_s);
        if (now_s > d->not_after_s) printf(" (expired)");
        else printf(" (%lld days)", (long long)((d->not_after_s - now_s) / DAY_S));
        printf("\n");
        if (i == 0 && d->names[0]) printf("%-11s for %s\n", "", d->names);
    }
}

static void write_resumption(const struct config_provider *p, struct tls_client *client,
                             const struct attempt *first)
{
    static struct attempt second; // too large for a frame, as the one of check()
    struct io_addr addr;
    const char *found = "no: it offers no session to resume; every new "
                        "connection costs a whole handshake";
    if (first->session.usable) {
        if (!attempt(p, client, &first->session, &second, &addr)) return;
        if (second.why == TLS_OK && second.info.resumed) found = "yes";
        else found = "no: it offered a session and did not take it up again";
    }
    printf("%-11s %s\n", "resumption", found);
}

static int check(const struct config_provider *p, struct tls_client *client)
{
    static struct attempt a;
    struct io_addr addr;
    char text[IO_ADDR_TEXT_BYTES];
    if (!attempt(p, client, NULL, &a, &addr)) return 1;
    const int64_t now_s = wall_ns() / CLOCK_SEC;
    (void)io_addr_text(&addr, true, text);
    printf("%-11s %s port %u\n%-11s %s", "host", p->base_url.host, p->base_url.port, "address", text);
    if (p->proxy.host) printf(", through the proxy %s port %u", p->proxy.host, p->proxy.port);
    printf("\n");
    if (a.why == TLS_OK)
        printf("%-11s TLS 1.2, %s, %s%s%s, %lld ms\n", "handshake", a.info.suite, a.info.curve,
               a.info.alpn[0] ? ", " : "", a.info.alpn, (long long)(a.took_ns / CLOCK_MS));
    write_chain(&a, now_s);
    if (a.why != TLS_OK) {
        printf("%-11s %s: %s\n", "FAILED", tls_why_name(a.why), tls_why_text(a.why));
        return 1;
    }
    write_resumption(p, client, &a);
    for (uint32_t i = 0; i < a.certs; i++)
        if (a.cert[i].not_after_s - now_s < SOON_S)
            printf("%-11s %s expires in less than 30 days; it has to be renewed there\n", "warning",
                   a.cert[i].subject);
    printf("%-11s not checked: whether a certificate was revoked\n", "good");
    return 0;
}

int cli_run_tls_check(const struct cli *c)
{
    static struct target t;
    struct config *config = NULL;
    struct config_errors errors = {0};
    struct plan_tls tls = {0};
    struct plan_tls_made made = {0};
    char why[1024];
    int status = 2;
    if (c->config && config_load(c->config, &config_env_process, &config, &errors)) {
        config_errors_write(&errors, c->config, stderr);
        config_errors_free(&errors);
        return 2;
    }
    const char *what = c->argument[0], *ca = cli_value(c, "--ca-file");
    if (!(config && find_provider(config, what, &t)) && !parse_target(what, &t)) {
        fprintf(stderr,
                "ringway: %s is neither a provider of the configuration nor "
                "HOST:PORT\n",
                what);
    } else if (!t.provider.base_url.tls) {
        fprintf(stderr, "ringway: %s speaks no TLS: its base_url is not https://\n", what);
    } else {
        if (ca) t.provider.ca_file = ca;
        if (plan_tls_client(&tls, &t.provider, &made, why, sizeof why))
            status = check(&t.provider, made.client);
        else fprintf(stderr, "%s\n", why);
    }
    tls_client_let_go(made.client);
    plan_tls_done(&tls);
    config_free(config);
    return status;
}
