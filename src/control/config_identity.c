// Clients that are known by their certificates: each stands for a key, one of the configuration's or one that is made here for
// a team. A key that is made has a text no client can send, and is looked up by the certificate only (gateway/auth.c).
#include "base/fmt.h"
#include "control/config_priv.h"
#include "tls/tls.h"

#define NAME_BYTES 64
// Not in a header field, not in a request line.
#define UNSENDABLE "\001certificate:"

void config_identity_finish(struct config_loader *l, const struct config_node *at, void *base)
{
    const struct config_identity *who = base;
    const char *why = who->subject ? tls_subject_check(who->subject) : NULL;
    if (!who->san == !who->subject) config_complain(l, at, "one of san and subject must be there");
    else if (why) config_complain(l, at, "subject: %s", why);
    if (!who->key == !who->team) config_complain(l, at, "one of key and team must be there");
}

static const char *text_of(const struct config_identity *who)
{
    return who->san ? who->san : who->subject;
}

// A name for logs: the last letters of it tell more than the first.
static void name_of(const struct config_identity *who, uint32_t number, char out[NAME_BYTES + 1])
{
    const char *text = text_of(who);
    const size_t n = strlen(text), most = NAME_BYTES - 16;
    const int end = snprintf(out, NAME_BYTES + 1, "cert-%.48s", n > most ? text + (n - most) : text);
    for (int i = 5; i < end; i++) {
        const char one[2] = {out[i], 0};
        if (!config_name_ok(one) && !strchr("._-", out[i])) out[i] = '-';
    }
    if (number > 1) snprintf(out + end, NAME_BYTES + 1 - (size_t)end, "-%u", number);
}

static bool name_taken(const struct config_key *keys, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(keys[i].name, name)) return true;
    return false;
}

// The key of a team's identity, behind the n that are there. The same identity on another listener has the same key.
static uint32_t made_key(struct config_loader *l, struct config_key *keys, uint32_t n,
                         const struct config_identity *who)
{
    char name[NAME_BYTES + 1], text[1200];
    snprintf(text, sizeof text, UNSENDABLE "%s:%s:%s", who->san ? "san" : "subject", text_of(who), who->team);
    for (uint32_t i = 0; i < n; i++)
        if (keys[i].certificate && !strcmp(keys[i].key, text)) return i;
    uint32_t number = 1;
    do name_of(who, number++, name);
    while (name_taken(keys, n, name));
    keys[n] = (struct config_key){.name = config_copy(l->memory, name, strlen(name)),
                                  .key = config_copy(l->memory, text, strlen(text)),
                                  .team = who->team,
                                  .certificate = true,
                                  .limits = config_no_limits};
    return n;
}

static bool find_key(const struct config *c, struct config_identity *who)
{
    for (who->key_index = 0; who->key_index < c->key_count; who->key_index++)
        if (!strcmp(c->keys[who->key_index].name, who->key)) return true;
    return false;
}

// How many keys they make at most; a name that no key has is reported.
static uint32_t look(struct config_loader *l, const struct config_node *at)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->config->listener_count; i++) {
        const struct config_listener_tls *t = &l->config->listeners[i].tls;
        for (uint32_t k = 0; k < t->identity_count; k++) {
            struct config_identity *who = (struct config_identity *)&t->identities[k];
            if (!who->key) n++;
            else if (!find_key(l->config, who))
                config_complain(l, at, "listen[%u].tls.identities[%u].key: no key \"%s\" under keys", i, k,
                                who->key);
        }
    }
    return n;
}

void config_identities(struct config_loader *l, const struct config_node *at)
{
    struct config *c = l->config;
    const uint32_t more = look(l, at);
    if (more == 0 || l->complaints > 0) return;
    if (c->key_count + more > KEYS_IN_FILE_MAX) {
        config_complain(l, at, "keys and identities of teams together are more than %d", KEYS_IN_FILE_MAX);
        return;
    }
    struct config_key *keys = config_take(l->memory, (c->key_count + more) * sizeof *keys);
    if (!keys) return;
    uint32_t n = c->key_count;
    if (n) memcpy(keys, c->keys, n * sizeof *keys);
    for (uint32_t i = 0; i < c->listener_count; i++) {
        const struct config_listener_tls *t = &c->listeners[i].tls;
        for (uint32_t k = 0; k < t->identity_count; k++) {
            struct config_identity *who = (struct config_identity *)&t->identities[k];
            if (who->key) continue;
            who->key_index = made_key(l, keys, n, who);
            if (who->key_index == n) n++;
        }
    }
    c->keys = keys;
    c->key_count = n;
}
