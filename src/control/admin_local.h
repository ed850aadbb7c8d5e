// A call of the admin API by whoever is on this machine: over the socket of the server that runs with this configuration, else on
// the store itself.
//
// Thread   any; blocks.
#ifndef RINGWAY_CONTROL_ADMIN_LOCAL_H
#define RINGWAY_CONTROL_ADMIN_LOCAL_H

#include "control/admin.h"
#include "control/admin_client.h"
#include "control/config.h"

// Whether it is there, as far as one may look.
bool admin_store_exists(const struct config *c);

// Opens the store of this configuration and reads its pepper; what is not there yet is made. What failed is in ret_why, for
// people. Team and tenant `default` are there afterwards; in a new store the plans `staging` (100 requests a second) and
// `production` (1,000), too. cap: at least STORE_WHY_BYTES.
RW_WARN_UNUSED enum rw_err admin_store_open(const struct config *c, struct admin *ret, char *ret_why,
                                            size_t cap);

// The folders above a path that are not there yet.
void admin_make_parents(const char *path);

// config_path NULL: the defaults. RW_E_CONFIG: it cannot be used; what is wrong with it was written to stderr.
RW_WARN_UNUSED enum rw_err admin_local_config(const char *config_path, struct config **ret, char *ret_why,
                                              size_t cap);

// As admin_local_config(). RW_E_CONFIG: the configuration cannot be used.
RW_WARN_UNUSED enum rw_err admin_local_call(const char *config_path, const char *method, const char *target,
                                            struct span body, struct admin_answer *ret, char *ret_why,
                                            size_t cap);

#endif
