// Addresses of sockets: IPv4, IPv6 and unix domain, as one value, from and to text.
//
// Text forms: "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock" ("unix:@name" for the abstract namespace).
// Thread   any. Never suspends, never resolves names (that is resolve.h).
#ifndef RINGWAY_IO_ADDR_H
#define RINGWAY_IO_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/span.h"

struct io_addr {
    socklen_t n; // bytes of the union in use; 0: no address
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

#define IO_ADDR_TEXT_BYTES 128

// RW_E_BAD if it is none of the three forms or the port is missing or above 65535.
enum rw_err io_addr_parse(struct span text, struct io_addr *ret) RW_WARN_UNUSED;

// From an address without a port ("10.0.0.1", "::1"), as c-ares and proxy headers give them.
enum rw_err io_addr_parse_ip(struct span ip, uint16_t port, struct io_addr *ret) RW_WARN_UNUSED;

// From 4 or 16 bytes in network order.
struct io_addr io_addr_of_ip(const uint8_t *bytes, uint32_t n, uint16_t port);

// The text form, NUL-terminated; returns its length. with_port false leaves port (and brackets) out: for
// logs.
uint32_t io_addr_text(const struct io_addr *a, bool with_port, char out[IO_ADDR_TEXT_BYTES]);

bool io_addr_eq(const struct io_addr *a, const struct io_addr *b);
uint16_t io_addr_port(const struct io_addr *a);

// An address range "10.0.0.0/8", "::1/128", or a bare address. IPv4-mapped IPv6 addresses match IPv4 ranges.
struct io_cidr {
    uint8_t bytes[16]; // IPv4 as ::ffff:a.b.c.d
    uint8_t bits;
};
enum rw_err io_cidr_parse(struct span text, struct io_cidr *ret) RW_WARN_UNUSED;
bool io_cidr_has(const struct io_cidr *c, const struct io_addr *a);

#endif
