// The last words of a process that dies by a fatal signal: signal, build, thread, the request that was being served, and the
// addresses of the calls (relative to the program, for addr2line). Never bodies or keys. Then the signal does what it does by
// default, so that a core is written where cores are wanted.
//
// Thread   crash_install(): main's, once; crash_thread(): once in each other thread. The handler runs wherever the signal
//          strikes, on a stack of that thread's own, so that also a stack that overflowed is reported; it only uses what is
//          safe in a signal handler.
#ifndef RINGWAY_CONTROL_CRASH_H
#define RINGWAY_CONTROL_CRASH_H

void crash_install(void);
void crash_thread(void);

#endif
