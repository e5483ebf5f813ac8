SEC tc
call bpf_kptr_xchg#194
