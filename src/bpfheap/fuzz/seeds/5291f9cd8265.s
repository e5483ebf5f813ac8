SEC tc
r8 = *(u32 *)(r1 +0)
unless r8 & 0x1 {
}
