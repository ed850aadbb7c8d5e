// The socket calls that the kernel's two drivers share. None of them waits; every descriptor is non-blocking
// and close-on-exec.
//
// Thread   any: no state. Errors: a descriptor, or a negative errno as the kernel gave it.
#ifndef RINGWAY_IO_SOCK_H
#define RINGWAY_IO_SOCK_H

#include "io/driver.h"

// A listening socket. shared_port: several sockets, one per worker, may listen on the address, and the kernel
// spreads the connections (SO_REUSEPORT). "[::]:80" means IPv6 only, so that "0.0.0.0:80" may stand beside
// it.
//
// A path of the unix domain that a dead process left behind is replaced; -EADDRINUSE if somebody answers
// there, or if it is no socket. With shared_port (which unix sockets do not know) the same holds: one worker
// listens.
int io_sock_listen(const struct io_addr *addr, int backlog, bool shared_port);

// Lets no new handshake begin on a listening TCP socket; those under way still reach the accept queue.
void io_sock_listen_stop(int fd);

// A socket of the peer's family, not yet connected. bind_to (NULL: the kernel chooses) needs no port.
int io_sock_open(const struct io_addr *peer, const struct io_addr *bind_to);

// Options of a client that was just accepted; *ret_peer has no address (n == 0) if the client is gone
// already.
void io_sock_accepted(int fd, struct io_addr *ret_peer);

void io_sock_shutdown(int fd, int how); // SHUT_RD, SHUT_WR, SHUT_RDWR; harmless if the peer is gone
void io_sock_send_now(int fd, const void *p, uint32_t n); // as much as the socket takes at once
void io_sock_close(int fd);

#endif
