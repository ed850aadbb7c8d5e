// "${VAR}", "${file:/path}" and "${credential:NAME}" inside one scalar, after YAML has been parsed, so that
// what a variable holds can never become YAML. What was filled in is not looked at again. "$${" is a plain
// "${".
//
// Texts of errors name the variable or file, never what is in it.
#include <stdlib.h>

#include "control/config_priv.h"
#include "wire/utf8.h"

#define NAME_BYTES_MAX 256

struct expansion {
    struct config_loader *l;
    struct config_node *node;
    char *out; // l->scratch, of CONFIG_VALUE_BYTES_MAX and one more
    uint32_t n;
};

static bool fail(struct expansion *x, const char *what, const char *name, const char *why)
{
    config_complain(x->l, x->node, "\"${%s%s}\": %s", what, name, why);
    return false;
}

static bool too_long(struct expansion *x)
{
    config_complain(x->l, x->node, "the value is longer than %u KB", CONFIG_VALUE_BYTES_MAX / 1024);
    return false;
}

static bool put(struct expansion *x, const char *bytes, size_t n)
{
    if (n > CONFIG_VALUE_BYTES_MAX - x->n) return too_long(x);
    memcpy(x->out + x->n, bytes, n);
    x->n += (uint32_t)n;
    return true;
}

// For config_explain(): only the first; there is hardly ever a second.
static bool note_origin(struct expansion *x, const char *what, const char *name)
{
    const size_t what_n = strlen(what), n = strlen(name);
    if (x->node->from) return true;
    char *from = config_take(x->l->memory, what_n + n + 1);
    if (!from) return false;
    memcpy(from, what, what_n);
    memcpy(from + what_n, name, n);
    x->node->from = from;
    return true;
}

static bool name_ok(const char *name, const char *others)
{
    if (!*name) return false;
    for (; *name; name++) {
        const bool alnum = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
            (*name >= '0' && *name <= '9') || *name == '_';
        if (!alnum && !strchr(others, *name)) return false;
    }
    return true;
}

static bool put_variable(struct expansion *x, const char *name)
{
    const char *value = x->l->env->get(x->l->env->ctx, name);
    if (!value)
        return fail(x, "", name,
                    "this variable is not set in the environment (a plain \"${\" is written \"$${\")");
    return put(x, value, strlen(value)) && note_origin(x, "environment ", name);
}

// `what` is "file:" or "credential:", for messages.
static bool put_file(struct expansion *x, const char *what, const char *name, const char *path)
{
    const uint32_t room = CONFIG_VALUE_BYTES_MAX - x->n;
    char *const to = x->out + x->n;
    int64_t got = x->l->env->read_file(x->l->env->ctx, path, to, room);
    if (got == -EFBIG) return too_long(x);
    if (got < 0) return fail(x, what, name, strerror((int)-got));
    // Editors and `echo` end a file with a line break; the value has none.
    while (got > 0 && (to[got - 1] == '\n' || to[got - 1] == '\r')) got--;
    x->n += (uint32_t)got;
    return note_origin(x, *what == 'f' ? "file " : "credential ", name);
}

static bool put_credential(struct expansion *x, const char *name)
{
    char path[2 * NAME_BYTES_MAX];
    if (!name_ok(name, "._-@:") || *name == '.')
        return fail(x, "credential:", name, "the name of a credential is letters, digits and \"._-@:\"");
    const char *folder = x->l->env->get(x->l->env->ctx, "CREDENTIALS_DIRECTORY");
    if (!folder)
        return fail(x, "credential:", name,
                    "CREDENTIALS_DIRECTORY is not set; systemd sets it when the unit has LoadCredential=");
    const int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof path) return fail(x, "credential:", name, "the path is too long");
    return put_file(x, "credential:", name, path);
}

// One reference: what stands between "${" and "}".
static bool put_reference(struct expansion *x, const char *inside, size_t n)
{
    char name[NAME_BYTES_MAX];
    if (n >= sizeof name) return fail(x, "", "...", "the name is too long");
    memcpy(name, inside, n);
    name[n] = 0;
    if (!strncmp(name, "file:", 5)) {
        if (name[5] != '/') return fail(x, "", name, "the path must begin with '/'");
        return put_file(x, "file:", name + 5, name + 5);
    }
    if (!strncmp(name, "credential:", 11)) return put_credential(x, name + 11);
    // What looks like nothing known is not repeated: it may be half a secret.
    if (!name_ok(name, "") || (*name >= '0' && *name <= '9'))
        return fail(
            x, "", "...",
            "only ${VARIABLE}, ${file:/path} and ${credential:NAME} are known; a plain \"${\" is written "
            "\"$${\"");
    return put_variable(x, name);
}

static bool expand(struct expansion *x, const char *raw, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (n - i >= 3 && !memcmp(raw + i, "$${", 3)) {
            if (!put(x, "${", 2)) return false;
            i += 3;
        } else if (n - i >= 2 && !memcmp(raw + i, "${", 2)) {
            const char *end = memchr(raw + i, '}', n - i);
            if (!end) return fail(x, "", "...", "the '}' is missing; a plain \"${\" is written \"$${\"");
            if (!put_reference(x, raw + i + 2, (size_t)(end - (raw + i + 2)))) return false;
            i = (size_t)(end - raw) + 1;
        } else {
            if (!put(x, raw + i, 1)) return false;
            i++;
        }
    }
    return true;
}

bool config_expand(struct config_loader *l, struct config_node *node, uint32_t n)
{
    if (!strstr(node->raw, "${")) {
        node->text = node->raw;
        node->text_n = n;
        return true;
    }
    if (!l->scratch) l->scratch = malloc(CONFIG_VALUE_BYTES_MAX + 1);
    if (!l->scratch) {
        l->out_of_memory = true;
        return false;
    }
    struct expansion x = {.l = l, .node = node, .out = l->scratch};
    if (!expand(&x, node->raw, n)) return false;
    if (memchr(x.out, 0, x.n) || !utf8_valid(span_of(x.out, x.n)))
        return fail(&x, "", "...", "what it stands for is not UTF-8 text");
    node->text = config_copy(l->memory, x.out, x.n);
    node->text_n = x.n;
    if (node->text) return true;
    l->out_of_memory = true;
    return false;
}
