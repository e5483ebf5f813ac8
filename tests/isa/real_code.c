/* The programs whose machine code is in real_code.hex, one line for each section:
 *   clang -target bpf -mcpu=v4 -O2 -c real_code.c, then the bytes of each section of code, with
 * the two calls of externs made kfunc calls (85 20, imm 0). */
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
#define SEC(name) __attribute__((section(name), used))

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static void *(*kptr_xchg)(void *field, void *object) = (void *)194;
static long (*loop)(u32 count, void *callback, void *ctx, u64 flags) = (void *)181;

struct {
    int (*type)[1];
    int (*max_entries)[16];
} hash SEC(".maps");
u64 counters[8];
extern void *bpf_mem_alloc(void *map, u32 type) __attribute__((section(".ksyms")));
extern void unit_free(void *object) __attribute__((section(".ksyms")));

struct node {
    struct node *next;
    long value;
    short small;
    signed char tiny;
};

static __attribute__((noinline)) long mix(long a, int b, short c, signed char d)
{
    long x = a / b + (a % (c | 1));
    x ^= __builtin_bswap64(x) + __builtin_bswap32((u32)x) + __builtin_bswap16((u16)x);
    return (x >> 3) * d - (int)x / (b | 1);
}

static int step(u32 index, void *ctx)
{
    struct node *n = ctx;
    n->value += mix(index, n->small, n->small, n->tiny);
    return n->value < 0;
}

SEC("tc/move") int move_node(void *ctx)
{
    u32 key = 7;
    struct node **slot = lookup(&hash, &key);
    struct node *n;
    if (!slot)
        return 1;
    n = bpf_mem_alloc(&hash, 3);
    if (!n)
        return 2;
    n->value = -1;
    n->small = 300;
    n->tiny = -3;
    n = kptr_xchg(slot, n);
    if (n)
        unit_free(n);
    return 0;
}

SEC("tc/count") int count_bytes(u8 *data, u32 length)
{
    struct node n = {0, 1, -2, 3};
    u32 i;
    u64 sum = 0;
    for (i = 0; i < length; i++) {
        sum = sum * 31 + data[i];
        if ((signed char)data[i] < 0)
            sum ^= ~0ULL << (i & 63);
    }
    __sync_fetch_and_add(&counters[sum & 7], 1);
    sum += __sync_fetch_and_or(&counters[1], sum);
    sum += __sync_lock_test_and_set(&counters[2], sum);
    sum += __sync_val_compare_and_swap(&counters[3], sum, length);
    __sync_fetch_and_xor((u32 *)&counters[4], (u32)sum);
    loop(length, step, &n, 0);
    n.value += 0x1122334455667788ULL;
    update(&hash, &i, &n, 0);
    return (int)sum + (int)n.value;
}
