SEC tc
r8 = *(s8 *)(r9 +24)

w6 = -w6
