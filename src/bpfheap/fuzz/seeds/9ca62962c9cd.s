SEC tc
r1 += r10
*(u64 *)(r10 -8) = r1
