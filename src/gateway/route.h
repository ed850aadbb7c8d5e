// The routes of the client port: which path and method lead where. One table, one line a route.
//
// Thread   any. Never suspends.
#ifndef RINGWAY_GATEWAY_ROUTE_H
#define RINGWAY_GATEWAY_ROUTE_H

#include "wire/http.h"

struct dialect;

// How errors of a route are worded.
enum route_shape { SHAPE_OPENAI, SHAPE_NATIVE, SHAPE_DIALECT };

// What the route does.
enum route_kind {
    ROUTE_NONE, // unknown path
    ROUTE_HEALTH,
    ROUTE_READY,
    ROUTE_MODELS,
    ROUTE_MODEL,
    ROUTE_USAGE,
    ROUTE_PASS_JSON, // a JSON body that names a model; the answer is JSON or a stream
    ROUTE_PASS_BODY, // a body that is passed through in pieces
};

// Methods as bits of enum http_method.
#define ROUTE_GET (1u << HTTP_GET | 1u << HTTP_HEAD)
#define ROUTE_POST (1u << HTTP_POST)

struct route {
    struct span path; // behind base_path; one that ends with '/' stands for all below it
    enum route_kind kind;
    enum route_shape shape;
    uint32_t methods;
    // Behind the provider's base_url, if it speaks the route's dialect; if that has the model in the path, what stands behind the
    // model.
    struct span upstream;
    const struct dialect *dialect; // whose clients use the route
    bool chat; // providers of other dialects are asked in theirs
    bool finishes; // answers have finish reasons: one without is not complete
    bool usage_on_request; // a stream carries usage only if stream_options asks for it
};

// The route of an unknown path.
extern const struct route route_unknown;

// path: without the query, unescaped forms refused (url_path_check) before or, but for routes that end with '/', behind it.
// Never NULL: the last entry is ROUTE_NONE. *ret_rest
// is what lies behind the path of a route that ends with '/'; of one with a model in the path that model, as it was sent.
const struct route *route_find(struct span path, struct span *ret_rest);

// It is OpenAI's for embeddings, which other providers are asked for in their own way.
bool route_embeds(const struct route *r);

// The same for who asks: agent is the user-agent that the request named. Mistral's SDKs ("mistral-client-python/3.7.0") share
// OpenAI's path and have words and rules of their own.
const struct route *route_for_sdk(const struct route *r, struct span agent);

// The same for what is asked, a JSON object: the bodies of Amazon's InvokeModel are the models' own.
const struct route *route_for_body(const struct route *r, struct span model, struct span body);

// Its clients name the model in the path,
bool route_names_model(const struct route *r);
// and there say whether to stream,
bool route_says_stream(const struct route *r);
// which of those routes these are.
bool route_streams(const struct route *r);

#endif
