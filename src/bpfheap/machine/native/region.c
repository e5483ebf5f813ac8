#define _GNU_SOURCE
#include "region.h"

#include <errno.h>
#include <sys/mman.h>

/* From the base: region, nothing, shadow, bytes of `life`, granules, handles. */
enum { LIFE_SHIFT = 1 };
#define TABLES (BH_LIFE + (BH_REGION >> LIFE_SHIFT))
#define TABLES_BYTES (BH_GRANULES + BH_HANDLES * sizeof(uintptr_t))
#define REMOVED ((uintptr_t)1)
/* Where regions are put, if there is room. */
#define FAR ((uint64_t)1 << 44)
#define APART ((uint64_t)1 << 35)
enum { PLACES = 1 << 10 };

static bool open_pages(char *pages, size_t size, int access)
{
	return mprotect(pages, size, access) == 0;
}

/* Back to zeros, without memory. */
static void drop_pages(char *pages, size_t size)
{
	madvise(pages, size, MADV_DONTNEED);
}

/*
 * Far from where the kernel maps all else: linkers of compiled code want their pieces near one another,
 * and a region would lie between.
 */
static char *reserve(size_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint64_t first = (uintptr_t)&flags >> 12;
	void *found = MAP_FAILED;

	for (uint64_t n = 0; n < PLACES && found == MAP_FAILED; n++)
		found = mmap((void *)(uintptr_t)(FAR + (first + n) % PLACES * APART), size, PROT_NONE,
			     flags | MAP_FIXED_NOREPLACE, -1, 0);
	return found != MAP_FAILED ? found : mmap(NULL, size, PROT_NONE, flags, -1, 0);
}

bool bh_region_create(struct bh_region *region)
{
	size_t size = BH_REGION + BH_GUARD + TABLES + TABLES_BYTES;
	char *all = reserve(size);
	char *base;

	if (all == MAP_FAILED)
		return false;
	base = (char *)(((uintptr_t)all + BH_GUARD + BH_REGION - 1) & ~(uintptr_t)(BH_REGION - 1));
	if (!open_pages(base, BH_GRANULE, PROT_READ) ||
	    !open_pages(base + TABLES, TABLES_BYTES, PROT_READ | PROT_WRITE) ||
	    /* No object begins where nothing is. */
	    !open_pages(base + BH_LIFE, BH_REGION >> LIFE_SHIFT, PROT_READ)) {
		munmap(all, size);
		return false;
	}
	region->reserved = all;
	region->reserved_bytes = size;
	region->shadow = BH_SHADOW;
	region->life = (void *)(base + BH_LIFE);
	region->granule = (void *)(base + TABLES);
	region->handle = (void *)(base + TABLES + BH_GRANULES);
	region->granule[0] = BH_ZEROS;
	region->next = 1;
	pthread_mutex_init(&region->lock, NULL);
	region->base = base;
	return true;
}

void bh_region_destroy(struct bh_region *region)
{
	if (!region->base)
		return;
	munmap(region->reserved, region->reserved_bytes);
	pthread_mutex_destroy(&region->lock);
	region->base = NULL;
}

/* The first of `count` granules that are nobody's; 0 for none. The last one stays closed. */
static uint32_t find(const struct bh_region *region, uint32_t count, uint32_t from)
{
	uint32_t have = 0;

	for (uint32_t n = from; n < BH_GRANULES - 1; n++) {
		have = region->granule[n] <= BH_VACANT ? have + 1 : 0;
		if (have == count)
			return n + 1 - count;
	}
	return 0;
}

static bool open_granules(struct bh_region *region, uint32_t first, uint32_t count)
{
	size_t at = (size_t)first * BH_GRANULE, size = (size_t)count * BH_GRANULE;
	int access = PROT_READ | PROT_WRITE;

	return open_pages(region->base + at, size, access) &&
	       open_pages(region->base + BH_SHADOW + at, size, access) &&
	       open_pages(region->base + BH_LIFE + (at >> LIFE_SHIFT), size >> LIFE_SHIFT, access);
}

void *bh_region_take(struct bh_region *region, size_t size, enum bh_granule kind)
{
	uint32_t count = (uint32_t)((size + BH_GRANULE - 1) / BH_GRANULE), first = 0;
	char *shadow = NULL;

	if (size && size < BH_REGION) {
		pthread_mutex_lock(&region->lock);
		first = find(region, count, region->next);
		if (!first)
			first = find(region, count, 1);
		if (first && open_granules(region, first, count)) {
			size_t at = (size_t)first * BH_GRANULE;

			/* A program may have written to what was nobody's. */
			drop_pages(region->base + at, (size_t)count * BH_GRANULE);
			for (uint32_t n = 0; n < count; n++)
				region->granule[first + n] = (uint8_t)kind;
			region->next = first + count;
			shadow = region->base + BH_SHADOW + at;
		}
		pthread_mutex_unlock(&region->lock);
	}
	if (!shadow)
		errno = ENOMEM;
	return shadow;
}

void bh_region_give(struct bh_region *region, void *shadow, size_t size)
{
	size_t at = (size_t)((char *)shadow - region->base - BH_SHADOW);
	uint32_t first = (uint32_t)(at / BH_GRANULE);
	uint32_t count = (uint32_t)((size + BH_GRANULE - 1) / BH_GRANULE);

	size = (size_t)count * BH_GRANULE;
	pthread_mutex_lock(&region->lock);
	for (uint32_t n = 0; n < count; n++)
		region->granule[first + n] = BH_VACANT;
	drop_pages(region->base + BH_LIFE + (at >> LIFE_SHIFT), size >> LIFE_SHIFT);
	drop_pages(region->base + at, size);
	drop_pages(shadow, size);
	if (first < region->next)
		region->next = first;
	pthread_mutex_unlock(&region->lock);
}

uint32_t bh_region_lives(struct bh_region *region, uint32_t slots)
{
	uint32_t taken = atomic_load(&region->lives);

	do
		if (slots > UINT32_MAX - BH_LIVE - taken)
			return 0;
	while (!atomic_compare_exchange_weak(&region->lives, &taken, taken + slots));
	return BH_LIVE + taken;
}

/* -- handles: open addressing */

static uint32_t place_of(uintptr_t what)
{
	return (uint32_t)((what >> 6) * 0x9e3779b1u) & (BH_HANDLES - 1);
}

bool bh_handle_add(struct bh_region *region, const void *what)
{
	uint32_t at = place_of((uintptr_t)what);
	bool added;

	pthread_mutex_lock(&region->lock);
	added = region->handles < BH_HANDLES / 2;
	if (added) {
		while (region->handle[at] > REMOVED)
			at = (at + 1) & (BH_HANDLES - 1);
		atomic_store(&region->handle[at], (uintptr_t)what);
		region->handles++;
	}
	pthread_mutex_unlock(&region->lock);
	return added;
}

/* Where it is, or where a search for it ends: those that were removed may be as many as there are. */
static uint32_t look_up(const struct bh_region *region, uintptr_t what)
{
	uint32_t at = place_of(what);

	for (uint32_t n = 0; n < BH_HANDLES; n++, at = (at + 1) & (BH_HANDLES - 1)) {
		uintptr_t here = atomic_load_explicit(&region->handle[at], memory_order_acquire);

		if (!here || here == what)
			break;
	}
	return at;
}

void bh_handle_remove(struct bh_region *region, const void *what)
{
	uint32_t at;

	pthread_mutex_lock(&region->lock);
	at = look_up(region, (uintptr_t)what);
	if (region->handle[at] == (uintptr_t)what) {
		region->handles--;
		atomic_store(&region->handle[at], REMOVED);
		if (!region->handle[(at + 1) & (BH_HANDLES - 1)])
			for (; region->handle[at] == REMOVED; at = (at - 1) & (BH_HANDLES - 1))
				atomic_store(&region->handle[at], 0);
	}
	pthread_mutex_unlock(&region->lock);
}

bool bh_handle_known(const struct bh_region *region, uint64_t what)
{
	return what > REMOVED &&
	       atomic_load_explicit(&region->handle[look_up(region, what)], memory_order_acquire) == what;
}
