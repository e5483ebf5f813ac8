SEC tc
r2 = r10
r2 *= 0
f1:
f2:
