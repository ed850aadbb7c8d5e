// See http.h. A field is known by where its parts lie. So a line whose bytes are the same as before at the
// same place is the same field, and so is a line of which only the value changed, into other text of the
// same length. Lines from the first one on that is neither are parsed.
#include "wire/http_priv.h"

// All of a head but its fields.
#define HEAD_BYTES offsetof(struct http_head, field)

#define BIT(name) (UINT64_C(1) << (name))
// Names whose values say something about the whole message.
#define MEANINGFUL \
    (BIT(HTTP_N_HOST) | BIT(HTTP_N_CONTENT_LENGTH) | BIT(HTTP_N_TRANSFER_ENCODING) | \
     BIT(HTTP_N_CONNECTION) | BIT(HTTP_N_EXPECT) | BIT(HTTP_N_UPGRADE))

static void copy_head(struct http_head *to, const struct http_head *from, uint32_t first_field)
{
    memcpy(to, from, HEAD_BYTES);
    for (uint32_t i = first_field; i < from->field_count; i++) to->field[i] = from->field[i];
}

static bool is_fresh(const struct http_head *head)
{
    return head->at.line == 0 && head->at.scanned == 0;
}

// The fields whose lines end at or before `at`.
static uint32_t fields_before(const struct http_head *head, uint32_t at)
{
    uint32_t k = 0;
    while (k + 1 < head->field_count && head->field[k + 1].name <= at) k++;
    return k;
}

// Lets the parse begin behind the lines that the head shares with the memo's. Returns their number of bytes.
static uint32_t begin_behind(const struct http_memo *memo, uint32_t common, struct http_head *head)
{
    const struct http_head *before = &memo->head;
    const uint32_t k = fields_before(before, common);
    if (k == 0) return 0;
    copy_head(head, before, before->field_count);
    // Everything the later fields had a part in.
    memset(&head->bytes, 0, HEAD_BYTES - offsetof(struct http_head, bytes));
    for (uint32_t i = 0; i < k; i++) {
        const struct http_field field = head->field[i] = before->field[i];
        if (head->first[field.kind] == 0) head->first[field.kind] = (uint8_t)(i + 1);
        else if (field.kind != HTTP_N_OTHER) head->doubled |= UINT64_C(1) << field.kind;
    }
    head->field_count = (uint16_t)k;
    head->at.line = head->at.scanned = before->field[k].name;
    head->at.in_fields = true;
    if (head->first[HTTP_N_HOST]) head->at.host_run = before->at.host_run;
    return head->at.line;
}

struct recalled {
    uint32_t same; // bytes that are the memo's, up to the first difference
    uint32_t line; // the parse has to begin here; 0: at the start
    uint64_t changed; // the kinds of lines with other values
};

// The value became other text of the same length, without white space at its ends. A tab ends a text here.
static bool same_shape(const uint8_t *p, uint32_t n, const struct http_field *field)
{
    const uint32_t end = (uint32_t)field->value + field->value_len;
    if (p[field->value] == ' ' || p[end - 1] == ' ') return false;
    return http_way()->text(p, field->value, n) == end;
}

// True if p begins with a head of the memo's shape. Otherwise the head is left where its parse has to go on.
static bool recall(const struct http_memo *memo, const uint8_t *p, uint32_t n, const struct http_rules *rules,
                   struct http_head *head, struct recalled *r)
{
    const struct http_head *before = &memo->head;
    *r = (struct recalled){0};
    if (memo->bytes == 0 || n < memo->bytes || !is_fresh(head)) return false;
    if (memcmp(&memo->rules, rules, sizeof *rules) != 0) return false;
    r->same = memo->bytes;
    for (uint32_t at = 0, k = 0;;) {
        at = http_way()->differ(p, memo->text, at, memo->bytes);
        if (at == memo->bytes) return true;
        if (at < r->same) r->same = at;
        while (k + 1 < before->field_count && before->field[k + 1].name <= at) k++;
        const struct http_field *field = &before->field[k];
        const uint32_t end = (uint32_t)field->value + field->value_len;
        if (before->field_count == 0 || at < field->value || at >= end || !same_shape(p, n, field)) {
            r->line = begin_behind(memo, at, head);
            if (r->changed & BIT(HTTP_N_HOST)) head->at.host_run = 0;
            return false;
        }
        r->changed |= BIT(field->kind);
        at = end;
    }
}

// The head is the memo's, but for what its meaningful values may say now.
static void take(const struct http_memo *memo, const uint8_t *p, const struct recalled *r,
                 struct http_head *head)
{
    copy_head(head, &memo->head, 0);
    head->base = p;
    if (r->changed & BIT(HTTP_N_HOST)) head->at.host_run = 0;
}

static void keep(struct http_memo *memo, const uint8_t *p, uint32_t same, const struct http_rules *rules,
                 const struct http_head *head)
{
    memo->bytes = 0;
    if (head->bytes > HTTP_MEMO_BYTES || head->bytes < HTTP_DIFFER_MIN) return;
    memcpy(memo->text + same, p + same, head->bytes - same);
    copy_head(&memo->head, head, 0);
    memo->rules = *rules;
    memo->bytes = head->bytes;
}

int http_request_parse_memo(const uint8_t *p, uint32_t n, const struct http_rules *rules,
                            struct http_head *head, struct http_memo *memo)
{
    struct recalled r;
    if (RW_LIKELY(recall(memo, p, n, rules, head, &r))) {
        take(memo, p, &r, head);
        const int bad = r.changed & MEANINGFUL ? http_request_meaning(head) : 0;
        return bad < 0 ? bad : (int)memo->bytes;
    }
    const int got = http_request_parse(p, n, rules, head);
    if (got > 0) keep(memo, p, r.same, rules, head);
    return got;
}

int http_response_parse_memo(const uint8_t *p, uint32_t n, const struct http_rules *rules,
                             enum http_method asked, struct http_head *head, struct http_memo *memo)
{
    struct recalled r;
    if (memo->asked != asked) memo->bytes = 0;
    memo->asked = (uint8_t)asked;
    if (RW_LIKELY(recall(memo, p, n, rules, head, &r))) {
        take(memo, p, &r, head);
        const int bad = r.changed & MEANINGFUL ? http_response_meaning(head, asked) : 0;
        return bad < 0 ? bad : (int)memo->bytes;
    }
    const int got = http_response_parse(p, n, rules, asked, head);
    if (got > 0) keep(memo, p, r.same, rules, head);
    return got;
}

void http_memo_forget(struct http_memo *memo)
{
    memset(memo, 0, sizeof *memo);
    // The compiler must not find that nobody reads it any more.
    __asm__ volatile("" : : "r"(memo) : "memory");
}
