"""Kfuncs of the kernel that no table here has: their prototypes say what their arguments are, and
not how they are registered (KF_ACQUIRE and others). Where that decides only how strict Linux is,
they are taken as if it were as strict as it can be.
"""

from __future__ import annotations

from bpfheap.btf import FuncProto, Struct, Union
from bpfheap.btf.types import name_of
from bpfheap.platform.kfuncs import named_for
from bpfheap.verifier.state.kernel import Prototype

_ITERATOR = "bpf_iter_"


def why_not(name: str, prototype: Prototype) -> str | None:
    """Why there is no guess at a kfunc that is safe, None if there is one."""
    said = named_for(name)
    if said is not None:
        return f"{said}, which its prototype does not tell"
    btf = prototype.btf
    for parameter in prototype.parameters:
        if not parameter.pointer:
            continue
        target = btf[parameter.target]
        if isinstance(target, FuncProto):
            return f"it calls back, and nothing tells what {parameter.name} is called with"
        if isinstance(target, Struct) and name_of(target).startswith(_ITERATOR):
            return "it takes an iterator, and nothing tells what becomes of that"
        if parameter.name.endswith("__uninit"):
            return f"it sets {parameter.name} up, and nothing tells as what"
    returns = prototype.returns
    if returns.pointer and isinstance(btf[returns.target], Struct | Union):
        # KF_ACQUIRE is for such alone (check_kfunc_call).
        owned = btf.c_name(returns.target)
        return (
            f"what it gives, a {owned}, may have to be released, which its prototype does not tell"
        )
    return None
