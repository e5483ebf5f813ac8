SEC tc
r9 = r1
r8 = *(u32 *)(r9 +0)
r2 = 0
unless w8 > 0x0 {
} else {
r2 -= r8
}
r0 = 0
