SEC tc
r9 = r1
r7 = *(u32 *)(r9 +80)
r3 = r1
r3 += 1
unless r3 > r7 {
r0 = *(u8 *)(r3 +0)
}
