// See credentials_profile.h.
#include "control/credentials_profile.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

// What stands between the brackets; false: the line opens no section.
static bool section_name(struct span line, struct span *ret)
{
    if (!line.n || line.p[0] != '[') return false;
    const struct span inner = span_from(line, 1);
    *ret = span_trim((struct span){inner.p, span_find(inner, ']')});
    return true;
}

static bool is_wanted(struct span section, bool is_config, struct span name)
{
    const struct span word = SPAN("profile");
    if (is_config && span_starts(section, word) && section.n > word.n && is_blank(section.p[word.n]))
        return span_eq(span_trim(span_from(section, word.n)), name);
    return span_eq(section, name) && (!is_config || span_eq(name, SPAN("default")));
}

// Without a comment behind it, which a space precedes.
static struct span value_of(struct span text)
{
    for (uint32_t i = 1; i < text.n; i++)
        if ((text.p[i] == '#' || text.p[i] == ';') && is_blank(text.p[i - 1])) text.n = i;
    return span_trim(text);
}

static void take_setting(struct credentials_profile *to, struct span key, struct span value)
{
    static const char *const others[] = {"role_arn", "credential_process", "sso_session", "sso_start_url",
                                         "web_identity_token_file"};
    if (span_ieq(key, SPAN("aws_access_key_id"))) to->access_key = value;
    if (span_ieq(key, SPAN("aws_secret_access_key"))) to->secret_key = value;
    if (span_ieq(key, SPAN("aws_session_token"))) to->session_token = value;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (span_ieq(key, span_str(others[i])) && !to->other.n) to->other = key;
}

void credentials_profile_read(struct span text, bool is_config, struct span name,
                              struct credentials_profile *ret)
{
    struct span line, section;
    bool inside = false;
    *ret = (struct credentials_profile){0};
    while (span_split(&text, '\n', &line)) {
        if (line.n && line.p[line.n - 1] == '\r') line.n--;
        if (!line.n || is_blank(line.p[0]) || line.p[0] == '#' || line.p[0] == ';') continue;
        if (section_name(line, &section)) {
            inside = is_wanted(section, is_config, name);
            ret->found = ret->found || inside;
            continue;
        }
        const uint32_t equals = span_find(line, '=');
        if (!inside || equals == line.n) continue;
        const struct span key = span_trim((struct span){line.p, equals});
        take_setting(ret, key, value_of(span_from(line, equals + 1)));
    }
}
