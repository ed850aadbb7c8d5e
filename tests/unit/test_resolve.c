// resolve: a small DNS server on loopback (UDP and TCP, served between the turns of the loop) that answers
// what each test lets it, and counts. Run over both drivers. Times are short by configuration; nothing here
// asks the machine's own servers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/resolve.h"

#define MS CLOCK_MS
#define PATIENCE_NS (5 * CLOCK_SEC)
#define PACKET_BYTES 1024
#define TYPE_A 1
#define TYPE_AAAA 28

static struct io_driver *(*open_driver)(int *ret_err);
static struct io_loop loop;
static struct budget budget;
static struct io_resolver *resolver;

// --- The server.

enum mode { ANSWERS, NXDOMAIN, SERVFAIL, SILENT, BY_TCP_ONLY };

static struct {
    int udp, listener, tcp;
    enum mode mode;
    uint32_t ttl;
    const char *a[20], *aaaa[4]; // NULL ends them
    int turn; // rotates the answers
    int asked_a, asked_aaaa, asked_by_tcp;
} dns;

static uint8_t *put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

static uint8_t *put_record(uint8_t *p, uint32_t type, const struct io_addr *a)
{
    const uint32_t n = type == TYPE_A ? 4 : 16;
    p = put16(p, 0xc00c); // the question's name
    p = put16(p, type);
    p = put16(p, 1);
    p = put16(put16(p, dns.ttl >> 16), dns.ttl & 0xffff);
    p = put16(p, n);
    memcpy(p, type == TYPE_A ? (const void *)&a->in4.sin_addr : (const void *)&a->in6.sin6_addr, n);
    return p + n;
}

// Turns the question in `packet` into its answer; 0: none.
static size_t answer(uint8_t packet[PACKET_BYTES], size_t n, bool tcp)
{
    size_t end = 12;
    while (end < n && packet[end]) end += packet[end] + 1u;
    end += 5;
    assert_true(n >= 12 && end <= n);
    const uint32_t type = packet[end - 3];
    const char *const *list = type == TYPE_A ? dns.a : dns.aaaa;
    uint32_t count = 0;
    while (list[count]) count++;
    if (type == TYPE_A) dns.asked_a++;
    else dns.asked_aaaa++;
    dns.asked_by_tcp += tcp;
    if (dns.mode == SILENT) return 0;
    const bool cut = dns.mode == BY_TCP_ONLY && !tcp;
    const bool with = (dns.mode == ANSWERS || dns.mode == BY_TCP_ONLY) && !cut;
    packet[2] = (uint8_t)(0x80 | (packet[2] & 1) | (cut ? 2 : 0));
    packet[3] = (uint8_t)(0x80 | (dns.mode == NXDOMAIN ? 3 : dns.mode == SERVFAIL ? 2 : 0));
    put16(packet + 6, with ? count : 0);
    put16(packet + 8, 0);
    put16(packet + 10, 0);
    uint8_t *p = packet + end;
    for (uint32_t i = 0; with && i < count; i++) {
        struct io_addr a;
        assert_int_equal(io_addr_parse_ip(span_str(list[(i + (uint32_t)dns.turn) % count]), 0, &a), RW_OK);
        p = put_record(p, type, &a);
    }
    return (size_t)(p - packet);
}

static void serve_udp(void)
{
    uint8_t packet[PACKET_BYTES];
    struct io_addr from;
    for (;;) {
        socklen_t n = sizeof from.in6;
        const ssize_t got = recvfrom(dns.udp, packet, sizeof packet, MSG_DONTWAIT, &from.sa, &n);
        if (got < 0) return;
        const size_t out = answer(packet, (size_t)got, false);
        if (out) assert_int_equal(sendto(dns.udp, packet, out, 0, &from.sa, n), out);
    }
}

static void serve_tcp(void)
{
    uint8_t packet[2 + PACKET_BYTES];
    if (dns.tcp < 0) dns.tcp = accept4(dns.listener, NULL, NULL, SOCK_NONBLOCK);
    while (dns.tcp >= 0) {
        const ssize_t got = recv(dns.tcp, packet, 2, MSG_PEEK);
        if (got < 0) return;
        if (got == 0) {
            close(dns.tcp);
            dns.tcp = -1;
            return;
        }
        const size_t n = (size_t)packet[0] << 8 | packet[1];
        assert_int_equal(recv(dns.tcp, packet, 2 + n, 0), 2 + n);
        const size_t out = answer(packet + 2, n, true);
        put16(packet, (uint32_t)out);
        if (out) assert_int_equal(send(dns.tcp, packet, 2 + out, 0), 2 + out);
    }
}

static uint16_t server_open(void)
{
    struct io_addr a;
    socklen_t n = sizeof a.in6;
    memset(&dns, 0, sizeof dns);
    dns.tcp = -1;
    // A port that is free for both.
    for (;;) {
        assert_int_equal(io_addr_parse(SPAN("127.0.0.1:0"), &a), RW_OK);
        dns.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(dns.udp, &a.sa, a.n), 0);
        assert_int_equal(getsockname(dns.udp, &a.sa, &n), 0);
        dns.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int on = 1;
        assert_int_equal(setsockopt(dns.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
        if (bind(dns.listener, &a.sa, a.n) == 0 && listen(dns.listener, 8) == 0) break;
        close(dns.udp);
        close(dns.listener);
    }
    dns.ttl = 60;
    return io_addr_port(&a);
}

// --- The world around it.

static char servers[32];
static int32_t try_ms; // short where a test waits for it to pass

static void resolver_open(int64_t fresh_min_ns, int64_t fresh_max_ns)
{
    const struct io_resolver_cfg cfg = {
        .servers = servers, .fresh_min_ns = fresh_min_ns, .fresh_max_ns = fresh_max_ns, .try_ms = try_ms};
    assert_int_equal(io_resolver_open(&loop, &cfg, &resolver), RW_OK);
}

static int setup(void **state)
{
    (void)state;
    int err = 0;
    struct io_driver *d = open_driver(&err);
    assert_non_null(d);
    budget = (struct budget){.limit = 1 << 20};
    const struct io_loop_cfg cfg = {.budget = &budget, .fibers_max = 4};
    assert_int_equal(io_loop_open(&loop, d, &cfg), RW_OK);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", server_open());
    resolver = NULL;
    try_ms = 1000;
    return 0;
}

static void turn(void)
{
    io_loop_turn(&loop, loop.now_ns + 2 * MS);
    serve_udp();
    serve_tcp();
}

#define TURN_UNTIL(cond) \
    do { \
        const int64_t end_ = loop.now_ns + PATIENCE_NS; \
        while (!(cond)) { \
            turn(); \
            if (loop.now_ns > end_) fail_msg("waited in vain for " #cond); \
        } \
    } while (0)

static void turn_for(int64_t ns)
{
    const int64_t end = loop.now_ns + ns;
    while (loop.now_ns < end) turn();
}

static void note_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void resolver_close(void)
{
    bool closed = false;
    io_resolver_close(resolver, note_closed, &closed);
    TURN_UNTIL(closed);
    resolver = NULL;
}

static int teardown(void **state)
{
    (void)state;
    if (resolver) resolver_close();
    assert_int_equal(loop.ops_in_flight, 0);
    io_loop_close(&loop);
    close(dns.udp);
    close(dns.listener);
    if (dns.tcp >= 0) close(dns.tcp);
    return 0;
}

// Whoever watches a name.
struct watcher {
    struct io_watch *watch;
    int calls;
    int err;
    bool unwatch_when_called;
    struct watcher *unwatch_too;
    char text[400]; // the addresses, sorted, with a blank behind each
};

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void resolved(void *ctx, const struct io_addr_set *set, int err)
{
    struct watcher *w = ctx;
    static char each[IO_ADDR_SET_MAX][IO_ADDR_TEXT_BYTES];
    w->calls++;
    w->err = err;
    w->text[0] = 0;
    assert_int_equal(set == NULL, err != 0);
    if (w->unwatch_when_called) io_resolver_unwatch(w->watch);
    if (w->unwatch_too) io_resolver_unwatch(w->unwatch_too->watch);
    if (!set) return;
    assert_in_range(set->n, 1, IO_ADDR_SET_MAX);
    for (uint32_t i = 0; i < set->n; i++) io_addr_text(&set->addr[i], true, each[i]);
    qsort(each, set->n, sizeof each[0], by_text);
    for (uint32_t i = 0; i < set->n; i++) {
        strncat(w->text, each[i], sizeof w->text - strlen(w->text) - 1);
        strncat(w->text, " ", sizeof w->text - strlen(w->text) - 1);
    }
}

static void watch(struct watcher *w, const char *host)
{
    *w = (struct watcher){.unwatch_when_called = w->unwatch_when_called};
    assert_int_equal(io_resolver_watch(resolver, span_str(host), 443, resolved, w, &w->watch), RW_OK);
}

static int asked(void)
{
    return dns.asked_a + dns.asked_aaaa;
}

// --- Tests.

static void test_watch__literal_answers_at_once(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"10.1.2.3", "10.1.2.3:443 "}, {"::1", "[::1]:443 "}, {"[2001:db8::7]", "[2001:db8::7]:443 "}};
    resolver_open(10 * MS, 20 * MS);
    struct watcher w = {0};
    for (int i = 0; i < 3; i++) {
        watch(&w, rows[i][0]);
        assert_int_equal(w.calls, 1);
        assert_string_equal(w.text, rows[i][1]);
        turn_for(50 * MS);
        assert_int_equal(w.calls, 1);
        io_resolver_unwatch(w.watch);
    }
    assert_int_equal(asked(), 0);
}

