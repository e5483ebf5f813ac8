"""Structs of the kernel whose objects programs may own by a kptr.

Sources: rcu_protected_types in kernel/bpf/verifier.c, and all that calls
register_btf_id_dtor_kfuncs, of Linux 6.18.
"""

from __future__ import annotations

from typing import NamedTuple


class Owned(NamedTuple):
    """A struct of the kernel that `__kptr` may own.

    `destructor`: the function that lets go of one. A kernel that was built without the function
    cannot own such objects.
    `rcu`: does an object stay until the RCU section ends in which it was seen?
    """

    struct: str
    destructor: str
    rcu: bool = True


OWNED = {
    row.struct: row
    for row in (
        Owned("task_struct", "bpf_task_release_dtor"),
        Owned("cgroup", "bpf_cgroup_release_dtor"),
        Owned("bpf_cpumask", "bpf_cpumask_release_dtor"),
        Owned("bpf_crypto_ctx", "bpf_crypto_ctx_release_dtor"),
        Owned("sk_buff", "bpf_kfree_skb", rcu=False),
        Owned("prog_test_ref_kfunc", "bpf_kfunc_call_test_release_dtor"),
        Owned("prog_test_member", "bpf_kfunc_call_memb_release_dtor", rcu=False),
    )
}
