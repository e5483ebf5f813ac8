SEC tc
r6 = 1
loop {
leave if r6 == 0x0
} again
