// See mock.h: what a good answer says.
#include <stdlib.h>

#include "bench/mock/mock.h"

void story_free(struct story *s)
{
    text_free(&s->text);
    *s = (struct story){0};
}

static long choices(const struct conn *c)
{
    return c->o.n2 ? 2 : c->wish.n;
}

// The content of chunk k of choice i.
static void content(const struct conn *c, struct text *t, long i, long k)
{
    const size_t start = t->n;
    if (c->o.echo_body) {
        text_format(t, "sha256=%s length=%llu", c->entry->body_sha256,
                    (unsigned long long)c->entry->body_length);
        return;
    }
    if (choices(c) > 1) text_format(t, "c%ldt%ld ", i, k);
    else text_format(t, "t%ld ", k);
    if (c->o.stamp) text_str(t, STAMP_PLACE);
    if (c->o.size > (long)(t->n - start)) text_fill(t, 'x', (size_t)c->o.size - (t->n - start));
}

static long chunk_count(const struct conn *c)
{
    return c->o.echo_body ? 1 : c->o.chunks;
}

static void usage(const struct conn *c, struct text *t)
{
    const long completion = c->o.completion >= 0 ? c->o.completion : chunk_count(c);
    text_format(
        t,
        "{\"prompt_tokens\":%ld,\"completion_tokens\":%ld,\"total_tokens\":%ld,\"prompt_tokens_details\":{"
        "\"cached_tokens\":%ld,"
        "\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
        "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
        c->o.prompt, completion, c->o.prompt + completion, c->o.cached);
}

static bool with_logprobs(const struct conn *c)
{
    return c->o.logprobs || c->wish.logprobs;
}

static void logprob(const struct conn *c, struct text *t, long i, long k)
{
    struct text token = {0};
    content(c, &token, i, k);
    text_str(t, "{\"token\":");
    text_json(t, token.p, token.n);
    text_str(t, ",\"logprob\":-0.5,\"bytes\":[");
    for (size_t b = 0; b < token.n; b++) text_format(t, b ? ",%u" : "%u", (unsigned)(uint8_t)token.p[b]);
    text_str(t, "],\"top_logprobs\":[]}");
    text_free(&token);
}

static const char *finish_reason(const struct conn *c)
{
    return c->o.finish[0] ? c->o.finish : c->o.tools > 0 ? "tool_calls" : "stop";
}

static void prologue(const struct conn *c, struct text *t, bool chat, bool chunk)
{
    const char *object = !chat ? "text_completion" : chunk ? "chat.completion.chunk" : "chat.completion";
    text_format(t, "{\"id\":\"%s-mock-%llu\",\"object\":\"%s\",\"created\":1700000000,\"model\":",
                chat ? "chatcmpl" : "cmpl", c->o.lean ? 0ULL : (unsigned long long)c->entry->seq, object);
    text_json(t, c->entry->model, strlen(c->entry->model));
    text_str(t, ",\"system_fingerprint\":\"fp_mock\",");
}

// --- Streams.

static void event_begin(const struct conn *c, struct text *t, bool chat)
{
    text_str(t, "data: ");
    prologue(c, t, chat, true);
    text_str(t, "\"choices\":[");
}

