// See mock.h: what a good answer says.
#include <stdlib.h>

#include "bench/mock/mock.h"

void story_part(struct story *s, size_t from, int64_t wait_ns, long chunk)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->parts = realloc(s->parts, s->cap * sizeof *s->parts);
        MUST(s->parts);
    }
    s->parts[s->count++] =
        (struct part){.from = from, .n = s->text.n - from, .wait_ns = wait_ns, .chunk = chunk};
}

void story_free(struct story *s)
{
    text_free(&s->text);
    free(s->parts);
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
    while (c->o.size > 0 && t->n - start < (size_t)c->o.size) text_str(t, "x");
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

static void stream_tools(struct conn *c, struct story *s)
{
    for (long call = 0; call < c->o.tools; call++) {
        char json[256], arguments[64];
        snprintf(json, sizeof json,
                 "{\"tool_calls\":[{\"index\":%ld,\"id\":\"call_mock_%ld\",\"type\":\"function\","
                 "\"function\":{\"name\":\"get_weather\","
                 "\"arguments\":\"\"}}]}",
                 call, call);
        size_t from = s->text.n;
        plain_event(c, &s->text, true, 0, json, "null");
        story_part(s, from, c->o.pace_ns, -1);
        snprintf(arguments, sizeof arguments, "{\"city\":\"Paris\",\"i\":%ld}", call);
        for (size_t at = 0; at < strlen(arguments); at += 5) {
            struct text fragment = {0};
            const size_t n = strlen(arguments) - at < 5 ? strlen(arguments) - at : 5;
            text_json(&fragment, arguments + at, n);
            snprintf(json, sizeof json, "{\"tool_calls\":[{\"index\":%ld,\"function\":{\"arguments\":%s}}]}",
                     call, fragment.p);
            text_free(&fragment);
            from = s->text.n;
            plain_event(c, &s->text, true, 0, json, "null");
            story_part(s, from, c->o.pace_ns, -1);
        }
    }
}

static void stream_story(struct conn *c, struct story *s, bool chat)
{
    s->stream = true;
    s->type = "text/event-stream; charset=utf-8";
    size_t from = s->text.n;
    const bool tools = c->o.tools > 0;
    for (long i = 0; i < choices(c) && chat; i++)
        plain_event(c, &s->text, true, i,
                    tools ? "{\"role\":\"assistant\",\"content\":null,\"refusal\":null}"
                          : "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}",
                    "null");
    if (s->text.n > from) story_part(s, from, 0, -1);
    if (tools) {
        stream_tools(c, s);
    } else {
        for (long k = 0; k < chunk_count(c); k++) {
            for (long i = 0; i < choices(c); i++) {
                from = s->text.n;
                delta(c, s, chat, i, k);
                story_part(s, from, k == 0 && i == 0 ? c->o.gap_ns : c->o.pace_ns,
                           i == choices(c) - 1 ? k : -1);
            }
            if (c->o.badevent && k == 0) {
                from = s->text.n;
                text_str(&s->text, "data: {not json\n\n: ping\n\n");
                story_part(s, from, 0, -1);
            }
        }
    }
    from = s->text.n;
    char finish[40];
    snprintf(finish, sizeof finish, "\"%s\"", finish_reason(c));
    for (long i = 0; i < choices(c) && !c->o.nofinish; i++) plain_event(c, &s->text, chat, i, "{}", finish);
    if (c->wish.include_usage && !c->o.nousage) {
        text_str(&s->text, "data: ");
        prologue(c, &s->text, chat, true);
        text_str(&s->text, "\"choices\":[],\"usage\":");
        usage(c, &s->text);
        text_str(&s->text, "}\n\n");
    }
    if (!c->o.nodone) text_str(&s->text, "data: [DONE]\n\n");
    if (s->text.n > from) story_part(s, from, 0, -2); // -2: only behind the last confirmed chunk
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
    if (c->wish.stream) {
        stream_story(c, s, chat);
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
    story_part(s, 0, 0, -1);
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
    story_part(s, 0, 0, -1);
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
    story_part(s, 0, 0, -1);
    return true;
}