static void test_watch__both_families_with_port(void **state)
{
    (void)state;
    struct watcher w = {0};
    resolver_open(0, 0);
    dns.a[0] = "192.0.2.1";
    dns.a[1] = "192.0.2.2";
    dns.a[2] = "192.0.2.1"; // said twice
    dns.aaaa[0] = "2001:db8::1";
    watch(&w, "api.example.com");
    assert_null(io_watch_known(w.watch));
    TURN_UNTIL(w.calls > 0);
    assert_string_equal(w.text, "192.0.2.1:443 192.0.2.2:443 [2001:db8::1]:443 ");
    assert_int_equal(io_watch_known(w.watch)->n, 3);
    assert_int_equal(dns.asked_a, 1);
    assert_int_equal(dns.asked_aaaa, 1);
}

static void test_watch__more_addresses_than_are_used(void **state)
{
    (void)state;
    static char text[20][16];
    struct watcher w = {0};
    resolver_open(0, 0);
    for (int i = 0; i < 19; i++) {
        snprintf(text[i], sizeof text[i], "192.0.2.%d", i + 1);
        dns.a[i] = text[i];
    }
    watch(&w, "large.example.com");
    TURN_UNTIL(w.calls > 0);
    assert_int_equal(io_watch_known(w.watch)->n, IO_ADDR_SET_MAX);
}

static void test_watch__hosts_file_comes_first(void **state)
{
    (void)state;
    struct watcher w = {0};
    resolver_open(0, 0);
    dns.a[0] = "192.0.2.1";
    watch(&w, "localhost");
    TURN_UNTIL(w.calls > 0);
    assert_non_null(strstr(w.text, "127.0.0.1:443 "));
    assert_int_equal(asked(), 0);
}

