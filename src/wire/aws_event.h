// Amazon's binary event streams (application/vnd.amazon.eventstream): frames of a prelude with two lengths and its own CRC-32,
// typed headers, a payload, and a CRC-32 over all of it. All numbers are big-endian.
//
// Use      while ((r = aws_event_next(p, n, &frame)) > 0) { ...; p += r; n -= r; }   r == 0: there is no whole frame yet
// Spans    point into p and live as long as the caller keeps those bytes.
// Errors   RW_E_BAD: a sum is wrong, or what lies in the frame is no header. The stream is of no use behind it.
//          RW_E_TOO_LARGE: longer than what the format allows.
// Owner    everything is the caller's. No allocation. Thread: any. Never suspends.
// Source   smithy.io, "Event Stream Specification".
#ifndef RINGWAY_WIRE_AWS_EVENT_H
#define RINGWAY_WIRE_AWS_EVENT_H

#include "base/err.h"
#include "base/span.h"

enum aws_event_kind {
    AWS_EVENT_EVENT, // type: :event-type
    AWS_EVENT_EXCEPTION, // type: :exception-type; the stream is over
    AWS_EVENT_ERROR, // type: :error-code, message: :error-message; the stream is over
    AWS_EVENT_OTHER, // is skipped
};

struct aws_event_frame {
    enum aws_event_kind kind;
    struct span type;
    struct span message;
    struct span payload;
};

// Bytes of the frame at p, 0 if it is not whole, or an error.
int64_t aws_event_next(const uint8_t *p, uint32_t n, struct aws_event_frame *ret);

// Bytes that a frame needs beside its type and payload, at most.
#define AWS_EVENT_FRAME_BYTES 128

// A frame with a JSON payload; returns its bytes. cap: AWS_EVENT_FRAME_BYTES + type.n + payload.n is enough; 0: it is not.
uint32_t aws_event_write(enum aws_event_kind kind, struct span type, struct span payload, uint8_t *out,
                         uint32_t cap);

uint32_t aws_event_crc32(uint32_t crc, const uint8_t *p,
                         uint32_t n); // crc: of what came before, 0 at the start

#endif
