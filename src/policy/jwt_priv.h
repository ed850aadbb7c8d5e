// Between jwt.c and jwt_keys.c: reading an object's members.
#ifndef RINGWAY_POLICY_JWT_PRIV_H
#define RINGWAY_POLICY_JWT_PRIV_H

#include "policy/jwt.h"
#include "wire/json.h"

// What is left of the caller's room for decoded and unescaped texts.
struct jwt_room {
    uint8_t *p;
    uint32_t n;
};

// JSON, and an object.
bool jwt_is_object(struct span json);

// The values of those members of an object, {NULL, 0} for those it has not. The text must have been scanned. False: one of them
// is there twice.
bool jwt_members(struct span object, const char *const *names, uint32_t n, struct span *ret);

// Base64url without padding.
bool jwt_decode(struct span text, struct jwt_room *room, struct span *ret);

// A string; an absent one, and null, is empty. False: something else, or it does not fit.
bool jwt_string(struct span value, struct jwt_room *room, struct span *ret);

#endif
