// The cache of a running server: what is in it, and emptying it. See admin.h.
#include <time.h>

#include "base/clock.h"
#include "control/admin.h"
#include "store/cache.h"

// The writer empties it at its next step, ten times a second.
#define PURGE_LOOKS 300
#define PURGE_LOOK_NS (10 * CLOCK_MS)

static bool has_cache(struct admin_call *c)
{
    if (c->admin->answers) return true;
    admin_refuse(c, 409,
                 "There is no cache here:|set cache.enabled in the configuration and start the server again. "
                 "Without a server the folder 'cache' in data_dir may be removed.",
                 SPAN(""));
    return false;
}

static void answer(struct admin_call *c)
{
    struct store_cache_stats st;
    struct json_out *o = &c->out;
    store_cache_stats(c->admin->answers, &st);
    admin_begin(c, 200);
    json_out_object(o);
    json_out_key_u64(o, SPAN("entries"), st.entries);
    json_out_key_u64(o, SPAN("bytes"), st.bytes);
    json_out_key_u64(o, SPAN("max_bytes"), st.bytes_max);
    json_out_key_u64(o, SPAN("written"), st.written);
    json_out_key_u64(o, SPAN("evicted"), st.evicted);
    json_out_key_u64(o, SPAN("purged"), st.purged);
    json_out_key_u64(o, SPAN("failed"), st.failed);
    json_out_key_u64(o, SPAN("damaged"), st.damaged);
    json_out_key_bool(o, SPAN("writes"), st.writes);
    json_out_end(o);
}

void admin_cache_stats(struct admin_call *c)
{
    if (has_cache(c)) answer(c);
}

void admin_cache_purge(struct admin_call *c)
{
    struct store_cache_stats before, now;
    if (!has_cache(c)) return;
    store_cache_stats(c->admin->answers, &before);
    if (!before.writes) {
        admin_refuse(c, 409, "Another process keeps the cache:|try again when it has ended.", SPAN(""));
        return;
    }
    store_cache_purge(c->admin->answers);
    now = before;
    for (int i = 0; i < PURGE_LOOKS && now.purges == before.purges; i++) {
        const struct timespec look = {.tv_nsec = PURGE_LOOK_NS};
        (void)nanosleep(&look, NULL);
        store_cache_stats(c->admin->answers, &now);
    }
    if (now.purges != before.purges) answer(c);
    else admin_refuse(c, 503, "The thread that keeps answers is busy:|look again in a moment.", SPAN(""));
}
