SEC tc
call f1
f1:
r0 = 1
unless r1 > 0x0 {
}
f2:
g1:
