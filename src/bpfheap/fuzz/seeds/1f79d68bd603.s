SEC tc
r7 = 0
r7 *= 0
