// A worker's journal: where an exchange's record lives from its beginning until it is committed to the ledger.
// A file of 256-byte slots, mapped; a slot goes FREE -> OPEN -> FINAL -> FREE. Killing the process at any
// moment loses none: a living process, or the next one, adopts the journals of dead ones (writer.h).
//
// Use      begin() when an exchange is let in; final() when it is settled; done() hands it to the writer.
//          cancel() instead, if it came to nothing that has to be accounted for.
// Held     the slot has words in which policy notes what the exchange holds (policy/limit.h: limit_hold), so that
//          an adopter can give it back. The order is what makes this safe, a crash may only ever leave too much
//          taken: take, then note it; raise the reservation, then store_journal_raise(); on the way back
//          final() first, then for each word: clear it, then give back; then done().
// Unasked  a slot that was begun so and got no texts by retarget() belongs to an exchange that has asked
//          nobody yet: if its process dies, what it holds is given back and no record is made.
// Disk     the file is filled with blocks when it is made, so writing to it cannot fail on a full disk, and
//          never synced: that is the commit's work. A CRC-32C in each slot tells after a power cut which were
//          written whole.
// Lock     the process holds an OFD lock on the file; the kernel drops it at any death.
// Thread   a journal belongs to one worker's thread; the writer takes finished slots from it and gives them
//          back, lock-free. Never suspends; no system call after it was opened.
// Cost     begin and final about 150 instructions each. No memory is taken after open.
#ifndef RINGWAY_STORE_JOURNAL_H
#define RINGWAY_STORE_JOURNAL_H

#include "store/record.h"

#define STORE_SLOT_NONE UINT32_MAX

struct store_journal;

// Makes the file. epoch: store_epoch_next(). slots: 0 for STORE_JOURNAL_SLOTS; a power of two.
RW_WARN_UNUSED enum rw_err store_journal_open(struct store *s, uint16_t epoch, uint8_t worker, uint32_t slots,
                                              struct store_journal **ret);
// After the writer's end. The file goes when all its slots are free; else it stays for an adopter.
void store_journal_close(struct store_journal *j);

// --- The worker's.

// What is known at admission. Texts up to STORE_TEXT_BYTES_MAX each.
struct store_begin {
    uint8_t id[STORE_ID_BYTES];
    uint8_t part;
    uint8_t dialect;
    uint32_t flags; // STORE_STREAMED
    uint32_t tenant, team, key;
    uint32_t estimate_tokens;
    int64_t estimate_nanos;
    struct store_texts texts;
    bool unasked; // texts are not known yet
};

// The slot, or STORE_SLOT_NONE: the journal is full.
uint32_t store_journal_begin(struct store_journal *j, const struct store_begin *b);

// STORE_HELD_MAX words of policy's, 0 at the beginning.
uint32_t *store_journal_held(struct store_journal *j, uint32_t slot);

// The estimate is known, or became larger (a dearer target, a longer answer).
void store_journal_raise(struct store_journal *j, uint32_t slot, uint32_t estimate_tokens,
                         int64_t estimate_nanos);

// Another target is asked. False, and the texts as they were: the journal is full.
bool store_journal_retarget(struct store_journal *j, uint32_t slot, const struct store_texts *texts);

// How it ended. id, part, tenant, team, key and texts of the record are ignored: the slot has them.
void store_journal_final(struct store_journal *j, uint32_t slot, const struct store_record *r);

// The writer's from now on. Returns its number: it is committed when store_journal_committed() is not below.
uint64_t store_journal_done(struct store_journal *j, uint32_t slot);
uint64_t store_journal_committed(const struct store_journal *j);

// Instead of final and done: as if it had not begun.
void store_journal_cancel(struct store_journal *j, uint32_t slot);

// Slots that could be begun now. The worker's thread.
uint32_t store_journal_room(struct store_journal *j);

#endif
