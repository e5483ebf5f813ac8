/* SPDX-License-Identifier: Apache-2.0 */
/* Interprets bytecode of a map value: a loop around a switch, registers on the stack. */
#include "corpus.h"

enum op { HALT, LOAD, MOVE, ADD, SUBTRACT, AND, OR, XOR, SHIFT, SKIP_IF_ZERO, SKIP_IF_LESS };

struct op_code {
	__u8 op;
	__u8 to;
	__u8 from;
	__u8 value;
};

struct code {
	struct op_code ops[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct code);
} codes SEC(".maps");

SEC("tc")
int interpreter(struct __sk_buff *skb)
{
	__u64 registers[4] = {skb->len, skb->mark, skb->hash, 0};
	__u32 key = 0;
	struct code *code = bpf_map_lookup_elem(&codes, &key);

	if (!code)
		return 0;
#pragma clang loop unroll(disable)
	for (int at = 0; at < 8; at++) {
		struct op_code *now = &code->ops[at];
		__u64 *to = &registers[now->to & 3];
		__u64 from = registers[now->from & 3];

		switch (now->op) {
		case LOAD:
			*to = now->value;
			break;
		case MOVE:
			*to = from;
			break;
		case ADD:
			*to += from;
			break;
		case SUBTRACT:
			*to -= from;
			break;
		case AND:
			*to &= from;
			break;
		case OR:
			*to |= from;
			break;
		case XOR:
			*to ^= from;
			break;
		case SHIFT:
			*to <<= from & 63;
			break;
		case SKIP_IF_ZERO:
			if (!*to)
				at++;
			break;
		case SKIP_IF_LESS:
			if (*to < from)
				at++;
			break;
		default:
			return registers[0];
		}
	}
	return registers[0];
}
