/*
 * Which pages are the core's: a bit for each, in leaves of a radix tree. For loads through addresses that a
 * program may have made up, which read 0 anywhere else (BPF_PROBE_MEM; in Linux an exception does that).
 */
#ifndef BPFHEAP_MAPPED_H
#define BPFHEAP_MAPPED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zeros: no pages yet. */
struct bh_mapped {
	_Atomic(void *) root;	  /* leaves, by the upper bits of an address */
	_Atomic uint32_t readers; /* who look at bits, and at what is there */
};

void bh_mapped_destroy(struct bh_mapped *mapped);
/* Pages that were mapped; from any context. False with errno set. */
bool bh_mapped_add(struct bh_mapped *mapped, const void *pages, size_t size);
/* Pages that will be unmapped: nobody reads there any more when this returns. */
void bh_mapped_remove(struct bh_mapped *mapped, const void *pages, size_t size);
/* Is there a page? From any context. */
bool bh_mapped_has(struct bh_mapped *mapped, uint64_t address);
/* 1, 2, 4 or 8 bytes as a number; 0 where there are none. From any context. */
uint64_t bh_mapped_load(struct bh_mapped *mapped, uint64_t address, uint32_t size);
/* Any number of bytes: how many of them were there, and were copied. */
uint64_t bh_mapped_copy(struct bh_mapped *mapped, void *to, uint64_t address, uint64_t size);
/* False, with nothing written, if they are not all there. */
bool bh_mapped_write(struct bh_mapped *mapped, uint64_t address, const void *from, uint64_t size);

#endif
