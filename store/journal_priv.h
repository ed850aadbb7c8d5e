// The journal's file, and what the writer does with a journal. For journal.c, adopt.c and writer.c.
#ifndef RINGWAY_STORE_JOURNAL_PRIV_H
#define RINGWAY_STORE_JOURNAL_PRIV_H

#include <stdatomic.h>

#include "store/journal.h"

#define JOURNAL_MAGIC UINT64_C(0x6c616e72756f4a52) // "RJournal"
#define JOURNAL_VERSION 2
#define JOURNAL_HEAD_BYTES 4096
#define JOURNAL_SLOT_BYTES 256
#define JOURNAL_SUFFIX ".journal"
#define JOURNAL_BOOT_BYTES 36

enum slot_state {
    SLOT_FREE,
    SLOT_OPEN,
    SLOT_FINAL,
    SLOT_TEXT, // continues the texts of another
};

struct journal_head {
    uint64_t magic;
    uint32_t version;
    uint32_t slots;
    uint16_t epoch;
    uint8_t worker;
    uint8_t zero;
    char boot[JOURNAL_BOOT_BYTES]; // of the machine; all zero: not known
    uint32_t crc; // of all above
};

// Written before state becomes OPEN, and not again.
struct slot_open {
    uint8_t id[STORE_ID_BYTES];
    uint32_t tenant, team, key;
    uint32_t flags;
    uint8_t part;
    uint8_t dialect;
    uint16_t text_bytes; // of the texts given at the beginning; 0: none were, nobody was asked yet
    uint32_t text_next; // SLOT_TEXT with the rest of them, or STORE_SLOT_NONE
};

#define SLOT_END_BYTES 24

// Written before state becomes FINAL, while OPEN: a crash in between leaves it torn and unread.
struct slot_final {
    uint16_t status;
    uint8_t attempts;
    uint8_t cache;
    uint32_t flags;
    uint32_t tokens[STORE_TOKENS_COUNT];
    int64_t cost_nanos;
    uint64_t bytes_in, bytes_out;
    uint64_t duration_us;
    uint32_t first_byte_us;
    uint32_t overhead_us;
    char end[SLOT_END_BYTES]; // padded with zeros
};

#define SLOT_TEXT_BYTES 48

struct journal_slot {
    _Atomic uint32_t state;
    uint32_t open_crc; // of open and the text bytes
    uint32_t final_crc; // of final
    _Atomic uint32_t retext; // SLOT_TEXT with texts in place of the first ones, or STORE_SLOT_NONE
    _Atomic int64_t estimate_nanos;
    _Atomic uint32_t estimate_tokens;
    uint32_t held[STORE_HELD_MAX];
    struct slot_open open;
    struct slot_final final;
    uint8_t text[SLOT_TEXT_BYTES];
};

#define SLOT_MORE_BYTES (JOURNAL_SLOT_BYTES - 16)

// The same bytes as a piece of text.
struct journal_text {
    _Atomic uint32_t state; // SLOT_TEXT
    uint32_t next; // or STORE_SLOT_NONE
    uint32_t crc; // of next, n and the n bytes
    uint32_t n; // bytes here
    uint8_t bytes[SLOT_MORE_BYTES];
};

static_assert(sizeof(struct journal_slot) == JOURNAL_SLOT_BYTES, "a slot is a quarter of a kilobyte");
static_assert(sizeof(struct journal_text) == JOURNAL_SLOT_BYTES, "so is a text");

// A mapped file, of this process or adopted.
struct journal_map {
    struct journal_slot *slot;
    void *base;
    uint32_t slots;
    int fd; // its lock is ours
    bool same_boot;
    char path[STORE_PATH_BYTES_MAX + 64];
};

static inline struct journal_text *journal_text_at(const struct journal_map *m, uint32_t i)
{
    return (struct journal_text *)(void *)&m->slot[i];
}

uint32_t store_slot_open_crc(const struct journal_slot *s);
uint32_t store_slot_final_crc(const struct journal_slot *s);
uint32_t store_slot_text_crc(const struct journal_text *t);

// Reads a slot that is FINAL, or OPEN: then as crashed, at its estimate. The record's spans point into the slot and into
// bytes (STORE_RECORD_BYTES_MAX). checked: by its checksums, which only a power cut makes wrong: not needed of a journal that
// this process has written. RW_E_CORRUPT; *ret is undefined then.
RW_WARN_UNUSED enum rw_err store_slot_read(const struct journal_map *m, uint32_t slot, bool checked,
                                           uint8_t *bytes, struct store_record *ret);

// Open, and nobody was asked yet.
bool store_slot_unasked(const struct journal_slot *s);

// --- The writer's side of a living journal.

struct journal_map *store_journal_map(struct store_journal *j);
uint8_t store_journal_worker(const struct store_journal *j);
// The slots that wait, from the oldest: at most `max` of them into ret. They wait until store_slots_free().
uint32_t store_slots_waiting(struct store_journal *j, uint32_t *ret, uint32_t max);
// The first n that waited were committed.
void store_slots_free(struct store_journal *j, uint32_t n);

// --- Files (journal_file.c).

// Makes a file, locks and maps it.
RW_WARN_UNUSED enum rw_err store_journal_make(struct store *s, uint16_t epoch, uint8_t worker, uint32_t slots,
                                              struct journal_map *ret);
// Opens, locks and maps one journal that nobody holds. RW_E_NOT_FOUND: there is none. A file that is no journal
// is set aside under another name: RW_E_CORRUPT, and *ret->path says which.
RW_WARN_UNUSED enum rw_err store_journal_adopt(struct store *s, struct journal_map *ret);
// Closes; removes the file if `empty`.
void store_journal_unmap(struct journal_map *m, bool empty);

#endif
