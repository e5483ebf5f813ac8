/* SPDX-License-Identifier: Apache-2.0 */
/* Two allocators, of questions and of answers; an answer takes the place of its question. */
#include "corpus.h"

struct question {
	__u64 id;
	__u64 ns;
};

struct answer {
	__u64 id;
	__u64 took_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct question);
	__uint(max_entries, 256);
} questions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct answer);
	__uint(max_entries, 64);
} answers SEC(".maps");

struct pair {
	struct question __kptr *question;
	struct answer __kptr *answer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

SEC("tc/ask")
int ask(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct pair *pair = bpf_map_lookup_elem(&pairs, &key);
	struct question *question;

	if (!pair)
		return TC_ACT_OK;
	question = bpf_mem_alloc(&questions, type_id_local(struct question));
	if (!question)
		return TC_ACT_SHOT;
	question->id = skb->hash;
	question->ns = bpf_ktime_get_ns();
	question = bpf_kptr_xchg(&pair->question, question);
	if (question)
		unit_free(question);
	return TC_ACT_OK;
}

SEC("tc/reply")
int reply(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct pair *pair = bpf_map_lookup_elem(&pairs, &key);
	struct question *question;
	struct answer *answer;

	if (!pair)
		return TC_ACT_OK;
	question = bpf_kptr_xchg(&pair->question, NULL);
	if (!question)
		return TC_ACT_SHOT;
	answer = bpf_mem_alloc(&answers, type_id_local(struct answer));
	if (answer) {
		answer->id = question->id;
		answer->took_ns = bpf_ktime_get_ns() - question->ns;
		answer = bpf_kptr_xchg(&pair->answer, answer);
		if (answer)
			unit_free(answer);
	}
	unit_free(question);
	return TC_ACT_OK;
}
