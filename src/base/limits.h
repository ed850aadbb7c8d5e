// Every limit of the gateway, each with its unit in the name and its reason. The configuration may lower a
// limit that has a key, never raise it above the ceiling (…_MAX).
#ifndef RINGWAY_BASE_LIMITS_H
#define RINGWAY_BASE_LIMITS_H

#include <assert.h>

#define KIB(n) ((n)*1024)
#define MIB(n) ((n)*1024 * 1024)

// --- HTTP heads. 32 KB is what the strictest of the common servers takes; nobody's SDK comes near it.
#define HTTP_HEAD_BYTES KIB(32)
#define HTTP_HEAD_BYTES_MAX KIB(64)
// Fields in one head. The SDKs send 12 to 25.
#define HTTP_FIELDS_MAX 128
// Request target. Longer ones carry a body in disguise.
#define HTTP_TARGET_BYTES_MAX KIB(8)
// All chunk extensions of a body together, and all its trailers: nobody we serve sends any.
#define HTTP_CHUNK_EXT_BYTES_MAX KIB(4)
#define HTTP_TRAILER_BYTES_MAX KIB(8)
// Empty lines tolerated before a request line (RFC 9112 2.2).
#define HTTP_EMPTY_LINES_MAX 4

// --- Bodies.
#define HTTP_BODY_BYTES MIB(32)
#define HTTP_BODY_BYTES_MAX MIB(1024)
// A provider's error body that is read to word our error; the rest is dropped with the connection.
#define UPSTREAM_ERROR_BYTES_MAX KIB(64)

// --- TLS.
#define TLS_HOST_BYTES_MAX 253
// A trust store as PEM text. Debian's has 220 KB.
#define TLS_STORE_BYTES_MAX MIB(4)

// Certificates of one listener, by name.
#define TLS_SERVER_IDENTITIES_MAX 32
// Handshakes with clients at once on one worker, each with 64 KiB, and how long one may take.
#define TLS_HANDSHAKES_MAX 256
#define TLS_ACCEPT_MS 10000
#define TLS_PEERS_MAX 256 // clients known by their certificates, of one listener

// --- JSON.
#define JSON_DEPTH_MAX 256
// Two keys of one object that the gateway reads are compared after unescaping into a buffer of this size.
#define JSON_KEY_BYTES_MAX 64

// --- Server-sent events. A longer event is passed through untouched and never taken for one of ours.
#define SSE_EVENT_HOLD_BYTES_MAX KIB(64)

// --- Buffers handed to the kernel. 128 of each group per worker, used last-in-first-out so that receives land in warm
// cache. The client's size holds an SDK's head and an ordinary chat; the upstream's a whole TLS record or a
// 16 KiB answer.
#define IO_BUFFERS_PER_GROUP 128
#define IO_CLIENT_BUFFER_BYTES KIB(16)
#define IO_UPSTREAM_BUFFER_BYTES KIB(32)
// Received and not yet read on one client connection before its multishot receive is cancelled.
#define IO_UNREAD_BYTES_MAX KIB(64)
// Completions taken in one turn, and bytes one fiber may move before it yields.
#define IO_COMPLETIONS_PER_TURN 256
#define IO_BYTES_PER_SLICE KIB(256)

// Functions waiting for a thread of the offload pool. At 2 ms each on one thread the last waits for two seconds; more
// would only be answered too late.
#define IO_OFFLOAD_QUEUE_MAX 1024

// Operations of one loop: a connection has two, and no process more than CONNECTIONS_MAX of them. The tables are reserved
// when the loop is opened and take memory as they are used, so that no connection fails for want of a larger table.
#define IO_OPS_MAX (1u << 22)
// Descriptors that the epoll driver can tell apart, likewise.
#define IO_FDS_MAX (1u << 22)

// --- Fibers.
#define FIBER_STACK_BYTES KIB(64)
#define FIBERS_MAX 30000

// --- The memory of one exchange that is not a body.
#define ARENA_BLOCK_BYTES KIB(4)
#define EXCHANGE_ARENA_BYTES_MAX MIB(4)
// Bodies up to this size are copied to the arena when the exchange starts to wait; larger ones keep their
// buffer.
#define EXCHANGE_COPY_BYTES_MAX KIB(4)

// Decoding a chat request of HTTP_BODY_BYTES into the neutral model and encoding it again: what is unescaped and escaped anew is
// copied twice.
#define TRANSLATION_BYTES_MAX MIB(96)

// --- The cache. An answer that is kept, and the request that it is found by: long ones are asked for only once.
#define CACHE_ANSWER_BYTES_MAX MIB(8)
#define CACHE_KEY_BYTES_MAX MIB(1)
// Answers to requests with an Idempotency-Key, for a day: the oldest go earlier when there are more.
#define ONCE_BYTES_MAX MIB(1024)

// --- The process.
#define WORKERS_MAX 64
#define CONNECTIONS 20000
#define PROVIDERS_MAX 64
#define MODELS_MAX 4096
#define KEYS_IN_FILE_MAX 4096
#define LISTENERS_MAX 32
#define CONNECTIONS_MAX 1000000
#define CONFIG_FILE_BYTES_MAX MIB(4)
// Nesting of a sane configuration is 6; every value with its key is two nodes.
#define CONFIG_DEPTH_MAX 16
#define CONFIG_NODES_MAX 200000
// One value after expansion: room for a certificate chain, not for a file named by mistake.
#define CONFIG_VALUE_BYTES_MAX KIB(64)
#define PROVIDER_HEADERS_MAX 32
#define PROXY_TEXT_BYTES_MAX 1024
#define PROXY_USER_BYTES_MAX 512 // USER:PASSWORD
#define TRUSTED_PROXIES_MAX 256
#define CORS_ENTRIES_MAX 64
#define KEY_MODELS_MAX 256
#define LABEL_VALUES_MAX 200
// Connections to one origin, of all workers: what an unlucky provider may hold of our descriptors, and what stays open unused.
#define UPSTREAM_CONNECTIONS_MAX 10000
#define UPSTREAM_IDLE_MAX 1024

