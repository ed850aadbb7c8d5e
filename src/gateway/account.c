// See account.h.
#include "gateway/account.h"

#include "gateway/account_tags.h"
#include "gateway/account_text.h"
#include "gateway/worker.h"
#include "policy/estimate.h"
#include "providers/dialect.h"
#include "store/journal.h"
#include "wire/utf8.h"

static_assert(sizeof(struct limit_hold) == STORE_HELD_MAX * sizeof(uint32_t),
              "a slot's words are a limit_hold");

#define BYTES_PER_TOKEN 4
// Of a stream: an event of most dialects carries a token or a few, and its frame.
#define STREAM_BYTES_PER_TOKEN 128

// A writer that says nothing for so long is not waited for.
#define COMMIT_NS_MAX (10 * CLOCK_SEC)

// The time by which limits count, once a turn.
static const struct limit_time *limit_now(struct worker *w)
{
    if (w->limit_time.now_ns != w->loop.now_ns)
        limit_time_update(&w->limit_time, w->limit_clock, NULL, w->loop.now_ns, w->loop.wall_ns);
    return &w->limit_time;
}

// --- Admission.

// The raw form of the request id.
static void record_id(const struct exchange *x, uint8_t ret[STORE_ID_BYTES])
{
    const struct worker *w = x->worker;
    store_id_make(w->id_high >> 16, w->cfg.process_epoch, (uint8_t)w->cfg.index, w->sequence, ret);
}

static enum stage ledger_full(struct exchange *x)
{
    return exchange_fail(x, END_OVERLOADED, "the ledger cannot be written: its disk is full or broken");
}

// The journal has no room. True: requests go on.
static bool without_room(const struct exchange *x)
{
    if (x->worker->cfg.metrics) metric_add(x->worker->cfg.metrics, METRIC_LEDGER_FULL, 0, 1);
    return !x->plan->ledger_full_refuses;
}

// A slot of the journal. False: there is none, and requests are not let in without.
static bool begin(struct exchange *x, struct account *a)
{
    const struct principal *p = x->principal;
    struct store_begin b = {.unasked = true, .tenant = p->tenant_id, .team = p->team_id, .key = p->key_id};
    record_id(x, b.id);
    a->slot = store_journal_begin(x->worker->cfg.journal, &b);
    if (a->slot != STORE_SLOT_NONE) {
        a->limit.hold = (struct limit_hold *)(void *)store_journal_held(x->worker->cfg.journal, a->slot);
        return true;
    }
    return without_room(x);
}

enum stage exchange_admit(struct exchange *x)
{
    struct worker *w = x->worker;
    const struct principal *p = x->principal;
    if (!w->cfg.journal || !p) return STAGE_GO;
    struct account *a = arena_alloc(x->call->arena, sizeof *a);
    if (!a) return exchange_fail(x, END_OVERLOADED, "memory");
    memset(a, 0, offsetof(struct account, end_user));
    a->limit.cells = w->cfg.cells;
    if (!begin(x, a)) return ledger_full(x);
    x->account = a;
    const struct limit_bound **level = a->limit.level;
    level[LIMIT_KEY] = p->limit[0];
    level[LIMIT_TEAM] = p->limit[1];
    level[LIMIT_TENANT] = p->limit[2];
    level[LIMIT_GLOBAL] = x->plan->limit;
    a->limit.list[0] = p->limits;
    struct limit_refusal why;
    if (limit_admit(&a->limit, LIMIT_ALL_LEVELS, limit_now(w), &why)) return STAGE_GO;
    return account_refuse(x, &why);
}

// --- Reservation.

static struct span cut(struct span s)
{
    return s.n <= STORE_TEXT_BYTES_MAX ? s : span_of(s.p, utf8_cut(s, STORE_TEXT_BYTES_MAX));
}

static bool give_texts(struct exchange *x, const struct account *a)
{
    if (a->slot == STORE_SLOT_NONE) return true;
    struct store_texts t = {.model = cut(x->model_asked),
                            .provider = cut(x->provider->name),
                            .user = cut(x->user),
                            .client_id = cut(x->client_request_id)};
    if (!span_eq(x->upstream_model, x->model_asked)) t.upstream_model = cut(x->upstream_model);
    if (RW_UNLIKELY(account_has_tags(x))) account_tags(x, &t);
    return store_journal_retarget(x->worker->cfg.journal, a->slot, &t) || without_room(x);
}

