// `ringway doctor`: what this machine gives the gateway, as a table or as JSON.
#ifndef RINGWAY_CONTROL_DOCTOR_H
#define RINGWAY_CONTROL_DOCTOR_H

#include <stdbool.h>
#include <stdio.h>

// The exit status: 0 all can be served, 1 something cannot.
int doctor_run(bool json, FILE *out);

#endif
