SEC tc
r9 = r1
r6 = *(u32 *)(r9 +76)
r7 = *(u32 *)(r9 +80)
r2 = r6
unless r2 > r7 {
} else {
r2 += -1
unless r2 > r7 {
*(u8 *)(r2 -1) = 0
}
}
r0 = 0
