// fiber_switch(void **save_sp, void *load_sp): System V AMD64 ABI. Saves what a callee must preserve on the present stack,
// stores the stack pointer, loads the other one and restores. The x87 and SSE control words are never changed by this
// program, so they need no saving. A new fiber's stack is laid out so that the final ret enters fiber_entry.
#if defined(__x86_64__)
    .text
    .globl fiber_switch
    .hidden fiber_switch
    .type fiber_switch, @function
    .p2align 4
fiber_switch:
    .cfi_startproc
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .cfi_endproc
    .size fiber_switch, . - fiber_switch

// First code of a fiber: the C function is in rbx, its argument in r12. It never returns.
    .globl fiber_entry
    .hidden fiber_entry
    .type fiber_entry, @function
    .p2align 4
fiber_entry:
    .cfi_startproc
    .cfi_undefined rip
    xorl %ebp, %ebp
    movq %r12, %rdi
    callq *%rbx
    ud2
    .cfi_endproc
    .size fiber_entry, . - fiber_entry
#endif
    .section .note.GNU-stack, "", @progbits
