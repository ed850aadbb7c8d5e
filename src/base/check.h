// The vocabulary of assertions. All of them stay on in production: a gateway that goes on with a broken invariant serves
// somebody else's answer. Operating errors (a peer, a disk, a limit) are never asserted, they are returned (err.h).
//
//   MUST(x)             a programmer error if false: prints where and what, then aborts (the crash handler adds the rest).
//   IMPLIES(a, b)       MUST(!a || b)
//   UNREACHABLE(why)    this line is never reached.
//   static_assert       what the compiler can know.
//   COUNT_IF(x)         suspicious but survivable: yields x, counts each time it is true, exported as ringway_suspicious_total.
//
// Thread   any. Never suspends.
#ifndef RINGWAY_BASE_CHECK_H
#define RINGWAY_BASE_CHECK_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RW_LIKELY(x) __builtin_expect(!!(x), 1)
#define RW_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define RW_WARN_UNUSED __attribute__((warn_unused_result))

#define MUST(x) (RW_LIKELY(x) ? (void)0 : check_failed(#x, __FILE__, __LINE__))
#define IMPLIES(a, b) MUST(!(a) || (b))
#define UNREACHABLE(why) check_failed("unreachable: " why, __FILE__, __LINE__)

// One per COUNT_IF, linked into a list at its first hit.
struct check_site {
    const char *what;
    const char *file;
    int line;
    _Atomic uint64_t hits;
    atomic_flag linked;
    struct check_site *next;
};

#define COUNT_IF(x) \
    (RW_UNLIKELY(x) ? (__extension__({ \
        static struct check_site check_site_ = { \
            .what = #x, .file = __FILE__, .line = __LINE__, .linked = ATOMIC_FLAG_INIT}; \
        check_count(&check_site_); \
        true; \
    })) \
                    : false)

_Noreturn void check_failed(const char *what, const char *file, int line);
void check_count(struct check_site *site);

// The first of the sites that were hit; follow ->next. For the metrics page.
const struct check_site *check_sites(void);

#endif
