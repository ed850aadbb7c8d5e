// A certificate in words, for people who look for what is wrong with one, and for the watch over expiry.
//
// Owner    the caller; texts are copied, and hold no control characters whatever the certificate says.
// Thread   any. Never suspends.
#ifndef RINGWAY_TLS_TLS_DESCRIBE_H
#define RINGWAY_TLS_TLS_DESCRIBE_H

#include "tls/tls.h"

struct tls_description {
    char subject[128], issuer[128]; // the common name, else the organisation
    char names[384]; // DNS names and addresses, "a.example, 10.0.0.1"; cut with "..."
    char key[24]; // "RSA 2048 bits", "EC P-256"
    int64_t not_before_s, not_after_s; // Unix time
    bool self_signed;
};

// False: it is damaged.
bool tls_describe(struct span der, struct tls_description *ret);

// When the first of the certificates in a PEM text expires; INT64_MAX if there is none that can be read.
int64_t tls_expires_s(struct span pem);

#endif
