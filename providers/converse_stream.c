// See dialect.h: streams in Bedrock's Converse dialect, both ways, and the table of the dialect. Events come in binary frames
// (wire/aws_event.h); what a stream used stands in its last one, and without that it was cut.
#include "providers/converse_priv.h"
#include "providers/invoke_priv.h"
#include "wire/aws_event.h"

// --- Read.

static enum rw_err read_start(struct chat_reader *r, uint32_t index, struct span start)
{
    static const struct span keys[] = {SPAN_INIT("toolUseId"), SPAN_INIT("name")};
    struct span v[2], call;
    uint32_t tool;
    if (!json_member(start, SPAN("toolUse"), &call)) return RW_OK;
    RW_TRY(chat_members(&r->temp, call, keys, 2, v, NULL));
    const struct span id = chat_text_or_none(&r->temp, v[0]), name = chat_text_or_none(&r->temp, v[1]);
    return id.n && name.n ? chat_reader_tool(r, 0, index, id, name, &tool) : RW_E_BAD;
}

static enum rw_err read_delta(struct chat_reader *r, uint32_t index, struct span delta)
{
    enum { TEXT, CALL, THOUGHT };
    static const struct span keys[] = {SPAN_INIT("text"), SPAN_INIT("toolUse"),
                                       SPAN_INIT("reasoningContent")};
    struct span v[3], inner;
    RW_TRY(chat_members(&r->temp, delta, keys, 3, v, NULL));
    if (chat_has(v[TEXT])) return chat_reader_text(r, 0, CHAT_EV_TEXT, 0, v[TEXT]);
    if (chat_has(v[CALL])) {
        const int32_t tool = chat_reader_tool_find(r, 0, index);
        if (tool < 0 || !json_member(v[CALL], SPAN("input"), &inner)) return RW_OK;
        return chat_reader_text(r, 0, CHAT_EV_TOOL_ARGS, (uint32_t)tool, inner);
    }
    if (!chat_has(v[THOUGHT])) return RW_OK;
    if (json_member(v[THOUGHT], SPAN("text"), &inner))
        return chat_reader_text(r, 0, CHAT_EV_THINKING, 0, inner);
    if (json_member(v[THOUGHT], SPAN("signature"), &inner))
        return chat_reader_text(r, 0, CHAT_EV_SIGNATURE, 0, inner);
    if (json_member(v[THOUGHT], SPAN("redactedContent"), &inner))
        return chat_reader_text(r, 0, CHAT_EV_REDACTED, 0, inner);
    return RW_OK;
}

static enum rw_err read_stop(struct chat_reader *r, struct span data)
{
    struct span value, sequence;
    if (!json_member(data, SPAN("stopReason"), &value)) return RW_OK;
    r->finish = chat_converse_finish(chat_text_or_none(&r->temp, value));
    if (json_path(data, "additionalModelResponseFields.stop_sequence", &sequence))
        r->stop_sequence = arena_copy(r->ctx->arena, chat_text_or_none(&r->temp, sequence));
    if (r->finish != CHAT_FINISH_MALFORMED) return RW_OK;
    const struct chat_error error = {
        .kind = CHAT_E_SERVER, .message = SPAN("The model's output was no use."), .retry_after_ms = -1};
    return chat_reader_error(r, &error);
}

static enum rw_err read_metadata(struct chat_reader *r, struct span data)
{
    struct span value;
    struct chat_usage usage;
    if (r->finish == CHAT_FINISH_NONE) return RW_OK;
    if (!json_member(data, SPAN("usage"), &value)) value = (struct span){NULL, 0};
    RW_TRY(chat_converse_usage(&r->temp, value, &usage));
    usage.extra = NULL; // does not live longer than this event
    const struct chat_event e = {.finish = r->finish, .stop_sequence = r->stop_sequence};
    RW_TRY(chat_reader_finish(r, 0, &e));
    RW_TRY(chat_reader_usage(r, &usage));
    return chat_reader_done(r);
}

static enum rw_err read_exception(struct chat_reader *r, struct span type, struct span data)
{
    struct span value;
    struct chat_error error = {.kind = chat_converse_error_kind(type, CHAT_E_SERVER),
                               .code = type,
                               .message = SPAN("The provider reported an error."),
                               .retry_after_ms = -1};
    if (chat_is_object(data) && json_member(data, SPAN("message"), &value))
        error.message = chat_text_or_none(&r->temp, value);
    if (!error.message.n) error.message = SPAN("The provider reported an error.");
    return chat_reader_error(r, &error);
}

