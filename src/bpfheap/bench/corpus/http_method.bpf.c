/* SPDX-License-Identifier: Apache-2.0 */
/* Which HTTP method does a request start with? Comparisons of a few words. */
#include "corpus.h"

struct request {
	__u32 len;
	char data[128];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct request);
} requests SEC(".maps");

#define STARTS_WITH(r, text) (__builtin_memcmp((r)->data, text, sizeof(text) - 1) == 0)

enum method { NONE, GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH };

SEC("syscall")
int http_method(void *ctx)
{
	__u32 key = 0;
	struct request *r = bpf_map_lookup_elem(&requests, &key);

	if (!r || r->len < 16)
		return NONE;
	if (STARTS_WITH(r, "GET "))
		return GET;
	if (STARTS_WITH(r, "HEAD "))
		return HEAD;
	if (STARTS_WITH(r, "POST "))
		return POST;
	if (STARTS_WITH(r, "PUT "))
		return PUT;
	if (STARTS_WITH(r, "DELETE "))
		return DELETE;
	if (STARTS_WITH(r, "CONNECT "))
		return CONNECT;
	if (STARTS_WITH(r, "OPTIONS "))
		return OPTIONS;
	if (STARTS_WITH(r, "TRACE "))
		return TRACE;
	if (STARTS_WITH(r, "PATCH "))
		return PATCH;
	return NONE;
}