// --- Mapped cells. A key with its limits is one of them, two with rarer windows: 16 MiB for 200,000 keys; the ceiling is 4 GiB.
#define STORE_CELLS (1u << 18)
#define STORE_CELLS_MAX (1u << 26)
// Cells for end users, whose names the clients make up: 4 MiB, in sets of so many.
#define STORE_CELLS_LENT (1u << 16)
#define STORE_CELLS_WAYS 8

// --- Estimates. An image or a file that a request names by URL: a PDF of a hundred pages is about this.
#define ESTIMATE_PART_TOKENS 300000
// Of a model whose maximum nobody knows: the largest that is known. Answers to one request: the most that an API gives.
#define ESTIMATE_OUTPUT_TOKENS 131072
#define ESTIMATE_ANSWERS_MAX 128
// Of a model and key of which nothing was learned: an ordinary answer.
#define ESTIMATE_FIRST_OUTPUT_TOKENS 512
// What a worker learns: 4,096 pairs of model and key in 128 KiB.
#define ESTIMATE_SETS 1024
#define ESTIMATE_WAYS 4

// --- Observing.
// The longest access log line: every text of it at its longest, every byte escaped (gateway/access_log.c
// asserts it).
#define LOG_LINE_BYTES_MAX KIB(8)
// A worker's log ring: 50 ms at 15,000 requests a second; the log thread is woken at half of it.
#define LOGRING_BYTES KIB(512)
// A message of the process log; longer ones are cut.
#define LOG_MSG_BYTES_MAX KIB(2)
// What is left in the rings is written for at most this long when the process ends.
#define LOG_STOP_MS 1000
// A configured name in the metrics; longer ones are cut.
#define METRIC_NAME_BYTES_MAX 128
// The metrics page: 200 targets with two histograms of 62 buckets each are 3 MB, with the longest names,
// every byte of them escaped, and every reason 20 MB.
#define PROMETHEUS_BYTES_MAX MIB(32)

// --- The store.
// A name of a tenant, team, key or plan, and an item of a list.
#define STORE_NAME_BYTES_MAX 128
// A record of a tenant, team, key or plan, encoded: 256 allowed models of 40 characters and the other lists.
#define STORE_ACCOUNT_BYTES_MAX KIB(16)
#define STORE_RATES_MAX 8
// What an administrative act says of itself in the audit.
#define STORE_AUDIT_TEXT_BYTES_MAX KIB(4)
// Reader slots in LMDB's lock file, of all processes: each worker holds one, each inspection one.
#define STORE_READERS_MAX 1024
// Address space reserved for the environments; the files grow as they are used.
#define STORE_ACCOUNTS_MAP_BYTES (UINT64_C(4) << 30)
#define STORE_USAGE_MAP_BYTES (UINT64_C(64) << 30)
// A map is nearly full from here on.
#define STORE_NEARLY_FULL_PERCENT 90
// The path of data_dir.
#define STORE_PATH_BYTES_MAX 384

// A text of a usage record: model, provider, user, "k=v" of a tag. Longer ones are cut by who records.
#define STORE_TEXT_BYTES_MAX 128
#define STORE_TAGS_MAX 8
// Cells that one exchange holds something in (policy/limit.h: struct limit_hold).
#define STORE_HELD_MAX 9
// A worker's journal: every exchange under way (FIBERS_MAX) and what was not committed yet, 256 bytes each:
// 16 MiB a worker, touched only as far as it was ever used.
#define STORE_JOURNAL_SLOTS 65536
#define STORE_JOURNAL_SLOTS_MAX (1 << 20)
// Records in one commit. A larger transaction makes others wait longer and gains nothing.
#define STORE_BATCH_RECORDS 4096
// Sums that a commit collects before it writes them.
#define STORE_BATCH_SUMS 16384
// Models, providers and tags that sums are kept for, ever; what comes after is summed as "other".
#define STORE_TEXTS_MAX 1000000
// Records that one step of the retention sweep removes.
#define STORE_SWEEP_RECORDS 2000

static_assert(HTTP_HEAD_BYTES <= HTTP_HEAD_BYTES_MAX, "the default is within the ceiling");
static_assert(HTTP_TARGET_BYTES_MAX < HTTP_HEAD_BYTES, "a target must fit its head");
static_assert((IO_BUFFERS_PER_GROUP & (IO_BUFFERS_PER_GROUP - 1)) == 0, "the kernel wants a power of two");
static_assert(IO_UPSTREAM_BUFFER_BYTES >= 16384 + 325, "a TLS record must fit");
static_assert(EXCHANGE_COPY_BYTES_MAX <= ARENA_BLOCK_BYTES, "the copy is one arena block at most");
static_assert(STORE_JOURNAL_SLOTS >= 2 * FIBERS_MAX, "as many records wait for a commit as are under way");
static_assert((LOGRING_BYTES & (LOGRING_BYTES - 1)) == 0 && LOGRING_BYTES >= 2 * LOG_LINE_BYTES_MAX,
              "a ring is a power of two and holds two lines");

#endif
