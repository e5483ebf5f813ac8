SEC tc
r6 = 0
r6 = be32 r6
