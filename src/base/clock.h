// Time is passed in, never asked for below io/: every function that needs it takes now_ns. Only io/clock.c calls the kernel.
//
//   now_ns    nanoseconds of CLOCK_BOOTTIME: never steps back, runs on in suspend. For deadlines, rates and durations.
//   wall_ns   nanoseconds since 1970 UTC. For logs, dates and calendars. May step.
//
// A deadline is a now_ns value; CLOCK_NEVER means none.
#ifndef RINGWAY_BASE_CLOCK_H
#define RINGWAY_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER INT64_MAX
#define CLOCK_US INT64_C(1000)
#define CLOCK_MS INT64_C(1000000)
#define CLOCK_SEC INT64_C(1000000000)

// now + span without overflow; a span of 0 or less, or CLOCK_NEVER, is no deadline.
static inline int64_t clock_deadline(int64_t now_ns, int64_t span_ns)
{
    return span_ns <= 0 || span_ns >= CLOCK_NEVER - now_ns ? CLOCK_NEVER : now_ns + span_ns;
}

static inline int64_t clock_earlier(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

#endif
