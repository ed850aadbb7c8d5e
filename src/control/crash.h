// The last words of a process that dies by a fatal signal: signal, build, thread, the request that was being served, and the
// addresses of the calls (relative to the program, for addr2line). Never bodies or keys. Then the signal does what it does by
// default, so that a core is written where cores are wanted.
//
// Core     holds registers, threads and what is mapped, and none of the memory: keys of clients and providers, bodies and session
//          keys are in the heap, in receive buffers, on stacks and in the environment. Where the kernel cannot be told so, there
//          is none. RINGWAY_CORE=full in the environment: all of it, for whoever looks for a fault on a machine without secrets.
//          Memory that is reserved in large (stacks of fibers, buffers) is left out by its own mark (MADV_DONTDUMP) in any case.
//
// Thread   crash_install(): main's, once; crash_thread(): once in each other thread. The handler runs wherever the signal
//          strikes, on a stack of that thread's own, so that also a stack that overflowed is reported; it only uses what is
//          safe in a signal handler.
#ifndef RINGWAY_CONTROL_CRASH_H
#define RINGWAY_CONTROL_CRASH_H

void crash_install(void);
void crash_thread(void);

#endif
