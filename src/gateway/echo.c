// See echo.h.
#include "gateway/echo.h"

#include "base/fmt.h"
#include "gateway/worker.h"
#include "wire/json.h"

// A long text is answered with its beginning.
#define ECHO_TEXT_BYTES_MAX KIB(64)
#define NOTHING_SAID SPAN("(nothing was said)")

struct echo {
    const struct echo_request *request;
    struct span text; // what is still to be said, unescaped
    struct fmt event;
    uint32_t event_cap;
    int64_t created;
    uint64_t input_words, output_words;
    uint8_t next; // enum part
    bool chat;
};

enum part { PART_ROLE, PART_WORDS, PART_FINISH, PART_USAGE, PART_DONE, PART_END };

static uint64_t words(struct span text)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < text.n; i++)
        if (text.p[i] > ' ' && (i == 0 || text.p[i - 1] <= ' ')) n++;
    return n;
}

// The text of a message's content: a string, or the last text of its parts.
static bool content_text(struct span content, struct span *ret)
{
    if (json_type(content) == JSON_STRING) {
        *ret = content;
        return true;
    }
    struct json_iter it = json_iter(content);
    struct span key, part, text;
    bool found = false;
    while (json_next(&it, &key, &part)) {
        if (!json_member(part, SPAN("text"), &text) || json_type(text) != JSON_STRING) continue;
        *ret = text;
        found = true;
    }
    return found;
}

// The last thing the user said, as a JSON string.
static struct span last_said(const struct echo_request *q, bool chat)
{
    struct span list, key, message, said = {NULL, 0};
    if (!chat)
        return json_member(q->body, SPAN("prompt"), &said) && json_type(said) == JSON_STRING
            ? said
            : (struct span){NULL, 0};
    if (!json_member(q->body, SPAN("messages"), &list)) return said;
    struct json_iter it = json_iter(list);
    while (json_next(&it, &key, &message)) {
        struct span role, content;
        if (!json_member(message, SPAN("role"), &role) || !span_eq(role, SPAN("\"user\""))) continue;
        if (json_member(message, SPAN("content"), &content)) content_text(content, &said);
    }
    return said;
}

static int no_memory(struct ask *a)
{
    a->end = END_OVERLOADED;
    a->detail = "memory";
    return RW_E_BUDGET;
}

int echo_open(struct ask *a)
{
    const struct echo_request *q = a->echo;
    const bool chat = span_eq(q->path, SPAN("/chat/completions"));
    if (!chat && !span_eq(q->path, SPAN("/completions"))) {
        a->end = END_BAD_FIELD;
        a->detail = "The built-in model 'echo' answers chats and completions only. Configure a provider for "
                    "this route.";
        return RW_E_BAD;
    }
    struct echo *e = arena_alloc(a->arena, sizeof *e);
    if (!e) return no_memory(a);
    *e = (struct echo){
        .request = q, .chat = chat, .created = a->worker->loop.wall_ns / CLOCK_SEC, .text = NOTHING_SAID};
    const struct span said = last_said(q, chat);
    if (said.n > 2) {
        uint8_t *buf = arena_alloc(a->arena, said.n);
        if (!buf) return no_memory(a);
        if (json_string(said, JSON_LONE_REPLACE, buf, said.n, &e->text)) e->text = NOTHING_SAID;
    }
    uint32_t n = e->text.n < ECHO_TEXT_BYTES_MAX ? e->text.n : ECHO_TEXT_BYTES_MAX;
    while (n < e->text.n && n > 0 && (e->text.p[n] & 0xc0) == 0x80) n--; // not inside a character
    e->text.n = n;
    e->input_words = words(q->body);
    e->output_words = words(e->text);
    e->event_cap = FMT_JSON_BYTES(e->text.n) + FMT_JSON_BYTES(q->model.n) + 512;
    a->generator = e;
    a->status = 200;
    a->content_type = a->stream ? SPAN("text/event-stream") : SPAN("application/json");
    a->sent_ns = a->head_ns = a->worker->loop.now_ns;
    a->attempts = 1;
    return 0;
}

// {"id":…,"object":…,"created":…,"model":…,
static void prologue(struct echo *e, struct fmt *f, const char *object)
{
    fmt_str(f, e->chat ? "{\"id\":\"chatcmpl-" : "{\"id\":\"cmpl-");
    fmt_span(f, e->request->id);
    fmt_str(f, "\",\"object\":\"");
    fmt_str(f, object);
    fmt_str(f, "\",\"created\":");
    fmt_i64(f, e->created);
    fmt_str(f, ",\"model\":");
    fmt_json_string(f, e->request->model);
    fmt_str(f, ",");
}

