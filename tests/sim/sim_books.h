// Accounts in the simulated gateway: in a part of the runs keys have limits, requests leave records in the workers' journals, and
// at the end of the run the books must balance. The store lies in a folder of its own for each such run, on the real file system:
// nothing in the run depends on it.
#ifndef RINGWAY_TESTS_SIM_SIM_BOOKS_H
#define RINGWAY_TESTS_SIM_SIM_BOOKS_H

#include "gateway/worker.h"

struct sim_gateway;

// Chooses whether this run has them.
void sim_books_open(struct sim_gateway *g);
void sim_books_worker(struct worker_cfg *cfg);
void sim_books_key(struct principal *key, uint32_t i);
void sim_books_plan(struct plan *p, struct plan_model *models, uint32_t n);
// A line of the access log.
void sim_books_line(struct span line);
// When all workers are closed: each request that was let in has one record, no slot of a journal is taken, nobody holds
// anything, and the money that was counted is that of the records.
void sim_books_close(struct sim_gateway *g);

#endif
