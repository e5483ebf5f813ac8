/* Loops over the numbers of a bpf_iter_num: for bpfheap.h, and for what stands in for libbpf's headers. */
#pragma once

/* bpf_for(i, 0, 10) { ... } and bpf_repeat(10) { ... }; `break` and `continue` work in them. */
#ifndef bpf_for
#define bpf_for(i, start, end)                                                                \
	for (struct bpf_iter_num ___it                                                        \
		     __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),              \
	     *___p __attribute__((unused)) =                                                  \
		     (bpf_iter_num_new(&___it, (start), (end)),                               \
		      (void)bpf_iter_num_destroy, (void *)0);                                 \
	     ({                                                                               \
		     int *___n = bpf_iter_num_next(&___it);                                   \
		     int ___more = !!___n;                                                    \
		     if (___more)                                                             \
			     (i) = *___n;                                                     \
		     ___more && (i) >= (start) && (i) < (end);                                \
	     });)
#endif

#ifndef bpf_repeat
#define bpf_repeat(count)                                                                     \
	for (struct bpf_iter_num ___it                                                        \
		     __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),              \
	     *___p __attribute__((unused)) =                                                  \
		     (bpf_iter_num_new(&___it, 0, (count)),                                   \
		      (void)bpf_iter_num_destroy, (void *)0);                                 \
	     bpf_iter_num_next(&___it);)
#endif