static void test_watch__asked_again_before_the_ttl_ends(void **state)
{
    (void)state;
    struct watcher w = {0};
    resolver_open(10 * MS, 0);
    dns.ttl = 1;
    dns.a[0] = "192.0.2.1";
    dns.a[1] = "192.0.2.2";
    watch(&w, "fresh.example.com");
    TURN_UNTIL(w.calls > 0);
    int64_t since = loop.now_ns, shortest = CLOCK_NEVER;
    // The same in another order is no news, another set is, and so is a smaller one.
    for (int i = 0; i < 3; i++) {
        if (i == 0) dns.turn = 1;
        if (i == 1) dns.a[1] = "192.0.2.3";
        if (i == 2) dns.a[1] = NULL;
        TURN_UNTIL(dns.asked_a == i + 2);
        shortest = clock_earlier(shortest, loop.now_ns - since);
        since = loop.now_ns;
        TURN_UNTIL(w.calls == i + 1);
        turn_for(20 * MS);
        assert_int_equal(w.calls, i + 1);
        if (i == 1) assert_string_equal(w.text, "192.0.2.1:443 192.0.2.3:443 ");
    }
    assert_string_equal(w.text, "192.0.2.1:443 ");
    // Not before it is needed, and before the second is over; the shortest, as a busy machine may be late.
    assert_in_range(shortest, 800 * MS, 980 * MS);
}

static void test_watch__ttl_is_held_within_bounds(void **state)
{
    (void)state;
    struct watcher w = {0};
    resolver_open(60 * MS, 120 * MS);
    dns.a[0] = "192.0.2.1";
    dns.ttl = 0; // at once again, it says
    watch(&w, "short.example.com");
    turn_for(400 * MS);
    assert_in_range(dns.asked_a, 2, 7);
    dns.ttl = 86400;
    turn_for(100 * MS); // the last of the short ones
    const int before = dns.asked_a;
    turn_for(600 * MS);
    assert_in_range(dns.asked_a - before, 2, 6);
    assert_int_equal(w.calls, 1);
}

static void test_watch__first_failure_is_told_once_and_then_the_success(void **state)
{
    (void)state;
    try_ms = 40;
    static const struct {
        enum mode mode;
        int err;
    } rows[] = {
        {NXDOMAIN, RW_E_NOT_FOUND}, {SERVFAIL, -EREMOTEIO}, {SILENT, -ETIMEDOUT}, {ANSWERS, RW_E_NOT_FOUND}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct watcher w = {0};
        resolver_open(10 * MS, 0);
        memset(dns.a, 0, sizeof dns.a); // ANSWERS without an address: the name exists, nothing else
        dns.mode = rows[i].mode;
        watch(&w, "late.example.com");
        TURN_UNTIL(w.calls > 0);
        if (rows[i].mode == SERVFAIL)
            assert_true(w.err == -EREMOTEIO || w.err == -ECONNREFUSED || w.err == -ETIMEDOUT);
        else assert_int_equal(w.err, rows[i].err);
        assert_null(io_watch_known(w.watch));
        const int before = asked();
        TURN_UNTIL(asked() > before + 2); // it is tried again
        assert_int_equal(w.calls, 1);
        dns.mode = ANSWERS;
        dns.a[0] = "192.0.2.9";
        TURN_UNTIL(w.calls == 2);
        assert_string_equal(w.text, "192.0.2.9:443 ");
        assert_int_equal(w.err, 0);
        resolver_close();
    }
}

static void test_watch__stale_addresses_stay_on_error(void **state)
{
    (void)state;
    try_ms = 40;
    static const enum mode modes[] = {NXDOMAIN, SERVFAIL, SILENT, ANSWERS};
    for (size_t i = 0; i < 4; i++) {
        struct watcher w = {0};
        struct io_resolver_stats stats;
        resolver_open(10 * MS, 20 * MS);
        dns.mode = ANSWERS;
        dns.a[0] = "192.0.2.5";
        watch(&w, "stale.example.com");
        TURN_UNTIL(w.calls == 1);
        dns.mode = modes[i];
        dns.a[0] = NULL;
        io_resolver_stats(resolver, &stats);
        assert_int_equal(stats.stale, 0);
        while (stats.failed < 3) {
            turn();
            io_resolver_stats(resolver, &stats);
        }
        assert_int_equal(stats.stale, 1);
        assert_int_equal(stats.watched, 1);
        assert_int_equal(w.calls, 1);
        assert_int_equal(io_watch_known(w.watch)->n, 1);
        dns.mode = ANSWERS;
        dns.a[0] = "192.0.2.6";
        TURN_UNTIL(w.calls == 2);
        assert_string_equal(w.text, "192.0.2.6:443 ");
        io_resolver_stats(resolver, &stats);
        assert_int_equal(stats.stale, 0);
        resolver_close();
    }
}

