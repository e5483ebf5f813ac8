/*
 * Addresses that a program may have made up: whatever is read or written there, and wherever that is, the
 * process goes on. Programs reach the stack, the context and the packet of a run, what the core has mapped
 * (values, objects, records), and blocks of the kernel around them.
 */
#ifndef BPFHEAP_PLACE_H
#define BPFHEAP_PLACE_H

#include "record.h"
#include "world.h"

/* What a program hands to a call, which it may read or write. False if that is not its memory. */
bool bh_place_read(struct bh_run *run, void *to, uint64_t address, uint64_t size);
bool bh_place_write(struct bh_run *run, uint64_t address, const void *from, uint64_t size);
/* What is at an address that may lead nowhere, in memory of that space. False if it does. */
bool bh_place_probe(struct bh_run *run, void *to, uint64_t address, uint64_t size, enum bh_space space);
/* Is that address, as far as anybody knows, one of user space? */
bool bh_place_is_users(struct bh_run *run, uint64_t address);
/* The same of a text, up to its NUL, at most `limit` bytes: how many there are before, -1 if it leads
 * nowhere, or if there is no memory left before either. */
int64_t bh_place_text(struct bh_run *run, char *to, uint64_t address, uint64_t limit, enum bh_space space);
/* A load of 1, 2, 4 or 8 bytes: 0 where nothing is. */
uint64_t bh_run_load(struct bh_run *run, uint64_t address, uint32_t size);

#endif
