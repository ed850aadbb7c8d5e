// See http.h. A head is one first line and then lines of fields. Each parse goes on at the first line that
// is not whole; the way of this machine (http_priv.h) takes the usual lines, field_line() the others, so
// that this file alone holds the rules.
//
// A rule is broken by the first byte that cannot be right, read from left to right, whatever stands behind
// it. Therefore a head that comes in pieces is refused for the same reason as one that comes whole.
#include "wire/http_priv.h"

// Results of the line parsers besides a negative enum http_bad.
enum { LINE_MORE = HTTP_NEED_MORE, LINE_WHOLE = 1, LINE_BLANK = 2 };

// CR at i: is LF behind it?
static int line_end(const uint8_t *p, uint32_t i, uint32_t n)
{
    if (i + 1 >= n) return LINE_MORE;
    return p[i + 1] == '\n' ? LINE_WHOLE : HTTP_BAD_BARE_CR;
}

static void field_add(struct http_head *head, uint32_t name_len, uint32_t value, uint32_t value_len)
{
    const uint32_t name = head->at.line;
    const enum http_name kind = http_name_of(http_span(head, name, name_len));
    head->field[head->field_count++] = (struct http_field){.name = (uint16_t)name,
                                                           .value = (uint16_t)value,
                                                           .value_len = (uint16_t)value_len,
                                                           .name_len = (uint8_t)name_len,
                                                           .kind = (uint8_t)kind};
    if (head->first[kind] == 0) head->first[kind] = (uint8_t)head->field_count;
    else if (kind != HTTP_N_OTHER) head->doubled |= UINT64_C(1) << kind;
}

// The name of the field whose line begins at head->at.line. LINE_WHOLE: its colon was found.
static int field_name(const uint8_t *p, uint32_t n, struct http_head *head)
{
    const uint32_t line = head->at.line;
    uint32_t i = head->at.scanned;
    while (i < n && i - line <= HTTP_NAME_BYTES_MAX && http_is(p[i], HTTP_TOKEN)) i++;
    head->at.scanned = i;
    if (i - line > HTTP_NAME_BYTES_MAX) return HTTP_BAD_NAME_SIZE;
    if (i == n) return LINE_MORE;
    if (p[i] == ':') {
        if (i == line) return HTTP_BAD_NAME_EMPTY;
        head->at.name_len = (uint8_t)(i - line);
        head->at.scanned = i + 1;
        return LINE_WHOLE;
    }
    if (p[i] == ' ' || p[i] == '\t') return i == line ? HTTP_BAD_FOLD : HTTP_BAD_NAME_SPACE;
    if (p[i] == '\r') return HTTP_BAD_NO_COLON;
    return p[i] == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_NAME;
}

// The line at head->at.line, from head->at.scanned on.
static int field_line(const uint8_t *p, uint32_t n, uint32_t fields_max, struct http_head *head)
{
    const uint32_t line = head->at.line;
    if (line >= n) return LINE_MORE;
    if (p[line] == '\r') {
        const int end = line_end(p, line, n);
        return end == LINE_WHOLE ? LINE_BLANK : end;
    }
    if (head->at.name_len == 0) {
        if (head->field_count >= fields_max) return HTTP_BAD_FIELD_COUNT;
        const int named = field_name(p, n, head);
        if (named != LINE_WHOLE) return named;
    }
    uint32_t i = head->at.scanned;
    while (i < n && http_is(p[i], HTTP_TEXT)) i++;
    head->at.scanned = i;
    if (i == n) return LINE_MORE;
    if (p[i] != '\r') return p[i] == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_VALUE;
    const int end = line_end(p, i, n);
    if (end != LINE_WHOLE) return end;

    const uint32_t name_len = head->at.name_len;
    const uint32_t from = line + name_len + 1;
    const struct span value = span_trim(http_span(head, from, i - from));
    field_add(head, name_len, (uint32_t)(value.p - p), value.n);
    head->at.line = head->at.scanned = i + 2;
    head->at.name_len = 0;
    return LINE_WHOLE;
}

