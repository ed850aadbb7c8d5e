// dial: connecting to the first of several addresses that answers. Method: real sockets on both of the kernel's drivers. An
// address that swallows packets is a listener whose queue is full: the kernel drops what comes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "io/dial.h"

#define PATIENCE_NS (20 * CLOCK_SEC)

struct world {
    struct io_loop loop;
    struct budget budget;
    struct scope scope;
    // Of the dial under test.
    struct io_addr addr[IO_DIAL_MAX];
    uint32_t n, which;
    int64_t deadline_in_ns, took_ns;
    int fd;
};

static void all_ended(struct scope *s)
{
    s->loop->driver->ops->wake(s->loop->driver);
}

static bool world_open(struct world *w, bool ring)
{
    int err = 0;
    struct io_driver *d = ring ? io_uring_open(64, &err) : io_epoll_open(&err);
    if (!d && ring) return false; // blocked here
    assert_non_null(d);
    *w = (struct world){.budget = {.limit = 1 << 20}, .deadline_in_ns = PATIENCE_NS};
    const struct io_loop_cfg cfg = {.budget = &w->budget, .fibers_max = 4};
    assert_int_equal(io_loop_open(&w->loop, d, &cfg), RW_OK);
    scope_init(&w->scope, &w->loop);
    w->scope.on_empty = all_ended;
    return true;
}

static int dial_fiber(void *arg)
{
    struct world *w = arg;
    const int64_t from = w->loop.now_ns;
    w->fd = io_dial(&w->loop, w->addr, w->n, NULL, from + w->deadline_in_ns, &w->which);
    w->took_ns = w->loop.now_ns - from;
    return 0;
}

static void dial(struct world *w)
{
    io_loop_turn(&w->loop, 0); // reads the clock
    assert_int_equal(scope_spawn(&w->scope, dial_fiber, w), RW_OK);
    while (!scope_empty(&w->scope)) io_loop_turn(&w->loop, CLOCK_NEVER);
    assert_int_equal(w->loop.ops_in_flight, 0);
}

static struct io_addr bound(int fd)
{
    struct io_addr a = {.n = sizeof a.in6};
    assert_int_equal(getsockname(fd, &a.sa, &a.n), 0);
    return a;
}

static int listener(const char *ip, int backlog, struct io_addr *ret)
{
    struct io_addr a;
    assert_int_equal(io_addr_parse_ip(span_str(ip), 0, &a), RW_OK);
    const int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, &a.sa, a.n) != 0) {
        if (fd >= 0) close(fd);
        return -1;
    }
    assert_int_equal(listen(fd, backlog), 0);
    *ret = bound(fd);
    return fd;
}

// A listener that answers nobody any more.
struct hole {
    int fd, waiting[4];
    struct io_addr addr;
};

static void hole_open(struct hole *h)
{
    h->fd = listener("127.0.0.1", 0, &h->addr);
    assert_true(h->fd >= 0);
    for (int i = 0; i < 4; i++) {
        h->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int r = connect(h->waiting[i], &h->addr.sa, h->addr.n);
        assert_true(r == 0 || errno == EINPROGRESS);
    }
}

static void hole_close(struct hole *h)
{
    for (int i = 0; i < 4; i++) close(h->waiting[i]);
    close(h->fd);
}

static struct io_addr refusing(void)
{
    struct io_addr a;
    close(listener("127.0.0.1", 1, &a));
    return a;
}

static void on_both(void (*test)(struct world *w))
{
    for (int ring = 0; ring < 2; ring++) {
        struct world w;
        if (!world_open(&w, ring)) {
            print_message("io_uring is blocked on this machine: NOT TESTED\n");
            continue;
        }
        test(&w);
        io_loop_close(&w.loop);
    }
}

static void refused_first(struct world *w)
{
    struct io_addr good;
    const int l = listener("127.0.0.1", 8, &good);
    w->n = 3;
    w->addr[0] = w->addr[1] = refusing();
    w->addr[2] = good;
    dial(w);
    assert_true(w->fd >= 0);
    assert_int_equal(w->which, 2);
    assert_true(w->took_ns < IO_DIAL_DELAY_NS); // a refusal is not waited for
    close(w->fd);
    close(l);
}

static void test_dial__a_refusal_is_followed_at_once(void **state)
{
    (void)state;
    on_both(refused_first);
}

static void dead_first(struct world *w)
{
    struct hole h;
    struct io_addr good;
    hole_open(&h);
    const int l = listener("127.0.0.1", 8, &good);
    w->n = 2;
    w->addr[0] = h.addr;
    w->addr[1] = good;
    dial(w);
    assert_true(w->fd >= 0);
    assert_int_equal(w->which, 1);
    assert_true(w->took_ns >= IO_DIAL_DELAY_NS && w->took_ns < PATIENCE_NS / 2);
    const struct io_addr mine = bound(w->fd);
    assert_true(io_addr_port(&mine) != 0);
    close(w->fd);
    close(l);
    hole_close(&h);
}

