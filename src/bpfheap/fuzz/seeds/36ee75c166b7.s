SEC tc
r1 = map[name:numbers] ll
r2 = func f2
r3 = 0
r4 = 0
call bpf_for_each_map_elem#164
f1:
f2:
