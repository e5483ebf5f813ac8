SEC tc
r6 = 0

w2 = (s8)w6
f1:
f2:
g1:
