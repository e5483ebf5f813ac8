"""Program types: which section names select them and what their context holds.

A file for each family of rows; what a row says is in row.py, all rows and the way to find one are
in table.py.
"""

from bpfheap.platform.programs.attach import AttachTarget, AttachType, target_of
from bpfheap.platform.programs.row import (
    ANY_TYPE,
    NUMBER,
    CtxField,
    CtxForm,
    CtxKind,
    Offer,
    PacketKind,
    ProgramType,
    Section,
)
from bpfheap.platform.programs.socket_types import (
    FLOW_ARRAYS,
    FLOW_KEYS,
    FLOW_KEYS_SIZE,
    FULL_SOCK,
    SOCK_COMMON,
    SOCKET_TYPES,
    TCP_SOCK,
    XDP_SOCK,
    SocketType,
)
from bpfheap.platform.programs.table import (
    BY_NAME,
    PROGRAM_TYPES,
    attach_target,
    attach_type,
    may_sleep,
    other_sections,
    program_type,
    section_def,
    types_with,
)

__all__ = [
    "ANY_TYPE",
    "BY_NAME",
    "FLOW_ARRAYS",
    "FLOW_KEYS",
    "FLOW_KEYS_SIZE",
    "FULL_SOCK",
    "NUMBER",
    "PROGRAM_TYPES",
    "SOCKET_TYPES",
    "SOCK_COMMON",
    "TCP_SOCK",
    "XDP_SOCK",
    "AttachTarget",
    "AttachType",
    "CtxField",
    "CtxForm",
    "CtxKind",
    "Offer",
    "PacketKind",
    "ProgramType",
    "Section",
    "SocketType",
    "attach_target",
    "attach_type",
    "may_sleep",
    "other_sections",
    "program_type",
    "section_def",
    "target_of",
    "types_with",
]
