SEC tc
r9 = r1
r6 = *(u32 *)(r9 +76)
r7 = *(u32 *)(r9 +80)
r8 = *(u32 *)(r9 +0)
r2 = r6
r8 &= 1
r2 -= r8
unless r7 >= r2 {
} else {
r0 = *(u64 *)(r6 +0)
}
r0 = 0
