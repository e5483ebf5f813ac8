SEC tc
r3 = r6
