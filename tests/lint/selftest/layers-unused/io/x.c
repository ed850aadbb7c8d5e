// Does not need the ring.
#include <liburing.h>
