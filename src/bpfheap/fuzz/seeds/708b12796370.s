SEC tc
r6 = 0
w6 |= w7
