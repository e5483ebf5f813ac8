"""Which function is called when a program throws.

Source: bpf_find_exception_callback_insn_off in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.btf import Func, exception_callbacks
from bpfheap.spec import ProgramSpec
from bpfheap.verifier.reject import Reject

#: BTF_FUNC_GLOBAL
_GLOBAL = 1


def exception_callback(spec: ProgramSpec) -> int:
    """The slot at which it starts, 0 for none: what is thrown is the program's result then. Raises
    Reject if the function is none that may be called so."""
    btf = spec.btf
    names = exception_callbacks(btf, spec.subprogs[0].func_id) if spec.subprogs else ()
    if not names:
        return 0
    if len(names) > 1:
        raise Reject(
            "multiple exception callback tags for main subprog",
            detail=f"they name {' and '.join(names)}",
            insn=0,
            hint="leave one __exception_cb()",
        )
    name = names[0]
    found = btf.find(name, Func)
    if found is None:
        raise Reject(
            f"exception callback '{name}' could not be found in BTF",
            insn=0,
            hint="define the function in this file",
        )
    func = btf[found]
    if not isinstance(func, Func) or func.linkage != _GLOBAL:
        raise Reject(
            f"exception callback '{name}' must have global linkage",
            insn=0,
            hint="neither static nor __hidden: it is verified apart from the program",
        )
    start = next((sub.start for sub in spec.subprogs if sub.func_id == found), None)
    if not start:
        raise Reject(
            "exception callback type id not found in func_info"
            if start is None
            else "invalid exception callback insn_off in func_info: 0",
            detail=f"{name}() is {'the program itself' if start == 0 else 'no function of it'}",
            insn=0,
            hint="name another function than the program itself, defined in this file",
        )
    return start
