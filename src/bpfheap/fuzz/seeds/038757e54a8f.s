SEC tc
r1 = 0
r2 = 0
call bpf_loop#181
f1:
f2:
