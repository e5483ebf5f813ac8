#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* What the packet brings, and takes back. */
struct work {
	unsigned char header[14];
	char text[32];
	__u32 size;
	__u32 flags;
	__u64 word;
	__s64 result;
	char out[32];
} __attribute__((packed));

static struct work *work_of(struct xdp_md *ctx)
{
	struct work *w = (void *)(long)ctx->data;

	return (void *)(w + 1) > (void *)(long)ctx->data_end ? 0 : w;
}

/* What the verifier believes of a length that compilers would rather not mask. */
static __u64 bounded(__u64 size)
{
	asm volatile("%0 &= 31" : "+r"(size));
	return size;
}

static int number(struct xdp_md *ctx, int is_signed)
{
	struct work *w = work_of(ctx);
	char text[32];
	__u64 size;
	long value = 7;
	unsigned long other = 7;

	if (!w)
		return XDP_DROP;
	__builtin_memcpy(text, w->text, sizeof(text));
	size = bounded(w->size);
	if (!size)
		return XDP_ABORTED;
	if (is_signed)
		w->result = bpf_strtol(text, size, w->flags, &value);
	else
		w->result = bpf_strtoul(text, size, w->flags, &other);
	w->word = is_signed ? value : other;
	return XDP_PASS;
}

SEC("xdp") int with_sign(struct xdp_md *ctx) { return number(ctx, 1); }
SEC("xdp") int without(struct xdp_md *ctx) { return number(ctx, 0); }

SEC("xdp")
int compared(struct xdp_md *ctx)
{
	struct work *w = work_of(ctx);
	char text[32];
	__u64 size;

	if (!w)
		return XDP_DROP;
	__builtin_memcpy(text, w->text, sizeof(text));
	size = bounded(w->size);
	if (!size)
		return XDP_ABORTED;
	w->result = bpf_strncmp(text, size, "word");
	return XDP_PASS;
}

#define FORMATTED(name, form)                                              \
	SEC("xdp") int name(struct xdp_md *ctx)                            \
	{                                                                  \
		struct work *w = work_of(ctx);                             \
		char out[32] = {}, text[32];                               \
		__u64 words[3];                                            \
		static const char shape[] = form;                          \
									   \
		if (!w)                                                    \
			return XDP_DROP;                                   \
		__builtin_memcpy(text, w->text, sizeof(text));             \
		words[0] = w->word;                                        \
		words[1] = (long)text;                                     \
		words[2] = w->flags;                                       \
		w->result = bpf_snprintf(out, bounded(w->size), shape, words, sizeof(words)); \
		__builtin_memcpy(w->out, out, sizeof(out));                \
		return XDP_PASS;                                           \
	}

FORMATTED(plain, "%d %s %u")
FORMATTED(wide, "%016llx|%s|%x")
FORMATTED(padded, "%5d|%8s|%05u")
FORMATTED(signs, "%+lld %s% d")
FORMATTED(address, "%d %pI4 %d")
FORMATTED(address_zeros, "%d %pi4 %d")
FORMATTED(address6, "%d %pI6 %d")
FORMATTED(kernel_text, "%c %pks %c")