static void usage(struct echo *e, struct fmt *f)
{
    fmt_str(f, "\"usage\":{\"prompt_tokens\":");
    fmt_u64(f, e->input_words);
    fmt_str(f, ",\"completion_tokens\":");
    fmt_u64(f, e->output_words);
    fmt_str(f, ",\"total_tokens\":");
    fmt_u64(f, e->input_words + e->output_words);
    fmt_str(f, "}");
}

int echo_whole(struct ask *a, struct span *ret)
{
    struct echo *e = a->generator;
    char *bytes = arena_alloc(a->arena, e->event_cap);
    if (!bytes) return no_memory(a);
    struct fmt f;
    fmt_init(&f, bytes, e->event_cap);
    prologue(e, &f, e->chat ? "chat.completion" : "text_completion");
    fmt_str(&f,
            e->chat ? "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                    : "\"choices\":[{\"index\":0,\"text\":");
    fmt_json_string(&f, e->text);
    fmt_str(&f,
            e->chat ? ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                    : ",\"logprobs\":null,\"finish_reason\":\"stop\"}],");
    usage(e, &f);
    fmt_str(&f, "}");
    MUST(!f.overflow);
    *ret = fmt_text(&f);
    return 0;
}

// A word with the space behind it.
static struct span next_word(struct echo *e)
{
    uint32_t n = 0;
    while (n < e->text.n && e->text.p[n] > ' ') n++;
    while (n < e->text.n && e->text.p[n] <= ' ') n++;
    const struct span word = {e->text.p, n};
    e->text = span_from(e->text, n);
    return word;
}

static void choice(struct echo *e, struct fmt *f, const char *role, struct span text, const char *finish)
{
    fmt_str(f, "data: ");
    prologue(e, f, e->chat ? "chat.completion.chunk" : "text_completion");
    fmt_str(f, "\"choices\":[{\"index\":0,");
    fmt_str(f, e->chat ? "\"delta\":{" : "\"text\":");
    if (e->chat) fmt_str(f, role);
    if (e->chat && (text.n || *role)) fmt_str(f, "\"content\":");
    if (!e->chat || text.n || *role) fmt_json_string(f, text);
    fmt_str(f, e->chat ? "},\"logprobs\":null,\"finish_reason\":" : ",\"logprobs\":null,\"finish_reason\":");
    fmt_str(f, finish);
    fmt_str(f, e->request->usage ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

int echo_piece(struct ask *a, struct span *ret)
{
    struct echo *e = a->generator;
    if (e->next == PART_END) return 0;
    // One event a turn, so that a long text does not keep the worker.
    if (e->next != PART_ROLE && fiber_yield() < 0) {
        a->end = fiber_cancelled();
        return -ECANCELED;
    }
    if (!e->event.p) {
        char *bytes = arena_alloc(a->arena, e->event_cap);
        if (!bytes) return no_memory(a);
        fmt_init(&e->event, bytes, e->event_cap);
    }
    struct fmt *f = &e->event;
    f->n = 0;
    switch ((enum part)e->next) {
    case PART_ROLE:
        choice(e, f, "\"role\":\"assistant\",", SPAN(""), "null");
        e->next = e->text.n ? PART_WORDS : PART_FINISH;
        break;
    case PART_WORDS:
        choice(e, f, "", next_word(e), "null");
        if (!e->text.n) e->next = PART_FINISH;
        break;
    case PART_FINISH:
        choice(e, f, "", SPAN(""), "\"stop\"");
        e->next = e->request->usage ? PART_USAGE : PART_DONE;
        break;
    case PART_USAGE:
        fmt_str(f, "data: ");
        prologue(e, f, e->chat ? "chat.completion.chunk" : "text_completion");
        fmt_str(f, "\"choices\":[],");
        usage(e, f);
        fmt_str(f, "}\n\n");
        e->next = PART_DONE;
        break;
    case PART_DONE:
        fmt_str(f, "data: [DONE]\n\n");
        e->next = PART_END;
        break;
    case PART_END: break;
    }
    MUST(!f->overflow);
    *ret = fmt_text(f);
    return 1;
}

bool echo_ended(const struct ask *a)
{
    return a->generator->next == PART_END;
}
