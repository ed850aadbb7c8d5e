// The limits that cgroups (v1, v2 and hybrids) and the machine set on this process. Files that are missing or
// odd count as "no limit": a wrong guess upwards costs speed, one downwards would refuse service.
//
// Thread   any; reads files. root: prefix of /proc and /sys/fs/cgroup, "" for the machine's own.
#ifndef RINGWAY_IO_MACHINE_H
#define RINGWAY_IO_MACHINE_H

#include "base/span.h"

#define IO_MACHINE_TEXT_BYTES 64

// The first line of a file, cut to fit; "" if it cannot be read.
void io_machine_line(const char *root, const char *path, char out[IO_MACHINE_TEXT_BYTES]);
// A decimal number that is all that line holds; false leaves *ret untouched.
bool io_machine_number(const char *root, const char *path, uint64_t *ret);
// The number behind "key:" in a file of such lines (/proc/self/status, /proc/meminfo).
bool io_machine_field(const char *root, const char *path, struct span key, uint64_t *ret);

uint32_t io_machine_cpus(void); // that the affinity mask allows
uint64_t io_machine_cpu_quota(const char *root); // of the cgroup, in 1/1000 of a CPU; UINT64_MAX: none
uint64_t io_machine_memory_limit(const char *root); // of the cgroup, in bytes; UINT64_MAX: none
uint64_t io_machine_memory(const char *root); // of the machine, in bytes; UINT64_MAX: not known

#endif