static void test_watch__pauses_grow_while_it_fails(void **state)
{
    (void)state;
    struct watcher w = {0};
    resolver_open(20 * MS, 0);
    dns.mode = NXDOMAIN;
    watch(&w, "gone.example.com");
    turn_for(600 * MS);
    assert_in_range(dns.asked_a, 2, 6); // at 0, 20, 60, 140, 300, 620 ms
}

static void test_watch__cut_answers_are_asked_for_by_tcp(void **state)
{
    (void)state;
    struct watcher w = {0};
    resolver_open(0, 0);
    dns.mode = BY_TCP_ONLY;
    dns.a[0] = "192.0.2.77";
    watch(&w, "long.example.com");
    TURN_UNTIL(w.calls > 0);
    assert_string_equal(w.text, "192.0.2.77:443 ");
    assert_true(dns.asked_by_tcp > 0);
}

static void test_watch__many_names(void **state)
{
    (void)state;
    enum { NAMES = 60 };
    static struct watcher w[NAMES];
    resolver_open(30 * MS, 60 * MS);
    dns.a[0] = "192.0.2.1";
    for (int i = 0; i < NAMES; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example.com", i);
        watch(&w[i], name);
    }
    for (int i = 0; i < NAMES; i++) TURN_UNTIL(w[i].calls > 0);
    for (int i = 0; i < NAMES; i += 2) io_resolver_unwatch(w[i].watch);
    dns.a[0] = "192.0.2.2";
    for (int i = 1; i < NAMES; i += 2) TURN_UNTIL(w[i].calls > 1);
    for (int i = 0; i < NAMES; i++) {
        assert_int_equal(w[i].calls, i % 2 ? 2 : 1);
        assert_string_equal(w[i].text, i % 2 ? "192.0.2.2:443 " : "192.0.2.1:443 ");
    }
}

static void test_watch__bad_names_are_refused(void **state)
{
    (void)state;
    char name[255];
    memset(name, 'a', sizeof name);
    struct io_watch *w;
    resolver_open(0, 0);
    assert_int_equal(io_resolver_watch(resolver, SPAN(""), 1, resolved, NULL, &w), RW_E_BAD);
    assert_int_equal(io_resolver_watch(resolver, SPAN("a\0b"), 1, resolved, NULL, &w), RW_E_BAD);
    assert_int_equal(io_resolver_watch(resolver, span_of(name, 254), 1, resolved, NULL, &w), RW_E_BAD);
    // A label that is too long is for DNS to refuse.
    struct watcher long_label = {0};
    name[100] = 0;
    watch(&long_label, name);
    TURN_UNTIL(long_label.calls > 0);
    assert_true(long_label.err != 0);
}

static void test_unwatch__while_it_is_asked_and_from_the_callback(void **state)
{
    (void)state;
    struct watcher quiet = {0}, once = {.unwatch_when_called = true}, never = {.unwatch_when_called = true};
    resolver_open(10 * MS, 20 * MS);
    dns.a[0] = "192.0.2.1";
    watch(&quiet, "quiet.example.com");
    io_resolver_unwatch(quiet.watch);
    watch(&once, "once.example.com");
    TURN_UNTIL(once.calls > 0);
    dns.mode = NXDOMAIN;
    watch(&never, "never.example.com");
    TURN_UNTIL(never.calls > 0);
    dns.a[0] = "192.0.2.2";
    turn_for(60 * MS);
    assert_int_equal(quiet.calls, 0);
    assert_int_equal(once.calls, 1);
    assert_int_equal(never.calls, 1);
}

static void test_unwatch__of_one_that_would_be_called_next(void **state)
{
    (void)state;
    // Both answers lie in the socket before it is read, so one call into c-ares brings both.
    struct watcher a = {0}, b = {0};
    resolver_open(0, 0);
    dns.a[0] = "192.0.2.1";
    watch(&a, "a.example.com");
    watch(&b, "b.example.com");
    a.unwatch_too = &b;
    b.unwatch_too = &a;
    TURN_UNTIL(a.calls + b.calls > 0);
    turn_for(30 * MS);
    assert_int_equal(a.calls + b.calls, 1);
}

static void test_close__with_questions_under_way(void **state)
{
    (void)state;
    struct watcher w[3] = {0};
    resolver_open(0, 0);
    dns.mode = SILENT;
    for (int i = 0; i < 3; i++)
        watch(&w[i], i == 0 ? "x.example.com" : i == 1 ? "y.example.com" : "z.example.com");
    turn();
    assert_true(loop.ops_in_flight > 0);
    resolver_close();
    assert_int_equal(loop.ops_in_flight, 0);
    assert_int_equal(w[0].calls + w[1].calls + w[2].calls, 0);
}

static void test_set__outlives_the_watch_when_held(void **state)
{
    (void)state;
    struct watcher w = {0};
    resolver_open(0, 0);
    watch(&w, "10.0.0.1");
    struct io_addr_set *mine = io_addr_set_hold(io_watch_known(w.watch));
    io_resolver_unwatch(w.watch);
    assert_int_equal(mine->n, 1);
    assert_int_equal(io_addr_port(&mine->addr[0]), 443);
    io_addr_set_drop(mine);
    io_addr_set_drop(NULL);
}

static void test_open__servers_that_are_none(void **state)
{
    (void)state;
    const struct io_resolver_cfg cfg = {.servers = "not an address"};
    assert_int_equal(io_resolver_open(&loop, &cfg, &resolver), RW_E_CONFIG);
    assert_null(resolver);
}

// --- The drivers.

static struct io_driver *open_uring(int *ret_err)
{
    return io_uring_open(64, ret_err);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_watch__literal_answers_at_once),
        T(test_watch__both_families_with_port),
        T(test_watch__more_addresses_than_are_used),
        T(test_watch__hosts_file_comes_first),
        T(test_watch__asked_again_before_the_ttl_ends),
        T(test_watch__ttl_is_held_within_bounds),
        T(test_watch__first_failure_is_told_once_and_then_the_success),
        T(test_watch__stale_addresses_stay_on_error),
        T(test_watch__pauses_grow_while_it_fails),
        T(test_watch__cut_answers_are_asked_for_by_tcp),
        T(test_watch__many_names),
        T(test_watch__bad_names_are_refused),
        T(test_unwatch__while_it_is_asked_and_from_the_callback),
        T(test_unwatch__of_one_that_would_be_called_next),
        T(test_close__with_questions_under_way),
        T(test_set__outlives_the_watch_when_held),
        T(test_open__servers_that_are_none),
    };
    int failed = 0, err = 0;
    signal(SIGPIPE, SIG_IGN); // as serve does
    struct io_driver *ring = io_uring_open(8, &err);
    if (ring) {
        ring->ops->close(ring);
        open_driver = open_uring;
        failed += cmocka_run_group_tests_name("resolve: io_uring", tests, NULL, NULL);
    } else {
        printf("SKIPPED: over io_uring, the kernel refuses it with %s\n", rw_err_name(err));
    }
    open_driver = io_epoll_open;
    return failed + cmocka_run_group_tests_name("resolve: epoll", tests, NULL, NULL);
}
