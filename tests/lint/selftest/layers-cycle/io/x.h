// One.
#include "io/y.h"
