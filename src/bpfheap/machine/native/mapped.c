#define _GNU_SOURCE
#include "mapped.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

enum {
	PAGE_BITS = 12,
	LEAF_BITS = 18, /* pages of a leaf */
	TOP_BITS = 18,	/* leaves: addresses of 48 bits */
	WORD = 64,
};

#define LEAF_BYTES ((size_t)(1 << LEAF_BITS) / 8)
#define ROOT_BYTES (((size_t)1 << TOP_BITS) * sizeof(void *))

/* A part of the tree, which is made if it is not there. Without a lock: a signal may come in between, and
 * map pages, too. NULL without memory. */
static void *part(_Atomic(void *) *place, size_t size)
{
	void *found = atomic_load(place), *made;

	if (found)
		return found;
	made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (made == MAP_FAILED)
		return NULL;
	if (atomic_compare_exchange_strong(place, &found, made))
		return made;
	munmap(made, size);
	return found;
}

void bh_mapped_destroy(struct bh_mapped *mapped)
{
	_Atomic(void *) *leaves = atomic_load(&mapped->root);

	if (!leaves)
		return;
	for (size_t n = 0; n < (size_t)1 << TOP_BITS; n++)
		if (leaves[n])
			munmap(leaves[n], LEAF_BYTES);
	munmap(leaves, ROOT_BYTES);
}

/* Set or clear the bits of pages from..to (exclusive) of one leaf. */
static void change(_Atomic uint64_t *leaf, uint64_t from, uint64_t to, bool on)
{
	while (from < to) {
		uint64_t bit = from % WORD, count = to - from < WORD - bit ? to - from : WORD - bit;
		uint64_t bits = (count == WORD ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1) << bit;

		if (on)
			atomic_fetch_or(&leaf[from / WORD], bits);
		else
			atomic_fetch_and(&leaf[from / WORD], ~bits);
		from += count;
	}
}

/* False without memory for leaves, or if pages lie beyond what there are leaves for. */
static bool change_all(struct bh_mapped *mapped, const void *pages, size_t size, bool on)
{
	uint64_t page = (uintptr_t)pages >> PAGE_BITS, end = page + (size >> PAGE_BITS);
	_Atomic(void *) *leaves = part(&mapped->root, ROOT_BYTES);

	while (leaves && page < end) {
		uint64_t n = page >> LEAF_BITS, first = n << LEAF_BITS, next = first + (1 << LEAF_BITS);
		_Atomic uint64_t *leaf = n >> TOP_BITS ? NULL : part(&leaves[n], LEAF_BYTES);

		if (!leaf)
			return false;
		if (next > end)
			next = end;
		change(leaf, page - first, next - first, on);
		page = next;
	}
	return leaves != NULL;
}

bool bh_mapped_add(struct bh_mapped *mapped, const void *pages, size_t size)
{
	if (change_all(mapped, pages, size, true))
		return true;
	errno = ENOMEM;
	return false;
}

void bh_mapped_remove(struct bh_mapped *mapped, const void *pages, size_t size)
{
	change_all(mapped, pages, size, false);
	/* Who saw a bit before may be reading yet; a load is over at once. */
	while (atomic_load(&mapped->readers))
		sched_yield();
}

bool bh_mapped_has(struct bh_mapped *mapped, uint64_t address)
{
	uint64_t page = address >> PAGE_BITS, n = page >> LEAF_BITS;
	_Atomic(void *) *leaves = atomic_load(&mapped->root);
	_Atomic uint64_t *leaf = leaves && !(n >> TOP_BITS) ? atomic_load(&leaves[n]) : NULL;

	page %= 1 << LEAF_BITS;
	return leaf && atomic_load(&leaf[page / WORD]) >> page % WORD & 1;
}

#define UNALIGNED(type) (((const struct { type value; } __attribute__((packed, may_alias)) *)address)->value)

/* Others may write there meanwhile. Without memcpy, which the sanitizer would look into nevertheless. */
__attribute__((no_sanitize("thread"))) static uint64_t load(uintptr_t address, uint32_t size)
{
	switch (size) {
	case 1:
		return UNALIGNED(uint8_t);
	case 2:
		return UNALIGNED(uint16_t);
	case 4:
		return UNALIGNED(uint32_t);
	default:
		return UNALIGNED(uint64_t);
	}
}

uint64_t bh_mapped_load(struct bh_mapped *mapped, uint64_t address, uint32_t size)
{
	uint64_t value = 0;

	atomic_fetch_add(&mapped->readers, 1);
	if (bh_mapped_has(mapped, address) && bh_mapped_has(mapped, address + size - 1))
		value = load(address, size);
	atomic_fetch_sub(&mapped->readers, 1);
	return value;
}

/* How many of the bytes are in pages that are there. */
static uint64_t reach(struct bh_mapped *mapped, uint64_t address, uint64_t size)
{
	uint64_t page = 1 << PAGE_BITS, known = 0;

	while (known < size && bh_mapped_has(mapped, address + known)) {
		known += page - (address + known) % page;
		if (address + known < address)
			break;
	}
	return known < size ? known : size;
}

__attribute__((no_sanitize("thread"))) uint64_t bh_mapped_copy(struct bh_mapped *mapped, void *to,
								 uint64_t address, uint64_t size)
{
	uint64_t there;

	atomic_fetch_add(&mapped->readers, 1);
	there = reach(mapped, address, size);
	memmove(to, (const void *)(uintptr_t)address, there);
	atomic_fetch_sub(&mapped->readers, 1);
	return there;
}

__attribute__((no_sanitize("thread"))) bool bh_mapped_write(struct bh_mapped *mapped, uint64_t address,
							      const void *from, uint64_t size)
{
	bool there;

	atomic_fetch_add(&mapped->readers, 1);
	there = reach(mapped, address, size) == size;
	if (there)
		memmove((void *)(uintptr_t)address, from, size);
	atomic_fetch_sub(&mapped->readers, 1);
	return there;
}
