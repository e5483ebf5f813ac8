/* For compiled programs of hardened cores, which end where they fault. */
#ifndef BPFHEAP_FAULT_H
#define BPFHEAP_FAULT_H

#include "record.h"

void bh_faults_catch(const struct bh_core *core);
uint64_t bh_run_guarded(struct bh_run *run, uint64_t r1, uint64_t r2);

#endif
