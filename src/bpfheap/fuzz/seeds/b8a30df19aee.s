SEC tc
r8 = *(u64 *)(r1 +0)
