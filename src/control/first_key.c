// See first_key.h.
#include "control/first_key.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/log.h"
#include "tls/crypto.h"

#define KEY_RANDOM_BYTES 32
#define KEY_PREFIX "rw-"

char *first_key_make(void)
{
    uint8_t random[KEY_RANDOM_BYTES];
    const size_t cap = sizeof KEY_PREFIX + CRYPTO_BASE64URL_CHARS(KEY_RANDOM_BYTES);
    char *key = calloc(1, cap);
    if (!key) return NULL;
    memcpy(key, KEY_PREFIX, sizeof KEY_PREFIX);
    crypto_random(random, sizeof random);
    const int64_t n = crypto_base64url_encode(random, sizeof random, key + sizeof KEY_PREFIX - 1,
                                              cap - sizeof KEY_PREFIX + 1);
    MUST(n == CRYPTO_BASE64URL_CHARS(KEY_RANDOM_BYTES));
    crypto_wipe(random, sizeof random);
    return key;
}

// Where the file goes: root's is /run/ringway, a user's $XDG_RUNTIME_DIR/ringway or a folder in /tmp that is only his.
static bool folder(char *out, size_t cap)
{
    const char *run = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    if (run) snprintf(out, cap, "%s/ringway", run);
    else snprintf(out, cap, "/tmp/ringway-%u", (unsigned)geteuid());
    struct stat st;
    if (mkdir(out, 0700) != 0 && errno != EEXIST) return false;
    return lstat(out, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static void to_file(const char *key)
{
    char dir[256], path[300];
    if (!folder(dir, sizeof dir)) {
        log_msg(LOG_ERROR, "the key of this run cannot be written anywhere: configure one under keys");
        return;
    }
    snprintf(path, sizeof path, "%s/first-key", dir);
    (void)unlink(path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    const size_t n = strlen(key);
    const bool written = fd >= 0 && write(fd, key, n) == (ssize_t)n && write(fd, "\n", 1) == 1;
    if (fd >= 0) close(fd);
    if (written) log_msg(LOG_INFO, "no key is configured: one for this run was written to %s", path);
    else log_msg(LOG_ERROR, "no key is configured, and one for this run could not be written to %s", path);
}

void first_key_show(const char *key, const struct config *config)
{
    if (!isatty(STDERR_FILENO)) {
        to_file(key);
        return;
    }
    const char *model = config->model_count > 0 ? config->models[0].name : "echo";
    const char *address = config->listeners[0].address.text;
    const char *base = config->base_path;
    if (strncmp(address, "0.0.0.0:", 8) == 0) address += 7; // curl understands a bare port
    fprintf(stderr,
            "\n  Key for this run (configure your own under keys):\n\n    %s\n\n  Try:\n\n"
            "    curl http%s://%s%s%s/v1/chat/completions -H 'Authorization: Bearer %s' \\\n"
            "      -H 'Content-Type: application/json' \\\n"
            "      -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'\n\n",
            key, config->listeners[0].tls.first.certificate ? "s" : "", address[0] == ':' ? "127.0.0.1" : "",
            address, base, key, model);
}