// All lines behind the first. The bytes of the head, HTTP_NEED_MORE or a reason. `tried`: the way has
// already left the line at head->at.line.
static int field_lines(const uint8_t *p, uint32_t n, uint32_t fields_max, const struct http_way *way,
                       bool tried, struct http_head *head)
{
    for (;; tried = false) {
        if (!tried && head->at.scanned == head->at.line)
            head->at.line = head->at.scanned = way->fields(p, head->at.line, n, fields_max, head);
        const int got = field_line(p, n, fields_max, head);
        if (got == LINE_BLANK) return (int)head->at.line + 2;
        if (got != LINE_WHOLE) return got;
    }
}

static int first_line_is(struct http_head *head, uint32_t end)
{
    head->at.line = head->at.scanned = end;
    head->at.in_fields = true;
    return LINE_WHOLE;
}

// --- The request line.

// The version that must stand at p[i ..), byte by byte. LINE_WHOLE: its line is whole, *ret_end lies
// behind it.
static int version(const uint8_t *p, uint32_t i, uint32_t n, struct http_head *head, uint32_t *ret_end)
{
    static const char form[] = "HTTP/0.0";
    for (uint32_t k = 0; k < sizeof form - 1; k++) {
        if (i + k >= n) return LINE_MORE;
        const uint8_t c = p[i + k];
        const bool right = form[k] == '0' ? http_is(c, HTTP_DIGIT) : c == (uint8_t)form[k];
        if (!right) return c == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_VERSION;
    }
    const uint32_t end = i + (uint32_t)sizeof form - 1;
    if (end >= n) return LINE_MORE;
    if (p[end] != '\r') return p[end] == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_VERSION;
    const int whole = line_end(p, end, n);
    if (whole != LINE_WHOLE) return whole;
    if (p[i + 5] != '1') {
        const bool h2 = p[i + 5] == '2' && span_eq(http_method_text(head), SPAN("PRI")) &&
            span_eq(http_target(head), SPAN("*"));
        return h2 ? HTTP_BAD_H2_PREFACE : HTTP_BAD_MAJOR;
    }
    head->minor = (uint8_t)(p[i + 7] - '0');
    *ret_end = end + 2;
    return LINE_WHOLE;
}

static uint8_t method_of(struct span text)
{
    for (int m = 0; m < HTTP_METHOD_OTHER; m++)
        if (span_eq(text, http_method_name((enum http_method)m))) return (uint8_t)m;
    return HTTP_METHOD_OTHER;
}

// LINE_WHOLE: head->method... are set and a space stands behind.
static int method(const uint8_t *p, uint32_t i, uint32_t n, struct http_head *head)
{
    head->method_at = (uint16_t)i;
    uint32_t len = 0;
    while (i + len < n && len <= HTTP_METHOD_BYTES_MAX && http_is(p[i + len], HTTP_TOKEN)) len++;
    if (len > HTTP_METHOD_BYTES_MAX) return HTTP_BAD_METHOD;
    if (i + len == n) return LINE_MORE;
    if (len == 0 && p[i] == 0x16) return HTTP_BAD_TLS;
    if (len == 0 || p[i + len] != ' ') return p[i + len] == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_METHOD;
    head->method_len = (uint8_t)len;
    head->method = method_of(http_method_text(head));
    return LINE_WHOLE;
}

// Its length is known when the byte behind it has come.
static int target(const uint8_t *p, uint32_t n, const struct http_rules *rules, struct http_head *head)
{
    const uint32_t at = head->method_at + UINT32_C(1) + head->method_len;
    uint32_t end = head->at.scanned > at ? head->at.scanned : at;
    while (end < n && end - at <= rules->target_bytes_max && http_is(p[end], HTTP_TARGET)) end++;
    head->at.scanned = end;
    head->target_at = (uint16_t)at;
    if (end - at > rules->target_bytes_max) return HTTP_BAD_TARGET_SIZE;
    if (end == n) return LINE_MORE;
    if (p[end] != ' ') {
        if (p[end] == '\r' || p[end] == '\n') return end == at ? HTTP_BAD_TARGET : HTTP_BAD_HTTP09;
        return HTTP_BAD_TARGET_BYTE;
    }
    head->target_len = (uint16_t)(end - at);
    return end == at ? HTTP_BAD_TARGET : LINE_WHOLE;
}

// "http://authority/path": returns the bytes in front of the path, 0 if it is none, or a reason.
static int absolute_form(struct http_head *head, uint32_t question)
{
    const struct span t = http_target(head);
    uint32_t scheme = 0;
    if (t.n >= 7 && span_ieq((struct span){t.p, 7}, SPAN("http://"))) scheme = 7;
    else if (t.n >= 8 && span_ieq((struct span){t.p, 8}, SPAN("https://"))) scheme = 8;
    if (scheme == 0) return HTTP_BAD_TARGET;
    struct span authority = {t.p + scheme, (question > scheme ? question : scheme) - scheme};
    authority.n = span_find(authority, '/');
    if (span_find(authority, '@') < authority.n) return HTTP_BAD_USERINFO;
    if (!http_host_is_valid(authority)) return HTTP_BAD_AUTHORITY;
    head->authority_at = (uint16_t)(head->target_at + scheme);
    head->authority_len = (uint16_t)authority.n;
    return (int)(scheme + authority.n);
}

// The four forms of RFC 9112 3.2, of which two are left.
static int target_form(struct http_head *head)
{
    const struct span t = http_target(head);
    const uint32_t question = span_find(t, '?');
    uint32_t path = 0;
    head->authority_at = head->authority_len = 0;
    if (t.p[0] != '/') {
        if (span_eq(http_method_text(head), SPAN("CONNECT"))) return HTTP_BAD_CONNECT;
        if (t.n == 1 && t.p[0] == '*') {
            if (head->method != HTTP_OPTIONS) return HTTP_BAD_ASTERISK;
        } else {
            const int got = absolute_form(head, question);
            if (got < 0) return got;
            path = (uint32_t)got;
        }
    }
    head->path_at = (uint16_t)(head->target_at + path);
    head->path_len = (uint16_t)(question - path);
    head->has_query = question < t.n;
    head->query_at = (uint16_t)(head->target_at + question + head->has_query);
    head->query_len = (uint16_t)(t.n - question - head->has_query);
    return LINE_WHOLE;
}

static int empty_lines(const uint8_t *p, uint32_t n, struct http_head *head)
{
    while (head->at.line < n && p[head->at.line] == '\r') {
        const int end = line_end(p, head->at.line, n);
        if (end != LINE_WHOLE) return end;
        if (++head->at.empty_lines > HTTP_EMPTY_LINES_MAX) return HTTP_BAD_EMPTY_LINES;
        head->at.line += 2;
    }
    return head->at.line < n ? LINE_WHOLE : LINE_MORE;
}

static int request_line(const uint8_t *p, uint32_t n, const struct http_rules *rules, struct http_head *head)
{
    int got = empty_lines(p, n, head);
    if (got != LINE_WHOLE) return got;
    got = method(p, head->at.line, n, head);
    if (got != LINE_WHOLE) return got;
    got = target(p, n, rules, head);
    if (got != LINE_WHOLE) return got;
    uint32_t end = 0;
    got = version(p, head->at.scanned + 1, n, head, &end);
    if (got != LINE_WHOLE) return got;
    first_line_is(head, end);
    return target_form(head);
}

// --- The status line.

// "HTTP/1.1 200 OK", "HTTP/1.1 200 " and, as some servers write it, "HTTP/1.1 200".
static int status_line(const uint8_t *p, uint32_t n, struct http_head *head)
{
    static const char form[] = "HTTP/1.0 000";
    enum { FORM = sizeof form - 1 };
    // What nearly every answer begins with.
    static const char usual[] = "HTTP/1.1 200 OK\r\n";
    if (n >= sizeof usual - 1 && memcmp(p, usual, sizeof usual - 1) == 0) {
        head->minor = 1;
        head->status = 200;
        head->reason_at = FORM + 1;
        head->reason_len = 2;
        return first_line_is(head, sizeof usual - 1);
    }
    for (uint32_t k = 0; k < FORM; k++) {
        if (k >= n) return LINE_MORE;
        const bool right = form[k] == '0' ? http_is(p[k], HTTP_DIGIT) : p[k] == (uint8_t)form[k];
        if (!right) return HTTP_BAD_STATUS_LINE;
    }
    const int status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    if (status < 100 || status > 599) return HTTP_BAD_STATUS;
    if (n == FORM) return LINE_MORE;
    if (p[FORM] != ' ' && p[FORM] != '\r') return p[FORM] == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_STATUS_LINE;
    uint32_t i = head->at.scanned > FORM ? head->at.scanned : FORM;
    while (i < n && http_is(p[i], HTTP_TEXT)) i++;
    head->at.scanned = i;
    if (i == n) return LINE_MORE;
    if (p[i] != '\r') return p[i] == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_STATUS_LINE;
    const int end = line_end(p, i, n);
    if (end != LINE_WHOLE) return end;
    head->minor = (uint8_t)(p[7] - '0');
    head->status = (uint16_t)status;
    head->reason_at = (uint16_t)(FORM + (p[FORM] == ' '));
    head->reason_len = (uint16_t)(i - head->reason_at);
    return first_line_is(head, i + 2);
}

// --- Both.

// A head of more bytes than the rules allow is refused when the first byte beyond them could come.
static int lines_result(int got, uint32_t n, const struct http_rules *rules)
{
    return got == HTTP_NEED_MORE && n >= rules->head_bytes_max ? HTTP_BAD_HEAD_SIZE : got;
}

static uint32_t bounded(uint32_t n, const struct http_rules *rules)
{
    MUST(rules->head_bytes_max <= HTTP_HEAD_BYTES_MAX && rules->fields_max <= HTTP_FIELDS_MAX);
    return n < rules->head_bytes_max ? n : rules->head_bytes_max;
}

int http_request_parse(const uint8_t *p, uint32_t n, const struct http_rules *rules, struct http_head *head)
{
    const struct http_way *way = http_way();
    n = bounded(n, rules);
    head->base = p;
    int got = LINE_WHOLE;
    bool tried = false;
    if (!head->at.in_fields) {
        const bool fresh = head->at.line == 0 && head->at.scanned == 0;
        const uint32_t usual = fresh ? way->request(p, n, rules, head) : 0;
        if (RW_LIKELY(usual)) {
            first_line_is(head, usual);
            tried = true;
            if (usual + 2 <= n && p[usual] == '\r' && p[usual + 1] == '\n') got = (int)usual + 2;
        } else {
            got = request_line(p, n, rules, head);
        }
    }
    if (got == LINE_WHOLE) got = field_lines(p, n, rules->fields_max, way, tried, head);
    if (got <= 0) return lines_result(got, n, rules);
    const int bad = http_request_meaning(head);
    if (bad < 0) return bad;
    head->bytes = (uint32_t)got;
    return got;
}

int http_response_parse(const uint8_t *p, uint32_t n, const struct http_rules *rules, enum http_method asked,
                        struct http_head *head)
{
    const struct http_way *way = http_way();
    n = bounded(n, rules);
    head->base = p;
    int got = head->at.in_fields ? LINE_WHOLE : status_line(p, n, head);
    if (got == LINE_WHOLE) got = field_lines(p, n, rules->fields_max, way, false, head);
    if (got <= 0) return lines_result(got, n, rules);
    const int bad = http_response_meaning(head, asked);
    if (bad < 0) return bad;
    head->bytes = (uint32_t)got;
    return got;
}
