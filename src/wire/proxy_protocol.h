// The PROXY protocol, versions 1 (a text line) and 2 (binary): what a load balancer puts in front of a
// connection to say who the client is. After "The PROXY protocol", W. Tarreau, haproxy.org,
// doc/proxy-protocol.txt, sections 2.1 and 2.2.
//
// Use      on a listener that is configured for it, before anything else is read. Without the header such
//          a connection is refused: a client could otherwise leave it out and speak for itself.
// Kinds    PROXY_LOCAL is the balancer's own connection (health check, "UNKNOWN", address families we do
//          not know): the socket's own addresses hold. PROXY_IPV4 and PROXY_IPV6 carry addresses; a unix
//          address (AF_UNIX) counts as LOCAL.
// TLVs     of version 2 are kept as a span; a CRC-32C among them is checked, as the document demands.
// Owner    proxy_header.tlvs points into p. No allocation. Thread: any. Never suspends.
#ifndef RINGWAY_WIRE_PROXY_PROTOCOL_H
#define RINGWAY_WIRE_PROXY_PROTOCOL_H

#include "base/span.h"

// The longest header taken. Version 1 has at most 107 bytes by definition; balancers send 100 to 400 in
// version 2.
#define PROXY_V1_BYTES_MAX 107
#define PROXY_V2_BYTES_MAX 4096

enum proxy_accept { PROXY_ACCEPT_V1 = 1, PROXY_ACCEPT_V2 = 2, PROXY_ACCEPT_ANY = 3 };

// Results that are not a length.
#define PROXY_NEED_MORE 0
#define PROXY_BAD_SIGNATURE (-1) // neither version's first bytes, or a version that is not accepted here
#define PROXY_BAD_SYNTAX (-2) // a malformed line, length, family or address
#define PROXY_BAD_SIZE (-3) // longer than the limits above
#define PROXY_BAD_CHECKSUM (-4)

enum proxy_kind { PROXY_LOCAL, PROXY_IPV4, PROXY_IPV6 };

struct proxy_header {
    uint8_t kind; // enum proxy_kind
    uint8_t version; // 1 or 2
    uint16_t source_port;
    uint16_t destination_port;
    uint8_t source[16]; // network order; IPv4 in the first four bytes
    uint8_t destination[16];
    struct span tlvs; // version 2: type, length (2 bytes), value, repeated
};

// TLV types of use here.
#define PROXY_TLV_ALPN 0x01
#define PROXY_TLV_AUTHORITY 0x02
#define PROXY_TLV_CRC32C 0x03
#define PROXY_TLV_UNIQUE_ID 0x05
#define PROXY_TLV_SSL 0x20
#define PROXY_TLV_AWS 0xea

// accept is a mask of enum proxy_accept. Returns the bytes of the header (> 0), PROXY_NEED_MORE, or one of
// PROXY_BAD_*; the first byte that cannot be right refuses at once. *ret is set only with a length.
int proxy_parse(const uint8_t *p, uint32_t n, uint32_t accept, struct proxy_header *ret);

// Words for people for a PROXY_BAD_*. Never NULL.
const char *proxy_bad_text(int bad);

// The first TLV of that type; false if there is none.
bool proxy_tlv(const struct proxy_header *h, uint8_t type, struct span *ret_value);

#endif
