/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed may be anything: a string is read without faulting, wherever it is said to be. */
#include "oracle.h"

#define PRINTS(name, form, ...)                                           \
	SEC("tc") __accept int name(struct __sk_buff *ctx)                \
	{                                                                 \
		static const char text[] = form;                          \
                                                                          \
		return bpf_trace_printk(text, sizeof(text), ##__VA_ARGS__) & 1; \
	}

PRINTS(string_at_null, "<%s>", 0L)
PRINTS(string_at_a_number, "<%s>", 0xdead0000L)
PRINTS(string_at_a_small_number, "%d %llx <%s>", 1, 2, 8L)
PRINTS(string_at_a_negative_number, "<%s>", -8L)
PRINTS(string_at_no_address, "<%s>", 1L << 63)
PRINTS(string_at_a_random_number, "<%s>", (long)bpf_get_prandom_u32() | 1L << 62)
PRINTS(three_strings_at_numbers, "%s %s %s", 1L, 4096L, 0xfffffffffffL)
PRINTS(string_that_is_there, "<%s>", "abc")
PRINTS(more_than_there_is, "%d %d %d %d", 1, 2, 3)
PRINTS(unknown_conversion, "%q", 1)

SEC("tc") __accept
int string_on_the_stack(struct __sk_buff *ctx)
{
	static const char text[] = "<%s>";
	volatile __u64 word = 0x0000656667686970;

	return bpf_trace_printk(text, sizeof(text), &word) & 1;
}

SEC("tc") __accept
int words_of_numbers(struct __sk_buff *ctx)
{
	static const char text[] = "%s %s";
	volatile __u64 words[2] = { 16, 0x1000 };

	return bpf_trace_vprintk(text, sizeof(text), (void *)words, sizeof(words)) & 1;
}

SEC("tc") __accept
int size_that_is_no_words(struct __sk_buff *ctx)
{
	static const char text[] = "%s %s %d";
	volatile __u64 words[2] = { 16, 0x1000 };

	return bpf_trace_vprintk(text, sizeof(text), (void *)words, 12) & 1;
}

SEC("tc") __accept
int format_without_an_end(struct __sk_buff *ctx)
{
	volatile __u64 text = 0x7325732573257325;

	return bpf_trace_printk((void *)&text, sizeof(text), 1L, 2L, 3L) & 1;
}

SEC("tc") __accept
int no_words(struct __sk_buff *ctx)
{
	static const char text[] = "x";

	return bpf_trace_vprintk(text, sizeof(text), NULL, 0) & 1;
}

SEC("tc") __reject("type=scalar expected=fp")
int words_at_null(struct __sk_buff *ctx)
{
	static const char text[] = "%d";

	return bpf_trace_vprintk(text, sizeof(text), NULL, 8) & 1;
}

SEC("tc") __reject("type=scalar expected=fp")
int format_at_a_number(struct __sk_buff *ctx)
{
	return bpf_trace_printk((void *)4096, 8) & 1;
}