static void event_end(const struct conn *c, struct text *t)
{
    text_str(t, c->wish.include_usage && !c->o.nousage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

static void delta(const struct conn *c, struct story *s, bool chat, long i, long k)
{
    struct text *t = &s->text;
    struct text say = {0};
    content(c, &say, i, k);
    event_begin(c, t, chat);
    text_format(t, "{\"index\":%ld,", i);
    text_str(t, chat ? "\"delta\":{\"content\":" : "\"text\":");
    text_json(t, say.p, say.n);
    if (chat) text_str(t, "}");
    if (with_logprobs(c) && chat) {
        text_str(t, ",\"logprobs\":{\"content\":[");
        logprob(c, t, i, k);
        text_str(t, "],\"refusal\":null}");
    } else {
        text_str(t, ",\"logprobs\":null");
    }
    text_str(t, ",\"finish_reason\":null}");
    event_end(c, t);
    text_free(&say);
}

static void plain_event(const struct conn *c, struct text *t, bool chat, long i, const char *delta_json,
                        const char *finish)
{
    event_begin(c, t, chat);
    text_format(t, "{\"index\":%ld,", i);
    if (chat) text_format(t, "\"delta\":%s", delta_json);
    else text_str(t, "\"text\":\"\"");
    text_format(t, ",\"logprobs\":null,\"finish_reason\":%s}", finish);
    event_end(c, t);
}

// One delta of a tool call: its start, then its arguments in fragments of five bytes.
static void tool_delta(struct conn *c, struct story *s)
{
    char json[256], arguments[64];
    struct text fragment = {0};
    snprintf(arguments, sizeof arguments, "{\"city\":\"Paris\",\"i\":%ld}", s->call);
    if (s->at == 0) {
        snprintf(json, sizeof json,
                 "{\"tool_calls\":[{\"index\":%ld,\"id\":\"call_mock_%ld\",\"type\":\"function\","
                 "\"function\":{\"name\":\"get_weather\","
                 "\"arguments\":\"\"}}]}",
                 s->call, s->call);
        s->at = 1;
    } else {
        const size_t from = s->at - 1, n = strlen(arguments) - from < 5 ? strlen(arguments) - from : 5;
        text_json(&fragment, arguments + from, n);
        snprintf(json, sizeof json, "{\"tool_calls\":[{\"index\":%ld,\"function\":{\"arguments\":%s}}]}",
                 s->call, fragment.p);
        text_free(&fragment);
        s->at += 5;
        if (s->at > strlen(arguments)) {
            s->at = 0;
            s->call++;
        }
    }
    plain_event(c, &s->text, true, 0, json, "null");
}

static void role_events(struct conn *c, struct story *s)
{
    for (long i = 0; i < choices(c); i++)
        plain_event(c, &s->text, true, i,
                    c->o.tools > 0 ? "{\"role\":\"assistant\",\"content\":null,\"refusal\":null}"
                                   : "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}",
                    "null");
}

static void last_events(struct conn *c, struct story *s)
{
    char finish[40];
    snprintf(finish, sizeof finish, "\"%s\"", finish_reason(c));
    for (long i = 0; i < choices(c) && !c->o.nofinish; i++)
        plain_event(c, &s->text, s->chat, i, "{}", finish);
    if (c->wish.include_usage && !c->o.nousage) {
        text_str(&s->text, "data: ");
        prologue(c, &s->text, s->chat, true);
        text_str(&s->text, "\"choices\":[],\"usage\":");
        usage(c, &s->text);
        text_str(&s->text, "}\n\n");
    }
    if (!c->o.nodone) text_str(&s->text, "data: [DONE]\n\n");
}

enum phase { PHASE_ROLE, PHASE_CONTENT, PHASE_BAD_EVENT, PHASE_LAST, PHASE_END };

bool story_next(struct conn *c, struct story *s, struct part *ret)
{
    s->text.n = 0;
    *ret = (struct part){.chunk = -1};
    if (!s->stream || s->recorded) {
        // All of it at once.
        if (s->phase == PHASE_END) return false;
        s->phase = PHASE_END;
        s->text.n = s->whole_n;
        return s->text.n > 0;
    }
    if (s->phase == PHASE_ROLE) {
        s->phase = PHASE_CONTENT;
        if (s->chat) {
            role_events(c, s);
            return true;
        }
    }
    if (s->phase == PHASE_BAD_EVENT) {
        s->phase = PHASE_CONTENT;
        text_str(&s->text, "data: {not json\n\n: ping\n\n");
        return true;
    }
    if (s->phase == PHASE_CONTENT && c->o.tools > 0 && s->call < c->o.tools) {
        ret->wait_ns = c->o.pace_ns;
        tool_delta(c, s);
        return true;
    }
    if (s->phase == PHASE_CONTENT && c->o.tools <= 0 && s->k < chunk_count(c)) {
        ret->wait_ns = s->k == 0 && s->i == 0 ? c->o.gap_ns : c->o.pace_ns;
        delta(c, s, s->chat, s->i, s->k);
        const bool all = ++s->i == choices(c);
        if (all) {
            ret->chunk = s->k++;
            s->i = 0;
            if (c->o.badevent && s->k == 1) s->phase = PHASE_BAD_EVENT;
        }
        return true;
    }
    if (s->phase == PHASE_END) return false;
    s->phase = PHASE_END;
    ret->chunk = -2; // only behind the last confirmed chunk
    last_events(c, s);
    return s->text.n > 0;
}

// --- Whole answers.

static void whole_message(struct conn *c, struct text *t, long i, const char *pad)
{
    struct text say = {0};
    for (long k = 0; k < chunk_count(c); k++) content(c, &say, i, k);
    text_str(&say, pad);
    if (c->o.tools > 0) {
        text_str(t, "{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":[");
        for (long call = 0; call < c->o.tools; call++)
            text_format(t,
                        "%s{\"id\":\"call_mock_%ld\",\"type\":\"function\",\"function\":{\"name\":\"get_"
                        "weather\",\"arguments\":"
                        "\"{\\\"city\\\":\\\"Paris\\\",\\\"i\\\":%ld}\"}}",
                        call ? "," : "", call, call);
        text_str(t, "]}");
    } else {
        text_str(t, "{\"role\":\"assistant\",\"content\":");
        text_json(t, say.p, say.n);
        text_str(t, ",\"refusal\":null}");
    }
    text_free(&say);
}

static void whole_story(struct conn *c, struct story *s, bool chat, const char *pad)
{
    struct text *t = &s->text;
    s->type = "application/json";
    prologue(c, t, chat, false);
    text_str(t, "\"choices\":[");
    for (long i = 0; i < choices(c); i++) {
        text_format(t, "%s{\"index\":%ld,", i ? "," : "", i);
        if (chat) {
            text_str(t, "\"message\":");
            whole_message(c, t, i, pad);
        } else {
            struct text say = {0};
            for (long k = 0; k < chunk_count(c); k++) content(c, &say, i, k);
            text_str(&say, pad);
            text_str(t, "\"text\":");
            text_json(t, say.p, say.n);
            text_free(&say);
        }
        if (with_logprobs(c) && chat) {
            text_str(t, ",\"logprobs\":{\"content\":[");
            for (long k = 0; k < chunk_count(c); k++) {
                if (k) text_str(t, ",");
                logprob(c, t, i, k);
            }
            text_str(t, "],\"refusal\":null}");
        } else {
            text_str(t, ",\"logprobs\":null");
        }
        text_format(t, ",\"finish_reason\":\"%s\"}", finish_reason(c));
    }
    text_str(t, "]");
    if (!c->o.nousage) {
        text_str(t, ",\"usage\":");
        usage(c, t);
    }
    text_str(t, "}");
}

void story_chat(struct conn *c, struct story *s, bool chat)
{
    s->chat = chat;
    if (c->wish.stream) {
        s->stream = true;
        s->type = "text/event-stream; charset=utf-8";
        return;
    }
    whole_story(c, s, chat, "");
    if (c->o.bytes > (long)s->text.n) {
        const size_t lacks = (size_t)c->o.bytes - s->text.n;
        char *pad = calloc(1, lacks + 1);
        MUST(pad);
        memset(pad, 'x', lacks);
        text_free(&s->text);
        whole_story(c, s, chat, pad);
        free(pad);
    }
}

void story_embeddings(struct conn *c, struct story *s)
{
    struct text *t = &s->text;
    s->type = "application/json";
    text_str(t, "{\"object\":\"list\",\"data\":[");
    for (long j = 0; j < c->wish.inputs; j++) {
        text_format(t, "%s{\"object\":\"embedding\",\"index\":%ld,\"embedding\":", j ? "," : "", j);
        if (c->wish.base64 && !c->o.floatonly) {
            const size_t n = (size_t)c->o.dims * 4;
            float *v = calloc((size_t)c->o.dims, sizeof *v);
            char *b64 = calloc(1, CRYPTO_BASE64_CHARS(n) + 1);
            MUST(v && b64);
            for (long i = 0; i < c->o.dims; i++) v[i] = (float)(8 * j + i) / 4.0f;
            const int64_t chars = crypto_base64_encode(v, n, b64, CRYPTO_BASE64_CHARS(n) + 1);
            MUST(chars >= 0);
            text_str(t, "\"");
            text_add(t, b64, (size_t)chars);
            text_str(t, "\"");
            free(v);
            free(b64);
        } else {
            text_str(t, "[");
            for (long i = 0; i < c->o.dims; i++)
                text_format(t, "%s%.2f", i ? "," : "", (double)(8 * j + i) / 4.0);
            text_str(t, "]");
        }
        text_str(t, "}");
    }
    text_str(t, "],\"model\":");
    text_json(t, c->entry->model, strlen(c->entry->model));
    text_format(t, ",\"usage\":{\"prompt_tokens\":%ld,\"total_tokens\":%ld}}", c->o.prompt, c->o.prompt);
}

bool story_file(struct conn *c, struct story *s)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.%s", mock.fixtures, c->o.fixture,
             c->wish.stream ? "stream.sse" : "response.json");
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    char buf[1024];
    size_t n;
    while ((n = fread(buf, 1, sizeof buf, f)) > 0) text_add(&s->text, buf, n);
    fclose(f);
    s->stream = c->wish.stream;
    s->type = s->stream ? "text/event-stream; charset=utf-8" : "application/json";
    s->recorded = true;
    s->whole_n = s->text.n;
    return true;
}
