#define _GNU_SOURCE
#include "around.h"
#include "calls.h"
#include "frame.h"
#include "packet.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define CALL(name) static uint64_t name(struct bh_run *run, const uint64_t *r)
#define UNUSED (void)run, (void)r

static uint64_t error(int number)
{
	return (uint64_t)(int64_t)number;
}

/* -- maps */

/* The value that a CPU sees, of what a lookup found. */
static uint64_t value_of(const struct bh_map *map, char *value, uint32_t cpu)
{
	if (value && map->spec.per_cpu)
		value += (size_t)cpu * map->stride;
	return (uintptr_t)value;
}

/* What Python performs, if it can be asked: not in a signal. */
static uint64_t played(struct bh_run *run, uint64_t otherwise)
{
	return run->in_signal ? otherwise : bh_run_ask(run);
}

CALL(bpf_map_lookup_elem)
{
	struct bh_map *map = (void *)r[1];

	if (BH_UNLIKELY(map->spec.shape == BH_PLAYED))
		return played(run, 0);
	return value_of(map, bh_map_lookup(map, (void *)r[2]), run->here.cpu);
}

CALL(bpf_map_lookup_percpu_elem)
{
	struct bh_map *map = (void *)r[1];
	uint32_t cpu = (uint32_t)r[3];

	(void)run;
	if (!map->spec.per_cpu || cpu >= bh_core_cpus(map->core))
		return 0;
	return value_of(map, bh_map_lookup(map, (void *)r[2]), cpu);
}

/*
 * True if the call has to be made again later: the value's lock is held. When executions are stepped, its
 * holder may be stopped, and then a wait in here would never end.
 */
static bool must_wait(struct bh_run *run, struct bh_map *map, const void *key)
{
	const struct bh_type *type = map->spec.type;
	char *value;

	if (!run->stepping || !type || type->lock < 0)
		return false;
	value = bh_map_peek(map, key);
	if (!value || !*(uint32_t *)(value + type->lock))
		return false;
	run->stop = BH_AGAIN;
	return true;
}

CALL(bpf_map_update_elem)
{
	struct bh_map *map = (void *)r[1];

	if (BH_UNLIKELY(map->spec.shape == BH_PLAYED))
		return played(run, error(-EBUSY));
	if (map->spec.readonly)
		return error(-EPERM);
	if (must_wait(run, map, (void *)r[2]))
		return 0;
	return error(bh_map_update(map, &run->here, (void *)r[2], (void *)r[3], r[4],
				   (int)run->here.cpu));
}

CALL(bpf_map_delete_elem)
{
	struct bh_map *map = (void *)r[1];

	if (BH_UNLIKELY(map->spec.shape == BH_PLAYED))
		return played(run, error(-EBUSY));
	if (must_wait(run, map, (void *)r[2]))
		return 0;
	return error(bh_map_delete(map, &run->here, (void *)r[2]));
}

CALL(bpf_for_each_map_elem)
{
	struct bh_frame frame = { .after = BH_EACH,
				  .slot = run->slot,
				  .map = (void *)r[1],
				  .callback = (uint32_t)r[2],
				  .ctx = r[3] };

	if (r[4])
		return error(-EINVAL);
	/* Where no elements are takes its time, too. */
	run->budget -= frame.map->mask / BH_LOOK;
	bh_run_again(run, &frame, false);
	return 0;
}

CALL(bpf_loop)
{
	struct bh_frame frame = { .after = BH_LOOP,
				  .slot = run->slot,
				  .limit = (uint32_t)r[1],
				  .callback = (uint32_t)r[2],
				  .ctx = r[3] };

	if (r[4])
		return error(-EINVAL);
	/* All 64 bits, as where Linux writes the loop in place (inline_bpf_loop). */
	if (r[1] > BH_LOOPS)
		return error(-E2BIG);
	bh_run_again(run, &frame, false);
	return 0;
}

struct bh_prog *bh_tail(struct bh_run *run, struct bh_map *map, uint64_t index)
{
	uint32_t at = (uint32_t)index;
	struct bh_prog *prog = bh_map_lookup(map, &at);

	if (!prog || run->tail_calls == BH_TAIL_CALLS)
		return NULL;
	run->tail_calls++;
	return prog;
}

CALL(bpf_tail_call)
{
	struct bh_prog *prog = bh_tail(run, (void *)r[2], r[3]);

	if (!prog)
		return error(-ENOENT);
	run->prog = prog;
	run->slot = 0;
	run->goes = 0;
	run->base = run->depth;
	run->callback = true;
	run->r[1] = (uintptr_t)run->ctx;
	memset(run->stack[run->depth], 0, BH_STACK);
	return 0;
}

/* -- the world around */

static uint64_t clock_of(const struct bh_run *run, clockid_t id)
{
	struct timespec now;
	uint64_t made_up;

	if (bh_world_clock(run->here.core, &made_up))
		return made_up;
	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

CALL(bpf_ktime_get_ns)
{
	(void)r;
	return clock_of(run, CLOCK_MONOTONIC);
}

CALL(bpf_ktime_get_boot_ns)
{
	(void)r;
	return clock_of(run, CLOCK_BOOTTIME);
}

CALL(bpf_ktime_get_tai_ns)
{
	(void)r;
	return clock_of(run, CLOCK_TAI);
}

CALL(bpf_ktime_get_coarse_ns)
{
	(void)r;
	return clock_of(run, CLOCK_MONOTONIC_COARSE);
}

CALL(bpf_jiffies64)
{
	(void)r;
	return clock_of(run, CLOCK_MONOTONIC_COARSE) / 1000000;
}

CALL(bpf_get_prandom_u32)
{
	/* splitmix64: every seed is a good one. */
	uint64_t z = run->random[run->here.slot] += 0x9e3779b97f4a7c15u;

	(void)r;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z ^ z >> 31);
}

CALL(bpf_get_smp_processor_id)
{
	(void)r;
	return run->here.cpu;
}

/* -- ring buffers */

enum { RB_FLAGS = 3 }; /* BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP */

CALL(bpf_ringbuf_output)
{
	void *record;

	(void)run;
	if (r[4] & ~(uint64_t)RB_FLAGS)
		return error(-EINVAL);
	record = bh_ring_reserve((void *)r[1], r[3]);
	if (!record)
		return error(-EAGAIN);
	memcpy(record, (void *)r[2], r[3]);
	bh_ring_finish(record, true);
	return 0;
}

CALL(bpf_ringbuf_reserve)
{
	(void)run;
	return r[3] ? 0 : (uintptr_t)bh_ring_reserve((void *)r[1], r[2]);
}

CALL(bpf_ringbuf_submit)
{
	(void)run;
	bh_ring_finish((void *)r[1], true);
	return 0;
}

CALL(bpf_ringbuf_discard)
{
	(void)run;
	bh_ring_finish((void *)r[1], false);
	return 0;
}

/* struct bpf_dynptr_kern, as machine/dynptr.py has it. */
struct dynptr {
	uint64_t data;
	uint32_t size, offset;
};

enum { DYNPTR_LONGEST = (1 << 24) - 1, DYNPTR_RINGBUF = 2 << 28 };

CALL(bpf_ringbuf_reserve_dynptr)
{
	struct dynptr *ptr = (void *)r[4];
	uint32_t size = (uint32_t)r[2];
	void *record;

	(void)run;
	memset(ptr, 0, sizeof(*ptr));
	if (r[3])
		return error(-EINVAL);
	if (size > DYNPTR_LONGEST)
		return error(-E2BIG);
	record = bh_ring_reserve((void *)r[1], size);
	if (!record)
		return error(-EINVAL);
	ptr->data = (uintptr_t)record;
	ptr->size = size | DYNPTR_RINGBUF;
	return 0;
}

/* Of a hardened program, what it gives has to be where there may be a record. */
static uint64_t finish(struct bh_run *run, struct dynptr *ptr, bool submit)
{
	uint64_t data = ptr->data;

	if (!data)
		return 0;
	if (run->window) {
		data = bh_ring_record_at(run->here.core, data);
		if (!data) {
			run->fault = ptr->data;
			run->pc = 0;
			run->stop = BH_FAULT;
			return 0;
		}
	}
	bh_ring_finish((void *)data, submit);
	memset(ptr, 0, sizeof(*ptr));
	return 0;
}

CALL(bpf_ringbuf_submit_dynptr)
{
	return finish(run, (void *)r[1], true);
}

CALL(bpf_ringbuf_discard_dynptr)
{
	return finish(run, (void *)r[1], false);
}

CALL(bpf_ringbuf_query)
{
	struct bh_map *map = (void *)r[1];
	uint64_t consumed = atomic_load(&map->consumed), unread = bh_ring_unread(map);

	(void)run;
	switch (r[2]) {
	case 0: return unread;
	case 1: return map->spec.max_entries;
	case 2: return consumed;
	case 3: return consumed + unread;
	default: return 0;
	}
}

