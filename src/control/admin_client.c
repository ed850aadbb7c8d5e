// See admin_client.h.
#include "control/admin_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/http.h"

#define ANSWER_BYTES_MAX MIB(64)

static enum rw_err send_all(int fd, const void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t sent = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return (enum rw_err) - errno;
        at += (size_t)sent;
    }
    return RW_OK;
}

// The whole connection's bytes; the server closes behind the answer.
static enum rw_err receive_all(int fd, char **ret, size_t *ret_n)
{
    size_t cap = KIB(64), n = 0;
    char *p = malloc(cap);
    while (p) {
        if (n + 1 == cap) {
            char *grown = cap < ANSWER_BYTES_MAX ? realloc(p, cap * 2) : NULL;
            if (!grown) break;
            p = grown;
            cap *= 2;
        }
        const ssize_t got = recv(fd, p + n, cap - n - 1, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            *ret = p;
            *ret_n = n;
            p[n] = 0;
            if (got == 0) return RW_OK;
            free(p);
            return (enum rw_err) - errno;
        }
        n += (size_t)got;
    }
    free(p);
    return RW_E_TOO_LARGE;
}

static int dial(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path) return -ENAMETOOLONG;
    memcpy(a.sun_path, path, strlen(path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    const int err = errno;
    close(fd);
    return -err;
}

static enum rw_err read_answer(char *p, size_t n, struct admin_answer *ret)
{
    struct http_head head;
    const struct http_rules rules = HTTP_RULES_DEFAULT;
    http_head_init(&head);
    const int bytes = http_response_parse((const uint8_t *)p, (uint32_t)n, &rules, HTTP_GET, &head);
    if (bytes <= 0 || head.framing.kind != HTTP_BODY_LENGTH || head.framing.length != n - (size_t)bytes)
        return RW_E_BAD;
    ret->status = head.status;
    ret->n = n - (size_t)bytes;
    memmove(p, p + bytes, ret->n + 1);
    ret->body = p;
    return RW_OK;
}

// --- A body that is not kept.

#define FETCH_BYTES KIB(256)

struct fetch {
    int from, to;
    struct http_head head;
    uint32_t n; // bytes in buf
    uint8_t buf[FETCH_BYTES];
};

static enum rw_err fill(struct fetch *f)
{
    if (f->n == FETCH_BYTES) return RW_E_TOO_LARGE;
    ssize_t got;
    do got = recv(f->from, f->buf + f->n, FETCH_BYTES - f->n, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0) return got < 0 ? rw_errno() : RW_E_EOF;
    f->n += (uint32_t)got;
    return RW_OK;
}

static enum rw_err write_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        const ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return rw_errno();
        p += done;
        n -= (size_t)done;
    }
    return RW_OK;
}

static enum rw_err fetch_chunks(struct fetch *f)
{
    struct http_chunked chunked = {0};
    for (;;) {
        uint32_t consumed = 0, out = 0;
        const int state = http_chunked_decode(&chunked, f->buf, f->n, &consumed, &out);
        if (state < 0) return RW_E_BAD;
        RW_TRY(write_all(f->to, f->buf, out));
        if (state == HTTP_CHUNKED_DONE) return RW_OK;
        f->n = 0;
        RW_TRY(fill(f));
    }
}

static enum rw_err fetch(struct fetch *f, struct admin_answer *ret)
{
    const struct http_rules rules = HTTP_RULES_DEFAULT;
    int bytes = 0;
    while (bytes == 0) {
        RW_TRY(fill(f));
        http_head_init(&f->head);
        bytes = http_response_parse(f->buf, f->n, &rules, HTTP_GET, &f->head);
    }
    if (bytes < 0) return RW_E_BAD;
    if (f->head.status == 200 && f->head.framing.kind == HTTP_BODY_CHUNKED) {
        ret->status = 200;
        f->n -= (uint32_t)bytes;
        memmove(f->buf, f->buf + bytes, f->n);
        return fetch_chunks(f);
    }
    // An error: short, and all of it there when the server closes.
    enum rw_err err;
    while ((err = fill(f)) == RW_OK) continue;
    char *text = err == RW_E_EOF ? malloc(f->n + 1u) : NULL;
    if (!text) return err == RW_E_EOF ? (enum rw_err) - ENOMEM : err;
    memcpy(text, f->buf, f->n);
    text[f->n] = 0;
    err = read_answer(text, f->n, ret);
    if (err) free(text);
    return err;
}

enum rw_err admin_client_fetch(const char *socket, const char *target, int fd, struct admin_answer *ret)
{
    char head[512];
    const int from = dial(socket);
    if (from < 0) return (enum rw_err)from;
    *ret = (struct admin_answer){0};
    struct fetch *f = calloc(1, sizeof *f);
    const int n =
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nhost: ringway\r\nconnection: close\r\n\r\n", target);
    enum rw_err err = n > 0 && (size_t)n < sizeof head ? RW_OK : RW_E_TOO_LARGE;
    if (!err && !f) err = (enum rw_err) - ENOMEM;
    if (!err) err = send_all(from, head, (size_t)n);
    if (!err) {
        f->from = from;
        f->to = fd;
        err = fetch(f, ret);
    }
    free(f);
    close(from);
    return err;
}

// --- A call.

enum rw_err admin_client_call(const char *socket, const char *method, const char *target, struct span body,
                              struct admin_answer *ret)
{
    const int fd = dial(socket);
    if (fd < 0) return (enum rw_err)fd;
    char *head = NULL, *p = NULL;
    size_t n = 0;
    enum rw_err err = (enum rw_err) - ENOMEM;
    const int head_n =
        asprintf(&head, "%s %s HTTP/1.1\r\nhost: ringway\r\nconnection: close\r\ncontent-length: %u\r\n\r\n",
                 method, target, body.n);
    if (head_n > 0) err = send_all(fd, head, (size_t)head_n);
    if (!err && body.n) err = send_all(fd, body.p, body.n);
    if (!err) err = receive_all(fd, &p, &n);
    if (!err) {
        err = read_answer(p, n, ret);
        if (err) free(p);
    }
    free(head);
    close(fd);
    return err;
}
