// TLS on a stream: the handshake in the calling fiber, its public-key steps on the offload threads, then a filter between the
// socket and the stream's queue. Records are opened in the buffer in which they came; one that comes in pieces is brought
// together in a region of its own size. What is sent is sealed piece by piece, as many records as 64 KiB hold in one send.
//
// Use      net_tls_connect() or net_tls_accept() on a connected stream. From then on the stream is read and written as without
//          TLS. s->cut: the peer closed without saying so (close_notify): what was to last until the end may have been cut
//          short.
// Owner    whoever embeds struct net_tls; it lives until the stream's on_closed().
// Thread   the loop's; net_tls_connect() and net_tls_accept() suspend.
// Errors   RW_E_TLS with an enum tls_why for the handshake. Then reads return RW_E_BAD when a record is bad; `why` says how.
#ifndef RINGWAY_NET_TLS_STREAM_H
#define RINGWAY_NET_TLS_STREAM_H

#include "io/offload.h"
#include "io/stream.h"
#include "tls/tls.h"

struct net_tls {
    struct tls_records records;
    struct tls_info info;
    const char *why; // of RW_E_BAD from reads
    struct io_buf *part; // a record that comes in pieces
    struct io_buf *sealed; // being sent
    struct tls_gather left; // of the send
    uint32_t part_need; // bytes of that record
    uint32_t head_n;
    uint8_t head[TLS_RECORD_HEAD_BYTES]; // of a record whose length is not known yet
};

// *session: resumed if the server agrees, replaced by the new one. pool NULL: all is done here. 0, -ECANCELED, RW_E_TLS.
int net_tls_connect(struct net_tls *t, struct io_stream *s, struct io_offload *pool,
                    struct tls_client *client, struct tls_session *session, int64_t deadline_ns,
                    enum tls_why *ret_why) RW_WARN_UNUSED;
// The same for a client that has connected.
int net_tls_accept(struct net_tls *t, struct io_stream *s, struct io_offload *pool, struct tls_server *server,
                   int64_t deadline_ns, enum tls_why *ret_why) RW_WARN_UNUSED;
// The connection is gone: wipes the keys.
void net_tls_done(struct net_tls *t);

#endif
