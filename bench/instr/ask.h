// The request that all loads of bench/ send (bench/wrk/chat.lua the same): a chat request of a chosen size,
// with a short head or an official SDK's. For plain programs: errors end them.
#ifndef RINGWAY_BENCH_ASK_H
#define RINGWAY_BENCH_ASK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_KEY "rw-bench-key-0123456789abcdef"
#define ASK_HEAD_BYTES_MAX 2048

struct ask {
    unsigned short port;
    long body; // bytes, filled up in the message's text
    const char *model, *key;
    bool sdk, stream;
};

#define ASK_DEFAULT \
    { \
        .body = 600, .model = "mock:lean,bytes=700", .key = ASK_KEY \
    }
#define ASK_OPTIONS "[body=BYTES] [model=NAME] [key=KEY] [head=short|sdk] [stream=1]"

// What official SDKs send besides: some 900 bytes in all.
static const char ask_sdk_fields[] =
    "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    "X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.40.0\r\nX-Stainless-OS: Linux\r\n"
    "X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.7\r\n"
    "X-Stainless-Async: false\r\nx-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n"
    "x-stainless-raw-response: true\r\nOpenAI-Organization: org-0123456789abcdefghijklmn\r\n"
    "OpenAI-Project: proj_0123456789abcdefghijklmn\r\n"
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    "Idempotency-Key: stainless-python-retry-4f5b0e52-7e3f-4d0e-9d0a-1b2c3d4e5f60\r\n"
    "baggage: service=checkout,region=eu-central-1\r\n";

// Takes one argument of the command line. False: it is none of ASK_OPTIONS.
static inline bool ask_option(struct ask *a, const char *word)
{
    if (strncmp(word, "body=", 5) == 0) a->body = strtol(word + 5, NULL, 10);
    else if (strncmp(word, "model=", 6) == 0) a->model = word + 6;
    else if (strncmp(word, "key=", 4) == 0) a->key = word + 4;
    else if (strcmp(word, "stream=1") == 0) a->stream = true;
    else if (strcmp(word, "head=sdk") == 0) a->sdk = true;
    else return strcmp(word, "head=short") == 0;
    return true;
}

static inline char *ask_request(const struct ask *a, size_t *ret_n)
{
    static const char text[] = "Summarise the following text for me please. ", tail[] = "\"}]}";
    const size_t cap = (size_t)a->body + 1024;
    char *body = malloc(cap), *all = malloc(cap + ASK_HEAD_BYTES_MAX);
    if (!body || !all) abort();
    const int front = snprintf(body, cap,
                               "{\"model\":\"%s\",\"stream\":%s,\"temperature\":0.7,\"max_tokens\":256,"
                               "\"messages\":[{\"role\":\"system\",\"content\":\"You are helpful.\"},"
                               "{\"role\":\"user\",\"content\":\"",
                               a->model, a->stream ? "true" : "false");
    if (front < 0 || front > 1000) abort();
    size_t n = (size_t)front;
    while (n + sizeof tail - 1 < (size_t)a->body) {
        body[n] = text[(n - (size_t)front) % (sizeof text - 1)];
        n++;
    }
    memcpy(body + n, tail, sizeof tail - 1);
    n += sizeof tail - 1;
    const int head = snprintf(all, ASK_HEAD_BYTES_MAX,
                              "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                              "Content-Type: application/json\r\nAuthorization: Bearer %s\r\n"
                              "User-Agent: OpenAI/Python 1.40.0\r\nAccept: application/json\r\n"
                              "%sContent-Length: %zu\r\n\r\n",
                              a->port, a->key, a->sdk ? ask_sdk_fields : "", n);
    if (head < 0 || head >= ASK_HEAD_BYTES_MAX) abort();
    memcpy(all + head, body, n);
    free(body);
    *ret_n = (size_t)head + n;
    return all;
}

#endif
