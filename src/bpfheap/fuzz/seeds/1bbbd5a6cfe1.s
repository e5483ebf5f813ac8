SEC tc
r9 = r1
r6 = *(u32 *)(r9 +76)
r7 = *(u32 *)(r9 +80)
r8 = *(u32 *)(r9 +0)
unless w8 s< 0x0 {
r7 = 0
}
r2 = r6
unless r2 > r7 {
} else {
r3 = r2
}
w0 = 0
