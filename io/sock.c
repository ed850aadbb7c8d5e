// See sock.h.
#include "io/sock.h"

#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

static int option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

static int open_socket(const struct io_addr *a)
{
    if (a->n == 0) return -EINVAL;
    const int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

// Closes fd and hands the error on.
static int given_up(int fd, int err)
{
    close(fd);
    return err;
}

// True if the path is a socket on which nobody listens any more. Asking is safe: a living listener sees one
// connection that ends at once. EAGAIN is a living listener with a full queue.
static bool is_stale(const struct io_addr *addr)
{
    struct stat st;
    if (lstat(addr->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
    const int fd = open_socket(addr);
    if (fd < 0) return false;
    const bool refused = connect(fd, &addr->sa, addr->n) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_to_path(int fd, const struct io_addr *addr)
{
    if (bind(fd, &addr->sa, addr->n) == 0) return 0;
    const int err = -errno;
    if (err != -EADDRINUSE || addr->un.sun_path[0] == 0 || !is_stale(addr)) return err;
    if (unlink(addr->un.sun_path) != 0 && errno != ENOENT) return -errno;
    return bind(fd, &addr->sa, addr->n) == 0 ? 0 : -errno;
}

static int bind_to_ip(int fd, const struct io_addr *addr, bool shared_port)
{
    int err = option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!err && shared_port) err = option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!err && addr->sa.sa_family == AF_INET6) err = option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (err) return err;
    return bind(fd, &addr->sa, addr->n) == 0 ? 0 : -errno;
}

int io_sock_listen(const struct io_addr *addr, int backlog, bool shared_port)
{
    const int fd = open_socket(addr);
    if (fd < 0) return fd;
    const int err =
        addr->sa.sa_family == AF_UNIX ? bind_to_path(fd, addr) : bind_to_ip(fd, addr, shared_port);
    if (err) return given_up(fd, err);
    return listen(fd, backlog) == 0 ? fd : given_up(fd, -errno);
}

int io_sock_open(const struct io_addr *peer, const struct io_addr *bind_to)
{
    const int fd = open_socket(peer);
    if (fd < 0) return fd;
    int err = 0;
    if (peer->sa.sa_family != AF_UNIX) {
        err = option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        // Otherwise the port is taken at bind() already, and all connections from this address share 28,000
        // of them.
        if (!err && bind_to && io_addr_port(bind_to) == 0)
            err = option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    }
    if (!err && bind_to && bind_to->n && bind(fd, &bind_to->sa, bind_to->n) != 0) err = -errno;
    return err ? given_up(fd, err) : fd;
}

void io_sock_accepted(int fd, struct io_addr *ret_peer)
{
    socklen_t n = sizeof *ret_peer - offsetof(struct io_addr, sa);
    ret_peer->n = 0;
    if (getpeername(fd, &ret_peer->sa, &n) != 0) return;
    ret_peer->n = n;
    // Fails only if the client is gone; its stream will say so.
    if (ret_peer->sa.sa_family != AF_UNIX) (void)option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

void io_sock_shutdown(int fd, int how)
{
    if (shutdown(fd, how) != 0) MUST(errno == ENOTCONN || errno == EINVAL);
}

void io_sock_send_now(int fd, const void *p, uint32_t n)
{
    // Nobody is there any more to be told that it failed.
    (void)!send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void io_sock_close(int fd)
{
    // Linux releases the descriptor whatever close() returns; only a wrong one is our error.
    if (close(fd) != 0) MUST(errno != EBADF);
}

void io_sock_listen_stop(int fd)
{
    // The filter sees TCP headers: a segment that begins a handshake (SYN without ACK) is dropped, all others
    // pass. The client tries again, by then with another process or a closed port: a refusal, not a reset of
    // what was accepted.
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    int family = 0;
    socklen_t n = sizeof family;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) != 0 || family == AF_UNIX) return;
    // Where it is refused (a seccomp profile) a drain is as good as without it.
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}
