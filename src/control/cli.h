// The command line: `ringway COMMAND [OPTION]...`.
//
// Exit status: 0 done, 1 failed, 2 wrong use or bad configuration.
#ifndef RINGWAY_CONTROL_CLI_H
#define RINGWAY_CONTROL_CLI_H

int cli_run(int argc, char **argv);

#endif
