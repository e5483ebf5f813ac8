/*
 * Tries of prefixes (kernel/bpf/lpm_trie.c): a key is a number of bits (u32), and the bytes that they are the
 * first bits of. Here they are hashes of prefixes, with zeros behind each: a lookup asks for all lengths that
 * the map ever had, of which there are few, the longest first. So all that hashes have, a look without a lock
 * first of all, tries have, too.
 */
#include "hash.h"
#include "trie.h"

#include <errno.h>
#include <stdlib.h>

enum {
	LENGTH = 4,
	LONGEST = LENGTH + 256, /* LPM_KEY_SIZE_MAX */
};

static uint32_t length_of(const void *key)
{
	uint32_t length;

	memcpy(&length, key, LENGTH);
	return length;
}

static uint32_t bits_of(const struct bh_map *map)
{
	return 8 * (map->spec.key_size - LENGTH);
}

/* Leave of a key no more than its first `length` bits. */
static void cut(const struct bh_map *map, char *key, uint32_t length)
{
	uint32_t at = LENGTH + length / 8;

	memcpy(key, &length, LENGTH);
	if (length % 8) {
		key[at] &= (char)(0xff00 >> length % 8);
		at++;
	}
	memset(key + at, 0, map->spec.key_size - at);
}

void *bh_trie_lookup(struct bh_map *map, const void *key)
{
	uint32_t length = length_of(key), word = length / 64;
	uint64_t mask = ~(uint64_t)0 >> (63 - length % 64);
	char prefix[LONGEST];

	if (length > bits_of(map))
		return NULL;
	memcpy(prefix, key, map->spec.key_size);
	for (;; mask = ~(uint64_t)0) {
		uint64_t there = atomic_load_explicit(&map->lengths[word], memory_order_acquire) & mask;

		while (there) {
			uint32_t n = 63 - (uint32_t)__builtin_clzll(there);
			struct bh_elem *elem;

			there ^= (uint64_t)1 << n;
			cut(map, prefix, word * 64 + n);
			elem = bh_hash_find(map, bh_hash_of(map, prefix), prefix);
			if (elem)
				return bh_elem_value(map, elem);
		}
		if (!word--)
			return NULL;
	}
}

int bh_trie_update(struct bh_map *map, struct bh_here *here, const void *key, const char *value,
		   uint64_t flags, int cpu)
{
	uint32_t length = length_of(key), size = map->spec.key_size;
	char both[2 * LONGEST];
	int error;

	if (length > bits_of(map))
		return -EINVAL;
	/* Keys are shown with the bits behind the prefix that the last update gave them. */
	memcpy(both, key, size);
	memcpy(both + size, key, size);
	cut(map, both, length);
	memcpy(both + size, &length, LENGTH);
	atomic_fetch_or_explicit(&map->lengths[length / 64], (uint64_t)1 << length % 64, memory_order_release);
	error = bh_hash_update(map, here, both, value, flags, cpu);
	return error == -E2BIG ? -ENOSPC : error;
}

int bh_trie_delete(struct bh_map *map, struct bh_here *here, const void *key)
{
	uint32_t length = length_of(key);
	char prefix[LONGEST];

	if (length > bits_of(map))
		return -EINVAL;
	memcpy(prefix, key, map->spec.key_size);
	cut(map, prefix, length);
	return bh_hash_delete(map, here, prefix);
}

int bh_trie_create(struct bh_map *map)
{
	if (map->spec.key_size <= LENGTH || map->spec.key_size > LONGEST)
		return -EINVAL;
	map->lengths = calloc(bits_of(map) / 64 + 1, sizeof(*map->lengths));
	/* As on Linux, what somebody looked up stays what it is until he has ended. */
	map->spec.waits = true;
	return map->lengths ? bh_hash_create(map) : -ENOMEM;
}
