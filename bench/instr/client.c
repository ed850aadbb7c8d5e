// The load of `make bench-instr`: COUNT chat requests, one after the other on one connection, always the
// same bytes, so that what the server executes for them is the same each time. Every answer is read to its
// end and must be a 200.
//
//     client PORT COUNT [the options of ask.h]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/instr/ask.h"

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
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

int main(int argc, char **argv)
{
    static char buf[65536];
    struct ask a = ASK_DEFAULT;
    bool good = argc >= 3;
    for (int i = 3; i < argc; i++) good = good && ask_option(&a, argv[i]);
    if (!good) {
        fprintf(stderr, "usage: client PORT COUNT " ASK_OPTIONS "\n");
        return 2;
    }
    a.port = (unsigned short)strtol(argv[1], NULL, 10);
    const long count = strtol(argv[2], NULL, 10);
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
    const char *request = ask_request(&a, &n);
    for (long i = 0; i < count; i++) {
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
