// The admin socket: the admin API over HTTP/1.1 on a unix socket of the control loop. Who may use it is decided by the kernel's
// word on who connects: root, the user the server runs as, and members of the group `ringway`.
//
// Owner    control. Thread: control's; each call runs on an offload thread, since it may wait for the disk.
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
};

struct admin_server {
    struct admin_server_cfg cfg;
    struct h1_server http;
    struct h1_entry entry;
    struct io_op accept;
    int fd; // 0: not open
    int64_t group; // ringway; -1: there is none
};

// -EADDRINUSE: another server answers there. A socket that nobody answers on is replaced.
RW_WARN_UNUSED enum rw_err admin_server_open(struct admin_server *s, const struct admin_server_cfg *cfg);
void admin_server_close(struct admin_server *s);
bool admin_server_closed(const struct admin_server *s);
void admin_server_done(struct admin_server *s);

#endif
