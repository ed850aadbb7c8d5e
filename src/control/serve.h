// `ringway serve`: builds the parts, starts the workers, and stays in the control loop until the end.
//
// Signals  SIGHUP reloads the configuration (as a change of the file does), SIGUSR1 opens log files anew, SIGTERM and SIGINT
//          drain; a second one ends at once.
// Thread   main's, which becomes the control thread.
#ifndef RINGWAY_CONTROL_SERVE_H
#define RINGWAY_CONTROL_SERVE_H

#include "control/config.h"

struct serve_options {
    const char *config_path; // NULL: no file
    const char *program; // argv[0], for the lines shown to people
    bool dev; // a key that everybody knows, on this machine only
};

// The process's exit status: 0 done, 1 failed, 2 bad configuration.
int serve_run(const struct serve_options *options);

#endif
