// The table of TLS_WHYS.
#include "tls/tls.h"

static const struct {
    const char *name, *text;
} whys[] = {
#define X(symbol, name, text) [symbol] = {name, text},
    TLS_WHYS(X)
#undef X
};

const char *tls_why_name(enum tls_why why)
{
    MUST(why < TLS_WHY_COUNT);
    return whys[why].name;
}

const char *tls_why_text(enum tls_why why)
{
    MUST(why < TLS_WHY_COUNT);
    return whys[why].text;
}
