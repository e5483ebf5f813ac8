SEC tc
loop {
r1 = 0
*(u32 *)(r10 -24) = r1
} while r1 < 0x1