static void test_dial__a_dead_address_costs_a_moment(void **state)
{
    (void)state;
    on_both(dead_first);
}

static void dead_six(struct world *w)
{
    struct io_addr good6;
    struct hole h;
    const int l = listener("::1", 8, &good6);
    if (l < 0) {
        print_message("no IPv6 on this machine: NOT TESTED\n");
        return;
    }
    hole_open(&h);
    const struct io_addr found[] = {h.addr, h.addr, h.addr, good6};
    w->n = io_dial_order(found, 4, w->addr, IO_DIAL_MAX);
    dial(w);
    assert_int_equal(w->which, 1); // the other family's turn
    close(w->fd);
    close(l);
    hole_close(&h);
}

static void test_dial__the_other_family_is_second(void **state)
{
    (void)state;
    on_both(dead_six);
}

static void all_dead(struct world *w)
{
    struct hole h;
    hole_open(&h);
    w->deadline_in_ns = 60 * CLOCK_MS;
    w->n = 3;
    w->addr[0] = w->addr[1] = w->addr[2] = h.addr;
    dial(w);
    assert_int_equal(w->fd, -ETIME);
    assert_true(w->took_ns >= w->deadline_in_ns);
    hole_close(&h);
    w->deadline_in_ns = PATIENCE_NS;
    w->addr[0] = w->addr[1] = w->addr[2] = refusing();
    dial(w);
    assert_int_equal(w->fd, -ECONNREFUSED);
}

static void test_dial__nobody_answers(void **state)
{
    (void)state;
    on_both(all_dead);
}

static void short_time(struct world *w)
{
    struct hole h;
    struct io_addr good;
    hole_open(&h);
    const int l = listener("127.0.0.1", 8, &good);
    w->deadline_in_ns = 200 * CLOCK_MS;
    w->n = 4;
    for (uint32_t i = 0; i < 3; i++) w->addr[i] = h.addr;
    w->addr[3] = good;
    dial(w);
    assert_int_equal(w->which, 3);
    close(w->fd);
    close(l);
    hole_close(&h);
}

static void test_dial__every_address_has_its_turn_in_a_short_time(void **state)
{
    (void)state;
    on_both(short_time);
}

static int cancel_fiber(void *arg)
{
    struct world *w = arg;
    scope_cancel(&w->scope, END_CLIENT_GONE);
    return 0;
}

static void cancelled(struct world *w)
{
    struct hole h;
    hole_open(&h);
    w->n = 2;
    w->addr[0] = w->addr[1] = h.addr;
    io_loop_turn(&w->loop, 0);
    assert_int_equal(scope_spawn(&w->scope, dial_fiber, w), RW_OK);
    io_loop_turn(&w->loop, 0);
    assert_int_equal(scope_spawn(&w->scope, cancel_fiber, w), RW_OK);
    while (!scope_empty(&w->scope)) io_loop_turn(&w->loop, CLOCK_NEVER);
    assert_int_equal(w->fd, -ECANCELED);
    assert_int_equal(w->loop.ops_in_flight, 0);
    hole_close(&h);
}

static void test_dial__cancelled_leaves_nothing(void **state)
{
    (void)state;
    on_both(cancelled);
}

static void test_order__families_alternate(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; // '4' or '6', each with a number
    } cases[] = {{"61624142", "61416242"}, {"616263414243", "614162426343"}, {"41", "41"},
                 {"4161", "4161"},         {"61626341", "61416263"},         {"", ""}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct io_addr in[8], out[8];
        char said[17] = "";
        const uint32_t n = (uint32_t)strlen(cases[c].in) / 2;
        for (uint32_t i = 0; i < n; i++) {
            uint8_t bytes[16] = {10, 0, 0, (uint8_t)cases[c].in[2 * i + 1]};
            bytes[15] = bytes[3];
            in[i] = io_addr_of_ip(bytes, cases[c].in[2 * i] == '4' ? 4 : 16, 1);
        }
        assert_int_equal(io_dial_order(in, n, out, 8), n);
        for (uint32_t i = 0; i < n; i++) {
            const bool four = out[i].sa.sa_family == AF_INET;
            said[2 * i] = four ? '4' : '6';
            said[2 * i + 1] =
                (char)(four ? ntohl(out[i].in4.sin_addr.s_addr) & 0xff : out[i].in6.sin6_addr.s6_addr[15]);
        }
        assert_string_equal(said, cases[c].out);
        // Cut, both families are still there.
        if (n > 2) assert_int_equal(io_dial_order(in, n, out, 2), 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dial__a_refusal_is_followed_at_once),
        cmocka_unit_test(test_dial__a_dead_address_costs_a_moment),
        cmocka_unit_test(test_dial__the_other_family_is_second),
        cmocka_unit_test(test_dial__nobody_answers),
        cmocka_unit_test(test_dial__every_address_has_its_turn_in_a_short_time),
        cmocka_unit_test(test_dial__cancelled_leaves_nothing),
        cmocka_unit_test(test_order__families_alternate),
    };
    return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