/* -- objects */

static struct bh_unit *unit_for(const struct bh_run *run, const struct bh_heap *heap, uint32_t type)
{
	for (uint32_t i = 0; i < run->prog->sites; i++)
		if (run->prog->site[i].type == type && run->prog->site[i].heap == heap)
			return run->prog->site[i].unit;
	return NULL;
}

static uint64_t new_of(struct bh_run *run, const struct bh_heap *heap, uint64_t type)
{
	struct bh_unit *unit = unit_for(run, heap, (uint32_t)type);

	return unit ? (uintptr_t)bh_object_new(&run->here, unit, (int32_t)run->prog->id) : 0;
}

CALL(bpf_mem_alloc)
{
	return new_of(run, ((struct bh_map *)r[1])->spec.allocates, r[2]);
}

CALL(bpf_obj_new_impl)
{
	return new_of(run, run->prog->global, r[1]);
}

/* The number of a type says in BH_PERCPU_TYPE whether its objects have a copy for each CPU. */
CALL(bpf_percpu_obj_new_impl)
{
	return new_of(run, run->prog->global, r[1] | BH_PERCPU_TYPE);
}

CALL(unit_free)
{
	bh_object_drop(&run->here, (void *)r[1], (int32_t)run->prog->id);
	return 0;
}

/* In a signal's handler this would wait for the heap's lock, which whoever was interrupted may have. Only programs
 * that may sleep call this; others do if nobody verified them. */
CALL(bpf_mem_prefill)
{
	struct bh_map *map = (void *)r[1];
	int32_t count = (int32_t)r[2];

	if (count < 0)
		return error(-EINVAL);
	if (run->in_signal)
		return error(-EBUSY);
	if (run->window && !bh_run_count(run, (uint64_t)count))
		return 0;
	for (uint32_t i = 0; i < run->prog->sites; i++)
		if (run->prog->site[i].heap == map->spec.allocates &&
		    !bh_unit_prefill(run->prog->site[i].unit, (uint32_t)count))
			return error(-ENOMEM);
	return 0;
}

CALL(bpf_kptr_xchg)
{
	(void)run;
	return (uintptr_t)atomic_exchange((_Atomic(void *) *)r[1], (void *)r[2]);
}

CALL(bpf_refcount_acquire_impl)
{
	const struct bh_type *type = bh_type_of(run->here.core, (void *)r[1]);

	return type && bh_object_acquire((void *)r[1], type) ? r[1] : 0;
}

CALL(bpf_this_cpu_ptr)
{
	uint64_t copy;

	if (bh_world_copy_of(run->here.core, r[1], run->here.cpu, &copy))
		return copy;
	return r[1] + (uint64_t)run->here.cpu * bh_stride(bh_type_of(run->here.core, (void *)r[1]));
}

CALL(bpf_per_cpu_ptr)
{
	uint32_t cpu = (uint32_t)r[2];
	uint64_t copy;

	if (cpu >= bh_core_cpus(run->here.core))
		return 0;
	if (bh_world_copy_of(run->here.core, r[1], cpu, &copy))
		return copy;
	return r[1] + (uint64_t)cpu * bh_stride(bh_type_of(run->here.core, (void *)r[1]));
}

/* -- locks, lists, trees */

CALL(bpf_spin_lock)
{
	if (run->window && run->lock) {
		/* It would not be released if the run is broken off. */
		run->fault = r[1];
		run->stop = BH_FAULT;
	} else if (run->stepping && !bh_try_lock((void *)r[1])) {
		run->stop = BH_AGAIN;
	} else if (!run->stepping && !bh_lock(&run->here, (void *)r[1])) {
		run->stop = BH_PAUSE;
	} else {
		run->locked = true;
		run->lock = (void *)r[1];
	}
	return 0;
}

CALL(bpf_spin_unlock)
{
	run->locked = false;
	run->lock = NULL;
	bh_unlock((void *)r[1]);
	return 0;
}

/*
 * The node is in a list or tree already. The program loses its reference all the same (__bpf_list_add); the
 * object lives on, as whoever put it there owns it too.
 */
uint64_t bh_call_refuse(struct bh_run *run, uint64_t node)
{
	void *object = bh_object_at(run->here.core, (void *)node);

	if (object)
		bh_object_drop(&run->here, object, (int32_t)run->prog->id);
	/* The kfuncs give an int, so the upper half of r0 is 0. */
	return (uint32_t)-EINVAL;
}