static void find_price(struct exchange *x, struct account *a)
{
    if (x->model) {
        a->price = x->model->price;
        a->model = x->model->hash;
    } else if (x->upstream_model.n) {
        if (price_find(x->plan->prices, x->provider->type, x->upstream_model, &a->found))
            a->price = &a->found;
        a->model = map_hash(x->upstream_model, 0);
    }
}

// Of the money: the worst case where a budget is hard, else what is likely.
static int64_t nanos_for(const struct account *a, uint32_t wants, const struct estimate_ask *ask,
                         int64_t tokens)
{
    if (!a->price) return 0;
    if (wants & LIMIT_WANTS_WORST_CASE) return estimate_worst(ask, a->price).nanos;
    struct price_usage u = {0};
    const int64_t prompt = ask->body_bytes / BYTES_PER_TOKEN;
    u.tokens[PRICE_INPUT] = tokens < prompt ? tokens : prompt;
    u.tokens[PRICE_OUTPUT] = tokens - u.tokens[PRICE_INPUT];
    return price_nanos(a->price, &u, NULL);
}

// No answer is cut below this: better a clear refusal.
#define CLAMP_TOKENS_MIN 16

// The bound of the answer's length can be set: it stands at the top of the body, or in the neutral model.
static bool can_clamp(const struct exchange *x)
{
    const struct dialect *d = x->route->dialect;
    if (!x->route->chat || x->translated) return x->route->chat;
    return d == &dialect_openai || d == &dialect_responses || d == &dialect_anthropic || d == &dialect_cohere;
}

// A budget that the worst case does not fit any more: a shorter answer may. True: it is reserved.
static bool clamp(struct exchange *x, struct account *a, struct estimate_ask *ask, int64_t tokens,
                  const struct limit_time *t, const struct limit_refusal *why)
{
    if (!limit_what_is_money(why->what) || !a->price || !can_clamp(x)) return false;
    const int64_t most = estimate_clamp(ask, a->price, limit_money_left(&a->limit, t));
    struct limit_refusal again;
    if (most < CLAMP_TOKENS_MIN) return false;
    ask->max_tokens = most;
    if (!limit_reserve(&a->limit, tokens, estimate_worst(ask, a->price).nanos, t, &again)) return false;
    x->max_tokens = most;
    x->clamped = true;
    return true;
}

// The end user's cells. False: refused by them, and *why says so.
static bool admit_end_user(struct exchange *x, struct account *a, const struct limit_time *t,
                           struct limit_refusal *why)
{
    const struct limit_set *set = x->plan->end_user;
    if (!set || !x->user.n) return true;
    const struct limit_id id = {.lo = map_hash(x->user, x->principal->tenant_id) | 1,
                                .hi = map_hash(x->user, ~(uint64_t)x->principal->tenant_id)};
    if (limit_lend(x->worker->cfg.cells, id, set, t, &a->end_user) != RW_OK) {
        if (x->worker->cfg.metrics) metric_add(x->worker->cfg.metrics, METRIC_STORE_LIMITS, 0, 1);
        a->uncounted = x->plan->limits_closed;
        return !a->uncounted;
    }
    a->limit.level[LIMIT_END_USER] = &a->end_user;
    return limit_admit(&a->limit, LIMIT_BIT(LIMIT_END_USER), t, why);
}

enum stage exchange_reserve(struct exchange *x)
{
    struct account *a = x->account;
    if (!a) return STAGE_GO;
    struct worker *w = x->worker;
    const struct limit_time *t = limit_now(w);
    struct limit_refusal why;
    if (x->model && x->model->limit) {
        a->limit.level[LIMIT_MODEL] = x->model->limit;
        a->limit.list[1] = x->model->limits;
        if (!limit_admit(&a->limit, LIMIT_BIT(LIMIT_MODEL), t, &why)) return account_refuse(x, &why);
    }
    if (!admit_end_user(x, a, t, &why))
        return a->uncounted
            ? exchange_fail(x, END_OVERLOADED, "there is no room to count the limits of end users")
            : account_refuse(x, &why);
    find_price(x, a);
    struct estimate_ask ask = {.body_bytes = x->body.n, .max_tokens = x->max_tokens, .n = x->choices};
    const uint32_t wants = limit_wants(&a->limit);
    const int64_t tokens = estimate_tokens(w->estimator, a->model, x->principal->key_id, &ask);
    const int64_t nanos = nanos_for(a, wants, &ask, tokens);
    if (wants && !limit_reserve(&a->limit, tokens, nanos, t, &why) &&
        !((wants & LIMIT_WANTS_WORST_CASE) && clamp(x, a, &ask, tokens, t, &why)))
        return account_refuse(x, &why);
    if (a->slot != STORE_SLOT_NONE)
        store_journal_raise(w->cfg.journal, a->slot, (uint32_t)tokens, wants ? a->limit.nanos : nanos);
    return give_texts(x, a) ? STAGE_GO : ledger_full(x);
}

void account_hit(struct exchange *x)
{
    struct account *a = x->account;
    if (!a) return;
    find_price(x, a);
    // Without room in the journal the record is a short one.
    (void)give_texts(x, a);
}

// --- Settlement.

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

// The provider may have worked for this request.
static bool may_have_cost(const struct exchange *x)
{
    const struct ask *k = &x->ask;
    if (!x->asked || !k->sent_ns || x->end == END_UPSTREAM_STATUS || x->end == END_UPSTREAM_AUTH)
        return false;
    return k->status < 400;
}

int64_t account_guess_input(const struct exchange *x)
{
    return (x->body.n + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
}

// Each token in one class.
static void classes_of(const struct usage *u, int64_t input, int64_t output, struct price_usage *ret)
{
    const int64_t cached = known(u->cached_tokens), write = known(u->cache_write_tokens),
                  write_1h = known(u->cache_write_1h_tokens), reasoning = known(u->reasoning_tokens),
                  audio_in = known(u->audio_input_tokens), audio_out = known(u->audio_output_tokens);
    *ret = (struct price_usage){0};
    ret->tokens[PRICE_INPUT] = known(known(input) - cached - write - audio_in);
    ret->tokens[PRICE_CACHED_INPUT] = cached;
    ret->tokens[PRICE_CACHE_WRITE] = known(write - write_1h);
    ret->tokens[PRICE_CACHE_WRITE_1H] = write_1h;
    ret->tokens[PRICE_OUTPUT] = known(known(output) - reasoning - audio_out);
    ret->tokens[PRICE_REASONING] = reasoning;
    ret->tokens[PRICE_AUDIO_IN] = audio_in;
    ret->tokens[PRICE_AUDIO_OUT] = audio_out;
}

void account_saved(struct exchange *x, const struct usage *usage)
{
    struct account *a = x->account;
    if (!a || !a->price) return;
    struct price_usage u;
    classes_of(usage, usage->input_tokens, usage->output_tokens, &u);
    a->saved_nanos = price_nanos(a->price, &u, NULL);
}

// What was used, each token in one class. True: it had to be guessed.
static bool usage_of(const struct exchange *x, uint64_t bytes_more, struct price_usage *ret)
{
    int64_t input = x->usage.input_tokens, output = x->usage.output_tokens;
    const bool guess = (input < 0 || output < 0) && (x->route->chat || x->translated) && may_have_cost(x);
    if (guess && input < 0) input = account_guess_input(x);
    if (guess && output < 0)
        output = x->content_events ? x->content_events
                                   : (int64_t)((x->answer_bytes + bytes_more) /
                                               (x->stream ? STREAM_BYTES_PER_TOKEN : BYTES_PER_TOKEN));
    classes_of(&x->usage, input, output, ret);
    return guess;
}

static uint32_t clip(int64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static bool was_cut(enum rw_end end)
{
    return end == END_CLIENT_GONE || end == END_SEND_FAILED || end == END_TRUNCATED || end == END_KILLED ||
        end == END_REVOKED || end == END_UPSTREAM_TIMEOUT || end == END_STREAM_ERROR;
}

static void write_record(struct exchange *x, struct account *a, const struct price_usage *u, bool guess,
                         bool refused, uint16_t status, uint64_t bytes_more)
{
    const struct call *call = x->call;
    const int64_t now_ns = call->loop->now_ns;
    const bool used = u->tokens[PRICE_INPUT] || u->tokens[PRICE_OUTPUT];
    struct store_record r; // its texts are the slot's
    memset(&r, 0, offsetof(struct store_record, texts));
    r.status = status;
    r.attempts = (uint8_t)(x->asked ? x->ask.attempts : 0);
    r.cache = (uint8_t)x->cache;
    r.cost_nanos = a->cost_nanos;
    r.saved_nanos = a->saved_nanos;
    r.bytes_in = call->body_in;
    r.bytes_out = x->answer_bytes + bytes_more;
    r.duration_us = (uint64_t)((now_ns - call->started_ns) / CLOCK_US);
    r.end = span_str(end_info(x->end)->name);
    if (call->first_byte_ns) r.first_byte_us = clip((call->first_byte_ns - call->started_ns) / CLOCK_US);
    if (x->asked)
        r.overhead_us = clip((now_ns - call->started_ns - x->ask.waited_ns - x->client_wait_ns) / CLOCK_US);
    r.tokens[STORE_TOKENS_INPUT] = clip(u->tokens[PRICE_INPUT]);
    r.tokens[STORE_TOKENS_CACHE_READ] = clip(u->tokens[PRICE_CACHED_INPUT]);
    r.tokens[STORE_TOKENS_CACHE_WRITE] = clip(u->tokens[PRICE_CACHE_WRITE] + u->tokens[PRICE_CACHE_WRITE_1H]);
    r.tokens[STORE_TOKENS_OUTPUT] = clip(u->tokens[PRICE_OUTPUT]);
    r.tokens[STORE_TOKENS_REASONING] = clip(u->tokens[PRICE_REASONING]);
    r.tokens[STORE_TOKENS_AUDIO] = clip(u->tokens[PRICE_AUDIO_IN] + u->tokens[PRICE_AUDIO_OUT]);
    if (refused) r.flags |= STORE_REFUSED;
    if (guess) r.flags |= STORE_ESTIMATED;
    if (x->stream) r.flags |= STORE_STREAMED;
    if (end_info(x->end)->is_error) r.flags |= STORE_FAILED;
    if (x->asked && was_cut(x->end)) r.flags |= STORE_CUT;
    if (used && !a->price) r.flags |= STORE_UNPRICED;
    store_journal_final(x->worker->cfg.journal, a->slot, &r);
}

void exchange_charge(struct exchange *x, uint16_t status, uint64_t bytes_more)
{
    struct account *a = x->account;
    if (!a || a->closed) return;
    a->closed = true;
    struct worker *w = x->worker;
    struct price_usage u;
    const bool guess = usage_of(x, bytes_more, &u);
    int64_t tokens = 0;
    for (size_t i = 0; i < PRICE_CLASSES; i++) tokens += u.tokens[i];
    if (a->price) a->cost_nanos = price_nanos(a->price, &u, NULL);
    const struct limit_time *t = limit_now(w);
    // Nothing was sent, and not by the client's fault: it has not had its request.
    const bool unserved = x->end == END_RATE_LIMITED || x->end == END_BUDGET || x->end == END_OVERLOADED;
    const bool cancel = unserved && tokens == 0;
    if (!cancel && a->limit.reserved) limit_charge(&a->limit, tokens, a->cost_nanos, t);
    if (a->slot != STORE_SLOT_NONE) write_record(x, a, &u, guess, cancel, status, bytes_more);
    if (cancel) limit_cancel(&a->limit, t);
    else limit_release(&a->limit, t);
    if (a->slot != STORE_SLOT_NONE) {
        const uint64_t number = store_journal_done(w->cfg.journal, a->slot);
        if (w->cfg.commit_wanted) a->commit_number = number;
    }
    if (tokens > 0 && !guess) estimate_learn(w->estimator, a->model, x->principal->key_id, tokens);
    account_count(x, &u);
}

void account_commit(struct exchange *x)
{
    struct account *a = x->account;
    struct worker *w = x->worker;
    if (RW_LIKELY(!a || !a->commit_number)) return;
    const uint64_t number = a->commit_number;
    const int64_t until = x->call->loop->now_ns + COMMIT_NS_MAX;
    a->commit_number = 0;
    w->cfg.commit_wanted(w->cfg.ctx);
    while (store_journal_committed(w->cfg.journal) < number && !w->commit_failing) {
        fiber_event_clear(&w->commit);
        const int r = fiber_wait(&w->commit, until);
        (void)COUNT_IF(r == -ETIME);
        if (r < 0) return;
    }
}
