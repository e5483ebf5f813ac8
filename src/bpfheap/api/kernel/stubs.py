"""Python functions in place of helpers and kfuncs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bpfheap.api.arguments import shown
from bpfheap.api.kernel.kernel import Kernel, prototype_of
from bpfheap.api.kernel.objects import KernelObject, address_of
from bpfheap.api.kernel.types import KernelType, is_text, pointed_at
from bpfheap.btf import Func, FuncProto, Int, Ptr, Void
from bpfheap.errors import BtfError, UsageError
from bpfheap.platform.calls import CALL_BY_NAME, FIXED_SIZES, Arg, Call, Ret
from bpfheap.runtime.world import Caller, Leads, Space, Stub, Word

_U64 = (1 << 64) - 1
_U32 = (1 << 32) - 1
_SIZES = frozenset({Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO})
_NOTHING = frozenset({Arg.UNUSED})
_TEXTS = frozenset({Arg.CONST_STRING, Arg.FORMAT})
_MAPS = frozenset({Arg.MAP, Arg.ALLOCATOR})
#: Memory that is as long as the map says.
_OF_MAPS = {
    Arg.MAP_KEY: "key_size", Arg.MAP_VALUE: "value_size", Arg.MAP_VALUE_OR_NULL: "value_size",
    Arg.UNINIT_VALUE: "value_size",
}  # fmt: skip


#: Gives a map as users hold it.
Maps = Callable[[int], Any]


class StubMemory:
    """Memory that a program handed to a call: `bytes(memory)`, `len(memory)`, `memory[0:4]`;
    `memory.write(data)` and `memory[0:4] = data` write back."""

    __slots__ = ("_at", "_call", "_size")

    def __init__(self, call: Caller, at: Word, size: int) -> None:
        self._call = call
        self._at = at
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return self._call.read(self._at, self._size)

    def __getitem__(self, where: int | slice) -> Any:
        return bytes(self)[where]

    def __setitem__(self, where: int | slice, value: Any) -> None:
        raw = bytearray(bytes(self))
        raw[where] = value
        if len(raw) != self._size:
            raise UsageError(f"the memory has {self._size} bytes, and takes no others")
        self._call.write(self._at, bytes(raw))

    def write(self, data: bytes, offset: int = 0) -> None:
        """Raises UsageError for more than there is."""
        if offset < 0 or offset + len(data) > self._size:
            raise UsageError(f"the memory has {self._size} bytes, not {offset + len(data)}")
        whole = bytearray(bytes(self))
        whole[offset : offset + len(data)] = data
        self._call.write(self._at, bytes(whole))

    def __eq__(self, other: object) -> bool:
        return bytes(self) == (bytes(other) if isinstance(other, StubMemory) else other)

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __repr__(self) -> str:
        return f"<memory of {self._size} bytes>"


def stub_of(kernel: Kernel, name: str, function: Callable[..., Any], maps: Maps) -> Stub:
    """What a machine calls for a typed Python function. Raises UsageError for a name that is no
    helper's and no kfunc's."""
    row = CALL_BY_NAME.get(name)
    if row is not None and Arg.PROTOTYPE not in row.args and row.ret is not Ret.PROTOTYPE:
        return _of_row(kernel, row, function, maps)
    found = _prototype(kernel, name)
    if found is None:
        raise UsageError(
            f"there is no helper and no kfunc {name}",
            hint="kfuncs are those of the kernel's BTF",
        )
    return _of_prototype(kernel, found, function)


def _of_row(kernel: Kernel, row: Call, function: Callable[..., Any], maps: Maps) -> Stub:
    def perform(call: Caller, words: Sequence[Word]) -> Word | None:
        given: list[Any] = []
        for i, arg in enumerate(row.args):
            if arg in _NOTHING:
                continue
            following = row.args[i + 1] if i + 1 < len(row.args) else None
            size = call.number(words[i + 1]) & _U32 if following in _SIZES else None
            if arg in _OF_MAPS:
                of = next((one for one in given if hasattr(one, "spec")), None)
                size = None if of is None else getattr(of.spec, _OF_MAPS[arg])
            given.append(_shown(kernel, call, arg, words[i], size, maps))
        return _result(kernel, call, function(*given))

    return perform


def _shown(kernel: Kernel, call: Caller, arg: Arg, word: Word, size: int | None, maps: Maps) -> Any:
    """One argument, by what the row says that it is."""
    size = FIXED_SIZES.get(arg, size)
    if arg in _MAPS:
        return maps(call.map_id(word))
    if arg in _TEXTS:
        return StubText(call, word)
    if size is not None and arg not in _SIZES:
        return None if isinstance(word, int) and not word else StubMemory(call, word, size)
    return _place(kernel, call, word)


def _place(kernel: Kernel, call: Caller, word: Word, of: KernelType | None = None) -> Any:
    """An object if the word leads to one, else a number."""
    leads = call.block(word)
    if leads is None:
        return _signed(call.number(word)) if of is None or isinstance(word, int) else word
    known = kernel.types_of.get(leads.block) if of is None or leads.offset == 0 else of
    known = known or of
    return leads if known is None else KernelObject(kernel, known, leads)


class StubText(str):
    """A text that a program handed to a call."""

    def __new__(cls, call: Caller, at: Word) -> StubText:
        raw = call.text(at, 4096, Space.EITHER) or b""
        return super().__new__(cls, raw.decode("utf-8", "replace"))


def _prototype(kernel: Kernel, name: str) -> tuple[Any, FuncProto] | None:
    """As the kernel has it, else as a program declares it."""
    found = prototype_of(kernel, name)
    if found is not None:
        return found
    for loaded in kernel.loaded:
        for type_id in range(1, len(loaded)):
            func = loaded[type_id]
            if isinstance(func, Func) and func.name == name:
                proto = loaded[func.type]
                if isinstance(proto, FuncProto):
                    return loaded, proto
    return None


def _of_prototype(
    kernel: Kernel, found: tuple[Any, FuncProto], function: Callable[..., Any]
) -> Stub:
    btf, proto = found
    params = [(param.name, param.type) for param in proto.params]

    def perform(call: Caller, words: Sequence[Word]) -> Word | None:
        given: list[Any] = []
        for i, (param, type_id) in enumerate(params[:5]):
            kind = btf[btf.resolve(type_id)]
            sized = f"{params[i + 1][0]}" if i + 1 < len(params) else ""
            if isinstance(kind, Int):
                given.append(_sized(call.number(words[i]), kind))
            elif isinstance(kind, Ptr) and sized.endswith(("__sz", "__szk")):
                size = call.number(words[i + 1]) & _U32
                null = isinstance(words[i], int) and not words[i]
                given.append(None if null else StubMemory(call, words[i], size))
            elif isinstance(kind, Ptr):
                given.append(_pointer(kernel, call, btf, type_id, words[i], param))
            else:
                given.append(_signed(call.number(words[i])))
        return _result(kernel, call, function(*given))

    return perform


def _pointer(kernel: Kernel, call: Caller, btf: Any, type_id: int, word: Word, param: str) -> Any:
    if isinstance(word, int) and not word:
        return None
    target = pointed_at(btf, type_id)
    if target is None or isinstance(target.kind, Void):
        return _place(kernel, call, word)
    if is_text(btf, target.type_id) and param.endswith("__str"):
        return StubText(call, word)
    leads = call.block(word)
    if leads is not None and target.is_struct:
        return KernelObject(kernel, target, leads)
    try:
        size = target.size
    except BtfError:
        size = 0
    return StubMemory(call, word, size) if size else _place(kernel, call, word)


def _sized(number: int, kind: Int) -> int:
    number &= (1 << 8 * kind.size) - 1
    if kind.signed and number >> 8 * kind.size - 1:
        number -= 1 << 8 * kind.size
    return number


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _result(kernel: Kernel, call: Caller, result: Any) -> Word | None:
    if result is None:
        return 0
    if isinstance(result, KernelObject):
        kernel.check_mine(result)
        return call.pointer(address_of(result))
    if isinstance(result, Leads):
        return call.pointer(result)
    if isinstance(result, int):
        return int(result) & _U64
    raise UsageError(
        f"the stub of {call.name} gives {shown(result)}",
        hint="a call gives a number, an object, or None for 0",
    )
