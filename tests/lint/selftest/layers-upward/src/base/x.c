// Looks up.
#include "wire/y.h"
