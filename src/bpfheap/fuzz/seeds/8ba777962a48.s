SEC tc
r8 = 0
w8 >>= 0
