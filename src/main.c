// The program. Everything it does is a command of the command line; `serve` is the gateway.
#include "control/cli.h"
#include "control/crash.h"

int main(int argc, char **argv)
{
    crash_install();
    return cli_run(argc, argv);
}
