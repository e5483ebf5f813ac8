SEC tc
r2 s>>= -1
