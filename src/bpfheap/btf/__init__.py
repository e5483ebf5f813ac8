"""BTF: types of BPF programs, with their layout, names and tags."""

from bpfheap.btf.core import CoreKind, CoreRelocation, CoreResult, CoreTarget, core_value
from bpfheap.btf.cprint import declare, dump_c, print_c
from bpfheap.btf.fields import (
    KptrField,
    KptrKind,
    PlainPointer,
    incomplete,
    kernel_target,
    kptr_fields,
    numbers_alone,
    plain_pointers,
    user_pointers,
)
from bpfheap.btf.identity import same_type, why_different
from bpfheap.btf.kernel_header import kernel_header
from bpfheap.btf.lazy import BtfIndex, LazyBtf, essential_name
from bpfheap.btf.members import FoundMember, find_member, members, place_of
from bpfheap.btf.special import (
    NODE_OF,
    Contains,
    SpecialField,
    SpecialKind,
    exception_callbacks,
    special_fields,
)
from bpfheap.btf.table import Btf, BtfBuilder, BtfTypes
from bpfheap.btf.types import (
    KINDS,
    Array,
    BtfType,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    Param,
    Ptr,
    Restrict,
    SecVar,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    Volatile,
)  # fmt: skip
from bpfheap.btf.walk import Leads, Place, contains, pointee, walk

__all__ = [
    "KINDS", "NODE_OF", "Array", "Btf", "BtfBuilder", "BtfIndex", "BtfType", "BtfTypes", "Const",
    "Contains", "CoreKind", "CoreRelocation", "CoreResult", "CoreTarget", "Datasec", "DeclTag",
    "Enum", "Enum64", "Float", "FoundMember", "Func", "FuncProto", "Fwd", "Int", "KptrField",
    "KptrKind", "LazyBtf", "Leads", "Member", "Param", "Place", "PlainPointer", "Ptr", "Restrict",
    "SecVar", "SpecialField", "SpecialKind", "Struct", "TypeTag", "Typedef", "Union", "Var", "Void",
    "Volatile", "contains", "core_value", "declare", "dump_c", "essential_name",
    "exception_callbacks", "find_member", "incomplete", "kernel_header", "kernel_target",
    "kptr_fields", "members", "numbers_alone", "place_of", "plain_pointers", "pointee", "print_c",
    "same_type", "special_fields", "user_pointers", "walk", "why_different",
]  # fmt: skip
