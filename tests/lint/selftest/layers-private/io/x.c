// Looks into another folder.
#include "base/y_priv.h"
