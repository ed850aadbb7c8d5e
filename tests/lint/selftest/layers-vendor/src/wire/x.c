// Sees the ring.
#include <liburing.h>
struct io_uring http_ring;
