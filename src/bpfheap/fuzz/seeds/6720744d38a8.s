SEC tc
r6 = 0
r6 >>= 0
