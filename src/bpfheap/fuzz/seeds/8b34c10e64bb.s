SEC tc
r6 s%= 0
