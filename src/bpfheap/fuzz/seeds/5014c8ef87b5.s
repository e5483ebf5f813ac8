SEC tc
r9 = r1
r6 = *(u32 *)(r9 +76)
r7 = *(u32 *)(r9 +80)
r8 = *(u32 *)(r9 +0)
r2 = r6
unless w8 > 0x0 {
r2 += 1
}
unless r2 > r7 {
} else {
r3 = r2
unless r3 > r7 {
}
}
r0 = 0
