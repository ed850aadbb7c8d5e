// The admin API over HTTP/1.1 by two doors, both on the control loop: a unix socket, where the kernel's word on who connects
// counts (root, the user the server runs as, members of the group `ringway`), and a TCP listener, where a token is asked for.
//
// TCP      Authorization: Bearer TOKEN, or x-api-key, compared in constant time; a wrong one is answered after a pause and
//          noted in the log. Without a token in the configuration everything is 403 with the mend. Everything else is as on
//          the socket. With TLS (admin_server_tls()) it speaks nothing else; what its client_ca asks for comes before the
//          token, and does not stand for it. Connections that are open stay as they are when that changes.
// Owner    control. Thread: control's; a call runs on an offload thread, since it may wait for the disk, unless it is about
//          the server itself (ADMIN_LIVE).
#ifndef RINGWAY_CONTROL_ADMIN_SERVER_H
#define RINGWAY_CONTROL_ADMIN_SERVER_H

#include "control/admin.h"
#include "io/offload.h"
#include "net/h1.h"

struct admin_server_cfg {
    struct io_loop *loop;
    struct io_offload *offload;
    const struct admin *admin;
    const char *path; // of the socket
    const struct io_addr *address; // of the TCP listener; n 0: none
};

struct admin_server;

struct admin_door {
    struct admin_server *server;
    struct h1_server http;
    struct h1_entry entry;
    struct io_op accept;
    int fd; // 0: not open
    bool by_token;
};

struct admin_server {
    struct admin_server_cfg cfg;
    struct admin_door socket, tcp;
    int64_t group; // ringway; -1: there is none
    bool has_token;
    uint8_t token[CRYPTO_SHA256_BYTES]; // its hash
    int64_t said_ns; // when a wrong token was last put into the log
    uint64_t refused; // wrong tokens since then
};

// Opens nothing yet. token NULL: none is configured.
void admin_server_init(struct admin_server *s, const struct admin_server_cfg *cfg, const char *token);
// From now on this token counts.
void admin_server_token(struct admin_server *s, const char *token);
// From now on connections over TCP begin with its handshake; NULL: with plain HTTP. The server holds it once more.
void admin_server_tls(struct admin_server *s, struct tls_server *tls);
// -EADDRINUSE: another server answers there. A socket that nobody answers on is replaced.
RW_WARN_UNUSED enum rw_err admin_server_open_socket(struct admin_server *s);
RW_WARN_UNUSED enum rw_err admin_server_open_tcp(struct admin_server *s);
void admin_server_close(struct admin_server *s);
bool admin_server_closed(const struct admin_server *s);
void admin_server_done(struct admin_server *s);

#endif
