SEC tc
r2 = r10
r2 += -4
r1 = map[name:numbers] ll
call bpf_map_lookup_elem#1
unless r0 == 0x0 {
r9 = r0
r6 = *(u8 *)(r9 +16)
r1 = r6
call f1
r1 = r6
call g1
r0 = r9
r0 += r6
}
f1:
r0 = 0
loop {
r0 += 1
r1 += -1
} while r1 s> 0x0
f2:
g1:
