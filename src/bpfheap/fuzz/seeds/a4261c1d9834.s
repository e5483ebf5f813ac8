SEC tc
r2 = 0
r1 = map[name:counts] ll
call bpf_map_lookup_elem#1
