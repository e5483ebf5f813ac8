#include <bpfheap.h>

/* Loads through pointers that were read out of objects which are not to be trusted: the program may have
 * written any number there. */

#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif

struct inner {
	__u64 a;
	__s32 word;
	__s16 half;
	__s8 byte;
	struct inner *next;
};

struct box {
	__u64 v;
	struct inner *plain;
};

__kptr_type(struct inner);
__kptr_type(struct box);

struct inner known_inner;

struct holder {
	struct box __kptr *box;
	struct inner inner;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct holder);
} holders SEC(".maps");

/* What user space would like to be read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

static __always_inline struct holder *holder(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&holders, &key);
}

/* Put a box into the map that has `number` for a pointer. */
static __always_inline int put(struct holder *h, __u64 number)
{
	struct box *box = bpf_obj_new(struct box), *old;

	if (!box)
		return 0;
	box->v = 5;
	box->plain = (struct inner *)number;
	old = bpf_kptr_xchg(&h->box, box);
	if (old)
		bpf_obj_drop(old);
	return 1;
}

#define READ(name, what)                                                                     \
	SEC("syscall") int name(void *ctx)                                                   \
	{                                                                                    \
		__u32 key = 0;                                                               \
		__u64 *number = bpf_map_lookup_elem(&numbers, &key);                         \
		struct holder *h = holder();                                                 \
		struct box *box;                                                             \
		struct inner *inner;                                                         \
                                                                                             \
		if (!h || !number || !put(h, *number))                                       \
			return 100;                                                          \
		box = h->box;                                                                \
		if (!box)                                                                    \
			return 101;                                                          \
		inner = box->plain;                                                          \
		return what;                                                                 \
	}

READ(wide, inner->a)
READ(word, inner->word)
READ(half, inner->half)
READ(byte, inner->byte)
READ(far, inner->next->next->next->word)

READ(wide_unsigned, (__u64)*(__u8 *)&inner->a + *(__u16 *)&inner->word + *(__u32 *)&inner->a)
READ(beyond, inner->next ? inner->next->next ? 1 : inner->next->half : inner->byte)
READ(spilled, ({ struct inner *volatile kept = inner; kept->word; }))
READ(joined, ({ struct inner *one = *number & 8 ? inner : inner->next; barrier_var(one); one->word; }))

static __noinline int word_of(struct box *box)
{
	return box->plain->word;
}

READ(by_a_static, word_of(box))

static long add_word(__u32 i, struct box **box)
{
	return (*box)->plain->word != 0;
}

READ(by_a_callback, bpf_loop(3, add_word, &box, 0) - 3)
READ(in_a_loop, ({ int i, sum = 0; bpf_for(i, 0, 5) { sum += inner->a; inner = inner->next; } sum; }))

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct holder);
} hash SEC(".maps");

SEC("syscall") int of_a_hash(void *ctx)
{
	struct holder empty = {};
	__u32 key = 0;
	__u64 *number = bpf_map_lookup_elem(&numbers, &key);
	struct holder *h;
	struct box *box;

	bpf_map_update_elem(&hash, &key, &empty, 0);
	h = bpf_map_lookup_elem(&hash, &key);
	if (!h || !number || !put(h, *number))
		return 100;
	box = h->box;
	return box ? box->plain->word : 101;
}

struct shelf {
	struct box __kptr *box;
};

__kptr_type(struct shelf);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct { struct shelf __kptr *shelf; });
} shelves SEC(".maps");

/* The box is another object's. */
SEC("syscall") int of_an_object(void *ctx)
{
	__u32 key = 0;
	__u64 *number = bpf_map_lookup_elem(&numbers, &key);
	struct holder *h = holder();
	struct box *box;

	if (!h || !number || !put(h, *number))
		return 100;
	box = bpf_kptr_xchg(&h->box, NULL);
	if (!box)
		return 101;
	if (!put(h, *number)) {
		bpf_obj_drop(box);
		return 102;
	}
	bpf_obj_drop(box);
	box = h->box;
	return box ? box->plain->next->word : 103;
}

/* A pointer into the map's own value, which lives. */
SEC("syscall") int own_value(void *ctx)
{
	struct holder *h = holder();
	struct box *box;
	struct inner *inner;

	if (!h)
		return 100;
	h->inner.a = 7;
	h->inner.word = -3;
	h->inner.half = -2;
	h->inner.byte = -1;
	if (!put(h, (__u64)&h->inner))
		return 100;
	box = h->box;
	if (!box)
		return 101;
	inner = box->plain;
	return inner->a + inner->word + inner->half + inner->byte;
}

/* One instruction loads from a record or through such a pointer. */
SEC("syscall") int either(void *ctx)
{
	__u32 key = 0;
	__u64 *number = bpf_map_lookup_elem(&numbers, &key);
	struct holder *h = holder();
	__u64 *record, *from, found;
	struct box *box;

	if (!h || !number || !put(h, *number))
		return 100;
	record = bpf_ringbuf_reserve(&ring, 8, 0);
	if (!record)
		return 100;
	*record = 9;
	from = record;
	if (*number != 1) {
		box = h->box;
		if (!box) {
			bpf_ringbuf_discard(record, 0);
			return 101;
		}
		from = &box->plain->a;
	}
	barrier_var(from);
	found = *from;
	bpf_ringbuf_discard(record, 0);
	return found;
}

/* The same of the caller's stack. */
__noinline int picked(__u64 *on_stack)
{
	__u32 key = 0;
	__u64 *number = bpf_map_lookup_elem(&numbers, &key), *from = on_stack;
	struct holder *h = holder();
	struct box *box;

	if (!on_stack || !h || !number || !put(h, *number))
		return 100;
	if (*number != 1) {
		box = h->box;
		if (!box)
			return 101;
		from = &box->plain->a;
	}
	barrier_var(from);
	return *from;
}

SEC("syscall") int callers_stack(void *ctx)
{
	__u64 nine = 9;

	barrier_var(nine);
	return picked(&nine);
}

char LICENSE[] SEC("license") = "GPL";