static uint64_t list_push(struct bh_run *run, const uint64_t *r, bool front)
{
	return bh_list_push(run->here.core, (void *)r[1], (void *)r[2], front) ? 0 : bh_call_refuse(run, r[2]);
}

CALL(bpf_list_push_front_impl)
{
	return list_push(run, r, true);
}

CALL(bpf_list_push_back_impl)
{
	return list_push(run, r, false);
}

CALL(bpf_list_pop_front)
{
	return (uintptr_t)bh_list_pop(run->here.core, (void *)r[1], true);
}

CALL(bpf_list_pop_back)
{
	return (uintptr_t)bh_list_pop(run->here.core, (void *)r[1], false);
}

CALL(bpf_list_front)
{
	(void)run;
	return (uintptr_t)((struct bh_list_head *)r[1])->first;
}

CALL(bpf_list_back)
{
	(void)run;
	return (uintptr_t)((struct bh_list_head *)r[1])->last;
}

CALL(bpf_rbtree_add_impl)
{
	struct bh_frame frame = { .after = BH_LESS,
				  .slot = run->slot,
				  .root = (void *)r[1],
				  .node = (void *)r[2],
				  .callback = (uint32_t)r[3] };

	if (!bh_rb_reserve(frame.root, frame.node))
		return bh_call_refuse(run, r[2]);
	frame.at = bh_rb_node_at(run->here.core, &frame.root->node);
	if (!frame.at) {
		bh_rb_insert(run->here.core, frame.root, frame.node, NULL, false);
		return 0;
	}
	bh_run_again(run, &frame, false);
	return 0;
}

static bool is_in(struct bh_rb_root *root, struct bh_rb_node *node)
{
	return atomic_load(&node->owner) == root;
}

CALL(bpf_rbtree_remove)
{
	if (!is_in((void *)r[1], (void *)r[2]))
		return 0;
	bh_rb_remove(run->here.core, (void *)r[1], (void *)r[2]);
	return r[2];
}

CALL(bpf_rbtree_first)
{
	return (uintptr_t)bh_rb_first(run->here.core, (void *)r[1]);
}

CALL(bpf_rbtree_root)
{
	(void)run;
	return (uintptr_t)((struct bh_rb_root *)r[1])->node;
}

CALL(bpf_rbtree_left)
{
	(void)run;
	return is_in((void *)r[1], (void *)r[2]) ?
		       (uintptr_t)((struct bh_rb_node *)r[2])->left : 0;
}

CALL(bpf_rbtree_right)
{
	(void)run;
	return is_in((void *)r[1], (void *)r[2]) ?
		       (uintptr_t)((struct bh_rb_node *)r[2])->right : 0;
}

/* Nothing but signals interrupts a run, and programs there are runs of their own. */
CALL(bpf_local_irq_save)
{
	(void)run;
	*(uint64_t *)r[1] = 0x202; /* interrupts were enabled */
	return 0;
}

CALL(bpf_throw)
{
	bh_run_throw(run, r[1]);
	return 0;
}

/* bpf_rcu_read_lock and its like: an execution is a reader from its beginning to its end. */
CALL(nothing)
{
	UNUSED;
	return 0;
}

/* -- iterators: struct bpf_iter_num_kern */

struct iter_num {
	int32_t at, end; /* `at` is the current number: before the first one, that one less 1 */
};

CALL(bpf_iter_num_new)
{
	struct iter_num *iter = (void *)r[1];
	int32_t start = (int32_t)r[2], end = (int32_t)r[3];

	(void)run;
	iter->at = iter->end = 0;
	if (start > end)
		return error(-EINVAL);
	if ((int64_t)end - start > BH_LOOPS)
		return error(-E2BIG);
	iter->at = (int32_t)((uint32_t)start - 1);
	iter->end = end;
	return 0;
}

CALL(bpf_iter_num_next)
{
	struct iter_num *iter = (void *)r[1];
	int32_t next = (int32_t)((uint32_t)iter->at + 1);

	(void)run;
	if (next >= iter->end) {
		iter->at = iter->end = 0;
		return 0;
	}
	iter->at = next;
	return r[1];
}

CALL(bpf_iter_num_destroy)
{
	(void)run;
	memset((void *)r[1], 0, sizeof(struct iter_num));
	return 0;
}

/* What is printed Python formats; it performs other calls, too. */
CALL(outside)
{
	(void)r;
	return bh_run_ask(run);
}

CALL(unknown)
{
	(void)r;
	run->stop = BH_NO_CALL;
	return 0;
}

