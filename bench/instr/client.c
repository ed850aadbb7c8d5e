// The load of `make bench-instr`: COUNT chat requests, one after the other on one connection, always the
// same bytes, so that what the server executes for them is the same each time. Every answer is read to its
// end and must be a 200.
//
//     client PORT COUNT [body=BYTES] [model=NAME] [key=KEY] [head=short|sdk] [stream=1]
//
// body is the size of each request's body (600), filled up in the message's text.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 2048

struct ask {
    unsigned short port;
    long count, body;
    const char *model, *key;
    bool sdk, stream;
};

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

// What official SDKs send besides: some 900 bytes in all.
static const char sdk_fields[] =
    "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    "X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.40.0\r\nX-Stainless-OS: Linux\r\n"
    "X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.7\r\n"
    "X-Stainless-Async: false\r\nx-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n"
    "x-stainless-raw-response: true\r\nOpenAI-Organization: org-0123456789abcdefghijklmn\r\n"
    "OpenAI-Project: proj_0123456789abcdefghijklmn\r\n"
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    "Idempotency-Key: stainless-python-retry-4f5b0e52-7e3f-4d0e-9d0a-1b2c3d4e5f60\r\n"
    "baggage: service=checkout,region=eu-central-1\r\n";

static char *request_make(const struct ask *a, size_t *ret_n)
{
    const size_t cap = HEAD_BYTES_MAX + (size_t)a->body + 512;
    char *body = malloc(cap), *all = malloc(cap + HEAD_BYTES_MAX);
    if (!body || !all) fail("malloc");
    const int front = snprintf(body, cap,
                               "{\"model\":\"%s\",\"stream\":%s,\"temperature\":0.7,\"max_tokens\":256,"
                               "\"messages\":[{\"role\":\"system\",\"content\":\"You are helpful.\"},"
                               "{\"role\":\"user\",\"content\":\"",
                               a->model, a->stream ? "true" : "false");
    static const char text[] = "Summarise the following text for me please. ", tail[] = "\"}]}";
    size_t n = (size_t)front;
    while (n + sizeof tail - 1 < (size_t)a->body) {
        body[n] = text[(n - (size_t)front) % (sizeof text - 1)];
        n++;
    }
    memcpy(body + n, tail, sizeof tail - 1);
    n += sizeof tail - 1;
    const int head = snprintf(
        all, HEAD_BYTES_MAX,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
        "Authorization: Bearer %s\r\nUser-Agent: OpenAI/Python 1.40.0\r\nAccept: application/json\r\n"
        "%sContent-Length: %zu\r\n\r\n",
        a->port, a->key, a->sdk ? sdk_fields : "", n);
    if (head < 0 || head >= HEAD_BYTES_MAX) fail("head");
    memcpy(all + head, body, n);
    free(body);
    *ret_n = (size_t)head + n;
    return all;
}

// Reads one answer; buf is large enough for any head. False: it was not a good one.
static bool answer_read(int fd, char *buf, size_t cap)
{
    size_t n = 0;
    char *end;
    do {
        const ssize_t r = n < cap - 1 ? read(fd, buf + n, cap - 1 - n) : -1;
        if (r <= 0) return false;
        n += (size_t)r;
        buf[n] = 0;
    } while (!(end = strstr(buf, "\r\n\r\n")));
    if (strncmp(buf, "HTTP/1.1 200", 12) != 0) return false;
    end[2] = 0;
    const char *length = strcasestr(buf, "\r\ncontent-length:");
    const size_t head = (size_t)(end + 4 - buf);
    if (length) {
        for (long left = strtol(length + 17, NULL, 10) - (long)(n - head); left > 0;) {
            const ssize_t r = read(fd, buf, (size_t)left < cap ? (size_t)left : cap);
            if (r <= 0) return false;
            left -= r;
        }
        return true;
    }
    // Chunked: until the last chunk. Its five bytes cannot end anything else of what the mock says.
    char last[5] = {0};
    for (size_t have = n - head, from = head;;) {
        const size_t k = have < 5 ? have : 5;
        memmove(last, last + k, 5 - k);
        memcpy(last + 5 - k, buf + from + have - k, k);
        if (memcmp(last, "0\r\n\r\n", 5) == 0) return true;
        const ssize_t r = read(fd, buf, cap);
        if (r <= 0) return false;
        have = (size_t)r;
        from = 0;
    }
}

static void parse(int argc, char **argv, struct ask *ret)
{
    *ret = (struct ask){.body = 600, .model = "mock:lean,bytes=700", .key = "rw-bench-key-0123456789abcdef"};
    if (argc < 3) {
        fprintf(stderr, "usage: client PORT COUNT [body=N] [model=M] [key=K] [head=short|sdk] [stream=1]\n");
        exit(2);
    }
    ret->port = (unsigned short)strtol(argv[1], NULL, 10);
    ret->count = strtol(argv[2], NULL, 10);
    for (int i = 3; i < argc; i++) {
        if (strncmp(argv[i], "body=", 5) == 0) ret->body = strtol(argv[i] + 5, NULL, 10);
        else if (strncmp(argv[i], "model=", 6) == 0) ret->model = argv[i] + 6;
        else if (strncmp(argv[i], "key=", 4) == 0) ret->key = argv[i] + 4;
        else if (strcmp(argv[i], "head=sdk") == 0) ret->sdk = true;
        else if (strcmp(argv[i], "stream=1") == 0) ret->stream = true;
        else if (strcmp(argv[i], "head=short") != 0) fail(argv[i]);
    }
}

int main(int argc, char **argv)
{
    static char buf[65536];
    struct ask a;
    parse(argc, argv, &a);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(a.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = -1;
    // The server may still be starting.
    for (int tries = 0; tries < 100; tries++) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) break;
        close(fd);
        fd = -1;
        usleep(50000);
    }
    const int one = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)) fail("connect");
    size_t n;
    const char *request = request_make(&a, &n);
    for (long i = 0; i < a.count; i++) {
        for (size_t at = 0; at < n;) {
            const ssize_t w = write(fd, request + at, n - at);
            if (w < 0) fail("write");
            at += (size_t)w;
        }
        if (!answer_read(fd, buf, sizeof buf)) {
            fprintf(stderr, "client: request %ld got no good answer: %.200s\n", i, buf);
            return 1;
        }
    }
    return 0;
}
