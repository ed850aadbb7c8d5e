// A small strict reader of HTTP/1.1 messages for the simulated peers. It shares no code with src/wire, so that a mistake there
// is not repeated here; and it refuses what our own side must never write: bare line ends, folded or malformed fields, two
// framings, upper-case surprises in chunk sizes, bytes behind a body that may not follow.
//
// Use      sim_message_open() once, sim_message_begin() for each message, sim_message_feed() with what arrived, in any pieces,
//          until its state is SIM_HTTP_DONE or SIM_HTTP_BAD (why says what); sim_message_end() when the stream ends.
#ifndef RINGWAY_TESTS_SIM_HTTP_H
#define RINGWAY_TESTS_SIM_HTTP_H

#include "base/span.h"

enum sim_http_state {
    SIM_HTTP_HEAD,
    SIM_HTTP_LENGTH,
    SIM_HTTP_CHUNK_SIZE,
    SIM_HTTP_CHUNK,
    SIM_HTTP_CHUNK_END,
    SIM_HTTP_TRAILER,
    SIM_HTTP_UNTIL_CLOSE,
    SIM_HTTP_DONE,
    SIM_HTTP_BAD,
};

struct sim_message {
    bool response;
    bool bodyless; // a response to HEAD; a 408 does not know yet what it answers
    uint8_t state;
    bool chunked, has_length;
    int status; // of a response
    uint64_t left; // of a body with a length, or of a chunk
    const char *why; // it is bad
    uint8_t line[64]; // a chunk's size
    uint32_t line_n;
    uint8_t *head;
    uint32_t head_n, head_cap;
    uint8_t *body;
    uint32_t body_n, body_cap;
};

void sim_message_open(struct sim_message *m);
void sim_message_close(struct sim_message *m);
void sim_message_begin(struct sim_message *m, bool response, bool bodyless);
// Returns how many bytes belong to this message.
uint32_t sim_message_feed(struct sim_message *m, const uint8_t *p, uint32_t n);
// The stream has ended in order. True: the message is whole.
bool sim_message_end(struct sim_message *m);
// Nothing of it has come.
static inline bool sim_message_empty(const struct sim_message *m)
{
    return m->state == SIM_HTTP_HEAD && m->head_n == 0;
}
// The head is whole.
static inline bool sim_message_has_head(const struct sim_message *m)
{
    return m->state != SIM_HTTP_HEAD && m->state != SIM_HTTP_BAD;
}

// The value of a field, {NULL, 0} if it is not there. name in lower case.
struct span sim_message_field(const struct sim_message *m, const char *name);
// The first line.
struct span sim_message_line(const struct sim_message *m);
// Calls each(ctx, name, value) for every field.
void sim_message_fields(const struct sim_message *m,
                        void (*each)(void *ctx, struct span name, struct span value), void *ctx);

#endif
