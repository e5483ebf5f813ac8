SEC tc
r6 = 0
unless w6 == 0xffffffff {
}
