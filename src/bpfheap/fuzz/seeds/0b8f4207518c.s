SEC tc
unless r0 == 0x0 {
}
