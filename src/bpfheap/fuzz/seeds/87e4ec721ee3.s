SEC tc
r9 = r1
r6 = *(u32 *)(r9 +76)
r8 = *(s16 *)(r9 +0)
unless r8 == 0x0 {
}
r3 = r6
r0 = 0