#define SAME(X, name) X(name, name)
#define CALLS(X)                                                                             \
	SAME(X, bpf_map_lookup_elem) SAME(X, bpf_map_update_elem) SAME(X, bpf_map_delete_elem) \
	SAME(X, bpf_ktime_get_ns) X(bpf_trace_printk, outside) SAME(X, bpf_get_prandom_u32)    \
	SAME(X, bpf_get_smp_processor_id) SAME(X, bpf_skb_store_bytes) SAME(X, bpf_tail_call)  \
	SAME(X, bpf_skb_load_bytes) SAME(X, bpf_skb_pull_data) SAME(X, bpf_xdp_adjust_head)    \
	SAME(X, bpf_xdp_adjust_meta) SAME(X, bpf_xdp_adjust_tail) SAME(X, bpf_spin_lock)       \
	SAME(X, bpf_spin_unlock) SAME(X, bpf_jiffies64) SAME(X, bpf_ktime_get_boot_ns)         \
	SAME(X, bpf_ringbuf_output) SAME(X, bpf_ringbuf_reserve) SAME(X, bpf_ringbuf_submit)   \
	SAME(X, bpf_ringbuf_discard) SAME(X, bpf_ringbuf_query) SAME(X, bpf_copy_from_user)    \
	SAME(X, bpf_ringbuf_reserve_dynptr) SAME(X, bpf_ringbuf_submit_dynptr)                 \
	SAME(X, bpf_ringbuf_discard_dynptr)                                                    \
	SAME(X, bpf_per_cpu_ptr) SAME(X, bpf_this_cpu_ptr) SAME(X, bpf_ktime_get_coarse_ns)    \
	SAME(X, bpf_for_each_map_elem) X(bpf_trace_vprintk, outside) SAME(X, bpf_loop)         \
	SAME(X, bpf_kptr_xchg) SAME(X, bpf_map_lookup_percpu_elem)                             \
	SAME(X, bpf_ktime_get_tai_ns) SAME(X, bpf_mem_alloc) SAME(X, unit_free)                \
	SAME(X, bpf_mem_prefill) SAME(X, bpf_obj_new_impl) X(bpf_obj_drop_impl, unit_free)     \
	SAME(X, bpf_percpu_obj_new_impl) X(bpf_percpu_obj_drop_impl, unit_free)                \
	SAME(X, bpf_refcount_acquire_impl) SAME(X, bpf_list_push_front_impl)                   \
	SAME(X, bpf_list_push_back_impl) SAME(X, bpf_list_pop_front)                           \
	SAME(X, bpf_list_pop_back) SAME(X, bpf_list_front) SAME(X, bpf_list_back)              \
	SAME(X, bpf_rbtree_add_impl) SAME(X, bpf_rbtree_remove) SAME(X, bpf_rbtree_first)      \
	SAME(X, bpf_rbtree_root) SAME(X, bpf_rbtree_left) SAME(X, bpf_rbtree_right)            \
	X(bpf_rcu_read_lock, nothing) X(bpf_rcu_read_unlock, nothing)                          \
	X(bpf_preempt_disable, nothing) X(bpf_preempt_enable, nothing)                         \
	SAME(X, bpf_local_irq_save) X(bpf_local_irq_restore, nothing)                          \
	SAME(X, bpf_throw)                                                                     \
	SAME(X, bpf_iter_num_new) SAME(X, bpf_iter_num_next) SAME(X, bpf_iter_num_destroy)     \
	SAME(X, bpf_get_current_pid_tgid) SAME(X, bpf_get_current_uid_gid)                     \
	SAME(X, bpf_get_current_comm) SAME(X, bpf_get_current_task)                            \
	X(bpf_get_current_task_btf, bpf_get_current_task) SAME(X, bpf_probe_read)              \
	SAME(X, bpf_probe_read_str) SAME(X, bpf_probe_read_kernel)                             \
	SAME(X, bpf_probe_read_kernel_str) SAME(X, bpf_probe_read_user)                        \
	SAME(X, bpf_probe_read_user_str) X(bpf_copy_from_user_task, bpf_copy_from_user)

const char *const bh_call_names[] = {
#define X(name, function) #name,
	CALLS(X) NULL
#undef X
};

const bh_call bh_calls[] = {
#define X(name, function) function,
	CALLS(X) unknown, outside
#undef X
};

const uint16_t bh_call_unknown = sizeof(bh_calls) / sizeof(bh_calls[0]) - 2;
const uint16_t bh_call_asked = sizeof(bh_calls) / sizeof(bh_calls[0]) - 1;
