SEC tc
call bpf_get_prandom_u32#7
r6 = r0
*(u64 *)(r10 -24) = r6
*(u64 *)(r10 -32) = r6
*(u64 *)(r10 -40) = r6
*(u64 *)(r10 -48) = r6
r7 = r6
unless r6 == r7 {
}
