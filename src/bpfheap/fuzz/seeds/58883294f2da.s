SEC tc
r2 = 0
unless r2 > r7 {
}
