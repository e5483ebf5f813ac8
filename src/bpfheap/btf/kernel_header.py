"""vmlinux.h: all types of a kernel as one header, as bpftool writes it."""

from __future__ import annotations

from bpfheap.btf.cprint import Dump
from bpfheap.btf.table import Btf
from bpfheap.btf.types import DeclTag, Func

#: The tags of functions that programs may call, and of those that keep most registers
#: (pahole's --btf_features=decl_tag_kfuncs).
_KFUNC = "bpf_kfunc"
_FASTCALL = "bpf_fastcall"

#: Members are found by their names when a program is loaded, not by their place in this kernel.
_BEGIN = """\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

"""
_FUNCTIONS = """
#ifndef BPF_NO_KFUNC_PROTOTYPES
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __bpf_fastcall
#if __has_attribute(bpf_fastcall)
#define __bpf_fastcall __attribute__((bpf_fastcall))
#else
#define __bpf_fastcall
#endif
#endif

"""
_END = """
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
"""


def kernel_header(btf: Btf) -> str:
    """The header. Raises BtfError for types that no compiler makes."""
    dump = Dump(btf, attributes=True)
    prototypes = _prototypes(btf, dump)
    functions = f"{_FUNCTIONS}{prototypes}#endif\n" if prototypes else ""
    return f"{_BEGIN}{dump.types}{functions}{_END}"


def _prototypes(btf: Btf, dump: Dump) -> str:
    """Of all kfuncs, by name."""
    tags: dict[int, set[str]] = {}
    for kind in btf.types:
        if isinstance(kind, DeclTag) and kind.component == -1:
            tags.setdefault(kind.type, set()).add(kind.name)
    found: dict[str, tuple[int, bool]] = {}
    for type_id, names in tags.items():
        kind = btf[type_id]
        if isinstance(kind, Func) and _KFUNC in names:
            found.setdefault(kind.name, (type_id, _FASTCALL in names))
    lines = []
    for _, (type_id, fast) in sorted(found.items()):
        text = dump.prototype(type_id)
        if text is not None:
            lines.append(f"extern {text} __weak __ksym{' __bpf_fastcall' if fast else ''};\n")
    return "".join(lines)
