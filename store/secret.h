// Keys as text and as hashes, and the pepper without which the hashes cannot be made.
//
// Pepper   32 random bytes in a file of 0600 outside data_dir, so that a copy of data_dir alone lets nobody try
//          keys. Lost, no key is ever recognised again: a backup holds it only if asked to (backup.h).
// Key      "rw-" and 43 characters of base64url: 256 random bits. Shown once; stored as HMAC-SHA-256 under the
//          pepper.
// Thread   any. Never suspends, but for the functions that read files: control's.
#ifndef RINGWAY_STORE_SECRET_H
#define RINGWAY_STORE_SECRET_H

#include "store/accounts.h"
#include "tls/crypto.h"

#define STORE_PEPPER_BYTES 32
#define STORE_KEY_CHARS 46 // "rw-" + 43
#define STORE_KEY_HEX_CHARS 36 // "llm-" + 32

struct store_pepper {
    uint8_t bytes[STORE_PEPPER_BYTES];
    struct crypto_hmac_key hmac;
};

void store_pepper_of(const uint8_t bytes[STORE_PEPPER_BYTES], struct store_pepper *ret);
void store_pepper_wipe(struct store_pepper *p);

// Reads the file; makes it with new bytes, and the folder it lies in, if there is none and `make`. RW_E_CONFIG:
// others may read it, it has another size, or lies in data_dir; ret_why (STORE_WHY_BYTES) says which and what to
// do. RW_E_NOT_FOUND without `make`.
RW_WARN_UNUSED enum rw_err store_pepper_load(const char *path, const char *data_dir, bool make,
                                             struct store_pepper *ret, char *ret_why);
// Writes a file that must not be there yet: -EEXIST.
RW_WARN_UNUSED enum rw_err store_pepper_save(const char *path, const uint8_t bytes[STORE_PEPPER_BYTES]);

// Notes at the first use which pepper the keys of this store are hashed with, as a fingerprint. RW_E_CONFIG: it
// is another one, and no key would be recognised.
RW_WARN_UNUSED enum rw_err store_pepper_bind(struct store *s, const struct store_pepper *p);

// A new key. Not NUL-terminated; wipe it when it was shown.
void store_key_make(char ret[STORE_KEY_CHARS]);
// The same in the shape that older clients expect; 128 random bits.
void store_key_make_hex(char ret[STORE_KEY_HEX_CHARS]);
void store_key_hash(const struct store_pepper *p, struct span key, uint8_t ret[STORE_HASH_BYTES]);
// What of a key may be shown: its beginning, at most 12 characters and at most a third.
struct span store_key_prefix(struct span key);

#endif
