// A call of the admin API by whoever is on this machine: over the socket of the server that runs with this configuration, else on
// the store itself.
//
// Thread   any; blocks.
#ifndef RINGWAY_CONTROL_ADMIN_LOCAL_H
#define RINGWAY_CONTROL_ADMIN_LOCAL_H

#include "control/admin.h"
#include "control/admin_client.h"
#include "control/config.h"

// Opens the store of this configuration and reads its pepper (made if there is none). What failed is in ret_why, for people.
// Team and tenant `default` are there afterwards.
RW_WARN_UNUSED enum rw_err admin_store_open(const struct config *c, struct admin *ret, char *ret_why,
                                            size_t cap);

// config_path NULL: the defaults. RW_E_CONFIG: the configuration cannot be used.
RW_WARN_UNUSED enum rw_err admin_local_call(const char *config_path, const char *method, const char *target,
                                            struct span body, struct admin_answer *ret, char *ret_why,
                                            size_t cap);

#endif
