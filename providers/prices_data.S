// prices.json as it is, read-only. The path is from the root of the tree, where the assembler runs.
    .section .rodata
    .globl provider_prices_begin
    .hidden provider_prices_begin
    .globl provider_prices_end
    .hidden provider_prices_end
    .p2align 4
provider_prices_begin:
    .incbin "providers/prices.json"
provider_prices_end:
    .byte 0

    .section .note.GNU-stack, "", %progbits
