SEC tc
call bpf_spin_unlock#94
