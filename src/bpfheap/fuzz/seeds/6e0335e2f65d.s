SEC tc
r8 = 0
r7 = 0
unless r8 s>= r7 {
}