enum rw_err chat_converse_read(struct chat_reader *r, struct span name, struct span data)
{
    static const struct span keys[] = {SPAN_INIT("contentBlockIndex"), SPAN_INIT("start"),
                                       SPAN_INIT("delta")};
    struct span v[3];
    if (r->exception) return read_exception(r, name, data);
    if (!chat_is_object(data)) {
        r->skipped++;
        return RW_OK;
    }
    RW_TRY(chat_members(&r->temp, data, keys, 3, v, NULL));
    const int64_t at = chat_count(v[0]);
    const uint32_t index = at > 0 ? (uint32_t)at : 0;
    if (span_eq(name, SPAN("contentBlockDelta"))) return read_delta(r, index, v[2]);
    if (span_eq(name, SPAN("messageStart"))) {
        (void)chat_reader_choice(r, 0);
        return chat_reader_start(r, (struct span){NULL, 0}, (struct span){NULL, 0}, -1);
    }
    if (span_eq(name, SPAN("contentBlockStart"))) return read_start(r, index, v[1]);
    if (span_eq(name, SPAN("contentBlockStop"))) {
        const int32_t tool = chat_reader_tool_find(r, 0, index);
        return tool < 0 ? RW_OK : chat_reader_tool_end(r, 0, (uint32_t)tool);
    }
    if (span_eq(name, SPAN("messageStop"))) return read_stop(r, data);
    return span_eq(name, SPAN("metadata")) ? read_metadata(r, data) : RW_OK;
}

// --- Written.

static void frame(struct chat_writer *w, enum aws_event_kind kind, struct span type, struct json_out *o)
{
    const struct span payload = json_out_done(o) ? (struct span){NULL, 0} : json_out_flat(o);
    if (chat_has(payload) && kind == AWS_EVENT_EVENT && w->dialect == &dialect_invoke_nova) {
        chat_nova_event(w, type, payload);
        return;
    }
    const uint32_t cap = AWS_EVENT_FRAME_BYTES + type.n + payload.n;
    uint8_t *out = chat_has(payload) ? arena_alloc(w->scratch, cap) : NULL;
    const uint32_t n = out ? aws_event_write(kind, type, payload, out, cap) : 0;
    if (n) json_out_bytes(w->out, span_of(out, n));
    else w->broken = true;
}

// A payload that was begun; of a block with its index.
static struct json_out *begin(struct chat_writer *w, struct json_out *o, bool block)
{
    json_out_init(o, w->scratch);
    json_out_object(o);
    if (block) json_out_key_u64(o, SPAN("contentBlockIndex"), w->blocks);
    return o;
}

static void event(struct chat_writer *w, struct span type, struct json_out *o)
{
    json_out_end(o);
    frame(w, AWS_EVENT_EVENT, type, o);
}

static void start(struct chat_writer *w)
{
    struct json_out o;
    json_out_key_string(begin(w, &o, false), SPAN("role"), SPAN("assistant"));
    event(w, SPAN("messageStart"), &o);
}

static void thought(struct chat_writer *w, struct span key, struct span text)
{
    struct json_out o;
    json_out_key_object(begin(w, &o, true), SPAN("delta"));
    json_out_key_object(&o, SPAN("reasoningContent"));
    json_out_key_string(&o, key, text);
    json_out_end(&o);
    json_out_end(&o);
    event(w, SPAN("contentBlockDelta"), &o);
}

static void block_open(struct chat_writer *w, const struct writer_block *b)
{
    struct json_out o;
    if (b->kind == CHAT_REDACTED) thought(w, SPAN("redactedContent"), b->id);
    if (b->kind != CHAT_TOOL_CALL) return;
    json_out_key_object(begin(w, &o, true), SPAN("start"));
    json_out_key_object(&o, SPAN("toolUse"));
    json_out_key_string(&o, SPAN("toolUseId"), b->id);
    json_out_key_string(&o, SPAN("name"), b->name);
    json_out_end(&o);
    json_out_end(&o);
    event(w, SPAN("contentBlockStart"), &o);
}

static void block_text(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    struct json_out o;
    if (b->kind == CHAT_REDACTED) return;
    if (b->kind == CHAT_THINKING) {
        thought(w, SPAN("text"), text);
        return;
    }
    json_out_key_object(begin(w, &o, true), SPAN("delta"));
    if (b->kind == CHAT_TOOL_CALL) {
        json_out_key_object(&o, SPAN("toolUse"));
        json_out_key_string(&o, SPAN("input"), text);
        json_out_end(&o);
    } else {
        json_out_key_string(&o, SPAN("text"), text);
    }
    json_out_end(&o);
    event(w, SPAN("contentBlockDelta"), &o);
}

static void block_signature(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    if (b->kind == CHAT_THINKING) thought(w, SPAN("signature"), text);
}

static void block_close(struct chat_writer *w, const struct writer_block *b)
{
    struct json_out o;
    (void)b;
    event(w, SPAN("contentBlockStop"), begin(w, &o, true));
}

static const struct writer_ops blocks = {
    .open = block_open, .text = block_text, .signature = block_signature, .close = block_close};

static enum rw_err done(struct chat_writer *w)
{
    struct json_out o;
    RW_TRY(chat_blocks_end(w, &blocks));
    json_out_key_string(begin(w, &o, false), SPAN("stopReason"), chat_converse_finish_word(w->finish));
    if (w->stop_sequence.n) {
        json_out_key_object(&o, SPAN("additionalModelResponseFields"));
        json_out_key_string(&o, SPAN("stop_sequence"), w->stop_sequence);
        json_out_end(&o);
    }
    event(w, SPAN("messageStop"), &o);
    json_out_key(begin(w, &o, false), SPAN("usage"));
    if (w->dialect == &dialect_invoke_nova) chat_nova_usage_write(&w->usage, &o);
    else chat_converse_usage_write(&w->usage, &o);
    json_out_key_raw(&o, SPAN("metrics"), SPAN("{\"latencyMs\":0}"));
    event(w, SPAN("metadata"), &o);
    return RW_OK;
}

// In a stream there are fewer words for errors than before it.
static struct span exception_of(enum chat_error_kind kind)
{
    switch (kind) {
    case CHAT_E_RATE:
    case CHAT_E_QUOTA:
    case CHAT_E_MONEY: return SPAN("throttlingException");
    case CHAT_E_OVERLOADED: return SPAN("serviceUnavailableException");
    case CHAT_E_TIMEOUT: return SPAN("modelStreamErrorException");
    case CHAT_E_BAD_REQUEST:
    case CHAT_E_TOO_LARGE:
    case CHAT_E_CONTEXT:
    case CHAT_E_CONTENT: return SPAN("validationException");
    default: return SPAN("internalServerException");
    }
}

static void fail(struct chat_writer *w, const struct chat_error *error)
{
    struct json_out o;
    json_out_key_string(begin(w, &o, false), SPAN("message"), error->message);
    json_out_end(&o);
    frame(w, AWS_EVENT_EXCEPTION, exception_of(error->kind), &o);
}

enum rw_err chat_converse_write(struct chat_writer *w, const struct chat_event *e)
{
    if (e->choice > 0) return RW_OK; // a message has one
    enum rw_err err = RW_OK;
    switch (e->kind) {
    case CHAT_EV_START: start(w); break;
    case CHAT_EV_USAGE: w->usage = *e->usage; break;
    case CHAT_EV_FINISH:
        w->finish = e->finish;
        w->stop_sequence = arena_copy(w->ctx->arena, e->stop_sequence);
        break;
    case CHAT_EV_DONE:
        if (e->usage) w->usage = *e->usage;
        err = done(w);
        break;
    case CHAT_EV_ERROR: fail(w, e->error); break;
    default: err = chat_blocks_event(w, &blocks, e);
    }
    return err ? err : w->broken ? RW_E_TOO_LARGE : RW_OK;
}

const struct dialect dialect_converse = {
    .name = "converse",
    .family = DIALECT_BEDROCK,
    .framing = DIALECT_EVENTSTREAM,
    .model_in_path = true,
    .content_type = "application/vnd.amazon.eventstream",
    .decode_request = chat_converse_request,
    .encode_request = chat_converse_request_write,
    .decode_answer = chat_converse_answer,
    .encode_answer = chat_converse_answer_write,
    .read = chat_converse_read,
    .write = chat_converse_write,
    .decode_error = chat_converse_error,
    .encode_error = chat_converse_error_write,
};
