/* What calls are given on a hardened core. */
#ifndef BPFHEAP_CHECKS_H
#define BPFHEAP_CHECKS_H

#include "record.h"

/* Make a call if its arguments are what it must be given; else the run stops with BH_FAULT. */
uint64_t bh_call_checked(struct bh_run *run, uint64_t number);

#endif
