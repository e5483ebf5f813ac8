SEC tc
*(u64 *)(r10 -24) = r6
r2 = func f1
r2 = func f1
f1:
f2:
