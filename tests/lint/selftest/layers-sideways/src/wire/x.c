// Looks sideways.
#include "io/y.h"
