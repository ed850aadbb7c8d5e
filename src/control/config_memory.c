// The memory of one configuration: see config_priv.h. Large blocks cut from the front; nothing is given back
// before all is, and all of it is wiped, because any of it may be a secret.
#include <stdlib.h>

#include "control/config_priv.h"
#include "tls/crypto.h"

#define BLOCK_BYTES KIB(16)

struct block {
    struct block *next;
    size_t size, used;
    max_align_t bytes[];
};

struct config_memory {
    struct block *newest;
    bool failed;
};

struct config_memory *config_memory_new(void)
{
    return calloc(1, sizeof(struct config_memory));
}

void config_memory_free(struct config_memory *memory)
{
    if (!memory) return;
    while (memory->newest) {
        struct block *block = memory->newest;
        memory->newest = block->next;
        crypto_wipe(block->bytes, block->used);
        free(block);
    }
    free(memory);
}

void *config_take(struct config_memory *memory, size_t n)
{
    struct block *block = memory->newest;
    n = (n + 15) & ~(size_t)15;
    if (!block || block->size - block->used < n) {
        const size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
        block = calloc(1, sizeof *block + size);
        if (!block) {
            memory->failed = true;
            return NULL;
        }
        block->size = size;
        block->next = memory->newest;
        memory->newest = block;
    }
    void *p = (char *)block->bytes + block->used;
    block->used += n;
    return p;
}

char *config_copy(struct config_memory *memory, const void *bytes, size_t n)
{
    char *copy = config_take(memory, n + 1);
    if (copy && n) memcpy(copy, bytes, n);
    return copy;
}

bool config_memory_failed(const struct config_memory *memory)
{
    return memory->failed;
}
