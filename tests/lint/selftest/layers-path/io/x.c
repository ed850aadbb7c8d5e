// Includes by a path that is not from the root.
#include "y.h"
