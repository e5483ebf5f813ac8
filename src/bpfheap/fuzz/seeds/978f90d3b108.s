SEC tc
r8 = 1
unless r8 & 0x1 {
}
