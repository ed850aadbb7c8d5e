// YAML to a tree, by libyaml's events. What a configuration has no use for and an attacker might (aliases
// that multiply, tags, deep nesting) is refused by name. After a mistake in the YAML itself nothing more is
// read: what follows it would be guesswork.
#include <yaml.h>

#include "control/config_priv.h"
#include "tls/crypto.h"
#include "wire/utf8.h"

struct reader {
    struct config_loader *l;
    yaml_parser_t parser;
    const char *text;
    uint32_t n;
    bool defaults;
};

bool config_node_null(const struct config_node *node)
{
    if (node->kind != CONFIG_SCALAR || node->quoted || node->from) return false;
    return !*node->raw || !strcmp(node->raw, "~") || !strcmp(node->raw, "null");
}

static struct span line_at(const struct reader *r, uint32_t line)
{
    struct span rest = {(const uint8_t *)r->text, r->n}, found = {NULL, 0};
    for (uint32_t i = 1; i <= line; i++)
        if (!span_split(&rest, '\n', &found)) return (struct span){NULL, 0};
    return found;
}

static void complain_encoding(struct reader *r)
{
    // libyaml points into a broken character, this at it; control characters are whole and its alone.
    const uint32_t valid = utf8_prefix(span_of(r->text, r->n));
    const size_t at = valid < r->n ? valid : r->parser.problem_offset;
    uint32_t line = 1, column = 1;
    for (uint32_t i = 0; i < at && i < r->n; i++) {
        column += ((uint8_t)r->text[i] & 0xc0) != 0x80; // characters, not bytes
        if (r->text[i] == '\n') line++, column = 1;
    }
    config_complain_at(r->l, line, column, "not UTF-8 text (%s)", r->parser.problem);
}

// The mend that fits the two mistakes everybody makes once.
static const char *hint(const struct reader *r, uint32_t line, uint32_t column)
{
    const struct span s = line_at(r, line);
    if (column <= s.n && s.p[column - 1] == '\t') return "; a tab cannot indent: use spaces";
    for (uint32_t i = 0; i + 1 < s.n; i++)
        if (s.p[i] == '$' && s.p[i + 1] == '{') return "; write \"${...}\" in quotes";
    return "";
}

static bool complain_yaml(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        r->l->out_of_memory = true;
        return false;
    }
    if (p->error == YAML_READER_ERROR) {
        complain_encoding(r);
        return false;
    }
    const uint32_t line = (uint32_t)p->problem_mark.line + 1, column = (uint32_t)p->problem_mark.column + 1;
    const char *problem = p->problem ? p->problem : "cannot be read";
    if (p->context)
        config_complain_at(r->l, line, column, "not valid YAML: %s, %s that begins in line %u%s", problem,
                           p->context, (uint32_t)p->context_mark.line + 1, hint(r, line, column));
    else config_complain_at(r->l, line, column, "not valid YAML: %s%s", problem, hint(r, line, column));
    return false;
}

static bool next(struct reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) || complain_yaml(r);
}

static void done(yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT) crypto_wipe(event->data.scalar.value, event->data.scalar.length);
    yaml_event_delete(event);
}

static struct config_node *node_new(struct reader *r, const yaml_event_t *event, enum config_node_kind kind)
{
    struct config_node *node = config_take(r->l->memory, sizeof *node);
    if (!node) return NULL;
    node->kind = kind;
    if (!r->defaults) {
        node->line = (uint32_t)event->start_mark.line + 1;
        node->column = (uint32_t)event->start_mark.column + 1;
    }
    return node;
}

// Refuses what is in the event beside the value.
static bool plain_enough(struct reader *r, const yaml_event_t *event, uint32_t depth)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    const char *why = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (memchr(event->data.scalar.value, 0, event->data.scalar.length))
            why = "a NUL cannot be part of a value";
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    case YAML_ALIAS_EVENT:
        why = "aliases are not supported: write the value out, or quote a text that begins with '*'";
        break;
    default: UNREACHABLE("libyaml gives a value here or an error");
    }
    if (anchor) why = "anchors are not supported: write the value out, or quote a text that begins with '&'";
    if (tag) why = "tags are not supported: leave it out, or quote a text that begins with '!'";
    if (depth > CONFIG_DEPTH_MAX) why = "nested too deeply";
    if (++r->l->nodes > CONFIG_NODES_MAX) why = "too many values";
    if (!why) return true;
    config_complain_at(r->l, (uint32_t)event->start_mark.line + 1, (uint32_t)event->start_mark.column + 1,
                       "%s", why);
    return false;
}

static bool read_scalar(struct reader *r, const yaml_event_t *event, bool is_key,
                        struct config_node **ret_node)
{
    struct config_node *node = node_new(r, event, CONFIG_SCALAR);
    if (!node) return false;
    const uint32_t n = (uint32_t)event->data.scalar.length;
    node->raw = config_copy(r->l->memory, event->data.scalar.value, n);
    if (!node->raw) return false;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (is_key) {
        node->text = node->raw;
        node->text_n = n;
    } else if (!config_expand(r->l, node, n) && r->l->out_of_memory) {
        return false; // anything else is recorded, and the reading goes on
    }
    *ret_node = node;
    return true;
}

static bool read_node(struct reader *r, yaml_event_t *event, uint32_t depth, struct config_node **ret_node);

static void append(struct config_node *parent, struct config_node *child)
{
    if (parent->last) parent->last->next = child;
    else parent->first = child;
    parent->last = child;
    parent->count++;
}

// One child, whose key or value begins with `event`.
static bool read_child(struct reader *r, yaml_event_t *event, uint32_t depth, struct config_node *parent)
{
    struct config_node *key = NULL, *child = NULL;
    if (parent->kind == CONFIG_MAP) {
        if (!plain_enough(r, event, depth)) return false;
        if (event->type != YAML_SCALAR_EVENT) {
            config_complain_at(r->l, (uint32_t)event->start_mark.line + 1,
                               (uint32_t)event->start_mark.column + 1, "a key must be a word");
            return false;
        }
        if (!read_scalar(r, event, true, &key)) return false;
        done(event);
        if (!next(r, event)) {
            event->type = YAML_NO_EVENT;
            return false;
        }
    }
    if (!read_node(r, event, depth, &child)) return false;
    child->key = key;
    append(parent, child);
    return true;
}

static bool read_node(struct reader *r, yaml_event_t *event, uint32_t depth, struct config_node **ret_node)
{
    if (!plain_enough(r, event, depth)) return false;
    if (event->type == YAML_SCALAR_EVENT) return read_scalar(r, event, false, ret_node);

    const bool map = event->type == YAML_MAPPING_START_EVENT;
    struct config_node *node = node_new(r, event, map ? CONFIG_MAP : CONFIG_LIST);
    if (!node) return false;
    for (;;) {
        yaml_event_t child;
        if (!next(r, &child)) return false;
        const bool end = child.type == YAML_MAPPING_END_EVENT || child.type == YAML_SEQUENCE_END_EVENT;
        const bool ok = end || read_child(r, &child, depth + 1, node);
        done(&child);
        if (!ok) return false;
        if (end) break;
    }
    *ret_node = node;
    return true;
}

static bool read_document(struct reader *r, struct config_node **ret_node)
{
    struct config_node *node = NULL;
    bool ok = true;
    for (uint32_t documents = 0; ok;) {
        yaml_event_t event;
        if (!next(r, &event)) return false;
        const yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            config_complain_at(r->l, (uint32_t)event.start_mark.line + 1,
                               (uint32_t)event.start_mark.column + 1,
                               "a second document begins here: the configuration is one");
            ok = false;
        } else if (type == YAML_SCALAR_EVENT || type == YAML_MAPPING_START_EVENT ||
                   type == YAML_SEQUENCE_START_EVENT || type == YAML_ALIAS_EVENT) {
            ok = read_node(r, &event, 1, &node);
        }
        done(&event);
        if (type == YAML_STREAM_END_EVENT) break;
    }
    if (ok) *ret_node = node;
    return ok;
}

bool config_yaml_read(struct config_loader *l, const char *text, uint32_t n, bool defaults,
                      struct config_node **ret_node)
{
    struct reader r = {.l = l, .text = text, .n = n, .defaults = defaults};
    if (!yaml_parser_initialize(&r.parser)) {
        l->out_of_memory = true;
        return false;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    const bool ok = read_document(&r, ret_node);
    // libyaml frees its copies of the text as they are.
    crypto_wipe(r.parser.raw_buffer.start, (size_t)(r.parser.raw_buffer.end - r.parser.raw_buffer.start));
    crypto_wipe(r.parser.buffer.start, (size_t)(r.parser.buffer.end - r.parser.buffer.start));
    yaml_parser_delete(&r.parser);
    l->out_of_memory |= config_memory_failed(l->memory);
    return ok && !l->out_of_memory;
}
