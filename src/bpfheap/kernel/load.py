"""A kernel as an oracle: load a program and see; run it by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import ctypes
import errno
import time
from collections import OrderedDict
from typing import NamedTuple

from bpfheap.errors import KernelUnavailable, UsageError
from bpfheap.isa import SLOT_SIZE
from bpfheap.kernel.bpf import (
    Attr,
    Buffer,
    Closing,
    Command,
    Descriptor,
    LogLevel,
    Transport,
    bytes_of,
    errno_name,
    object_name,
    refused,
)
from bpfheap.kernel.live import Live
from bpfheap.kernel.log import KernelVerdict, insns_processed, telling_line
from bpfheap.kernel.maps import PROG_ARRAY, update
from bpfheap.kernel.objects import KernelObject
from bpfheap.kernel.program import (
    FUNC_INFO,
    LINE_INFO,
    attached_to,
    expected_attach,
    func_info,
    line_info,
    linked,
    section_of,
)
from bpfheap.kernel.rewrite import without_allocators
from bpfheap.spec import ObjectSpec, ProgramSpec

#: The largest log that the kernel takes is 1 GiB; a longer one than this keeps its end.
_LOG_SIZE = 16 << 20
#: Objects whose BTF and maps stay loaded.
_KEPT = 16
#: Failures that say nothing about the program.
_OF_THE_MACHINE = frozenset(
    {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR, errno.ENOSYS}
)
#: How much longer a program can make a packet.
_GROWTH = 1 << 14
#: tc and xdp programs see a packet, which has a header at least.
_EMPTY_PACKET = bytes(64)


class KernelRun(NamedTuple):
    """`ns` is the mean over the runs: the kernel's own figure for programs that see packets, else
    the wall time of the calls."""

    retval: int
    data_out: bytes
    ns: int


class Kernel(Closing):
    """A kernel, the live one unless another transport leads elsewhere. Holds the descriptors of the
    objects that it met last; a context manager, which leaves the transport open.

    With `rewrite`, allocator maps are done away with first: bpf_mem_alloc and unit_free become
    bpf_obj_new and bpf_obj_drop (see `rewrite.without_allocators`).
    """

    def __init__(self, transport: Transport | None = None, *, rewrite: bool = False) -> None:
        """Raises KernelUnavailable where bpf(2) is not allowed."""
        self.transport = Live() if transport is None else transport
        self.rewrite = rewrite
        self._loaded: OrderedDict[int, tuple[ObjectSpec, KernelObject]] = OrderedDict()
        self._log: Buffer | None = None

    def close(self) -> None:
        """Close all descriptors. The next call loads anew."""
        while self._loaded:
            self._loaded.popitem()[1][1].close()

    # -- verdicts

    def verify(
        self, obj: ObjectSpec, program: ProgramSpec, *, log: bool = False, stats: bool = False
    ) -> KernelVerdict:
        """Load the program, without a log, and let go of it.

        With `log`, a second load writes one, of the way to the rejection or of all ways; with
        `stats`, one that has only the error and the numbers, which costs less. `message` and
        `insns_processed` come from either.

        Raises KernelUnsupported if the program needs what the kernel does not have,
        KernelUndecided if it needs a map whose size the loader alone knows, KernelError if
        the kernel refuses not the program but its BTF or a map, UsageError if it names no map or
        no program type.
        """
        loaded, program = self._object(obj, program)
        attr = _Load(loaded, program)
        result, ns = attr.timed(LogLevel.NONE, None)
        Descriptor(self.transport, result).close()
        number = max(-result, 0)
        _not_of_the_machine(program, result)
        if not log and not stats:
            return KernelVerdict(result >= 0, number, ns=ns)
        level = LogLevel.STATS
        if log:
            level |= LogLevel.PATHS if result >= 0 else LogLevel.WALK
        # That a log is too long for its buffer makes this load fail, and says nothing either.
        text, second = self._second_load(attr, level)
        _not_of_the_machine(program, second)
        said = "" if result >= 0 else telling_line(text) or errno_name(number)
        return KernelVerdict(result >= 0, number, text, insns_processed(text), ns, said)

    def _second_load(self, attr: _Load, level: LogLevel) -> tuple[str, int]:
        """The log, and what a load gives: it may fail where the first one did not."""
        if self._log is None:
            self._log = ctypes.create_string_buffer(_LOG_SIZE)
        self._log[0] = b"\0"
        result, _ = attr.timed(level, self._log)
        Descriptor(self.transport, result).close()
        return self._log.value.decode(errors="replace"), result

    def _object(self, obj: ObjectSpec, program: ProgramSpec) -> tuple[KernelObject, ProgramSpec]:
        """What is loaded of the object, or will be; and the program in that object."""
        key = id(obj)
        if key not in self._loaded:
            form = without_allocators(obj) if self.rewrite else obj
            self._loaded[key] = (obj, KernelObject(self.transport, form))
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)[1][1].close()
        self._loaded.move_to_end(key)
        loaded = self._loaded[key][1]
        if self.rewrite:
            found = loaded.obj.programs.get(program.name)
            if found is None or obj.programs.get(program.name) is not program:
                raise UsageError(f"the object has no program {program.name}", file=obj.file)
            program = found
        return loaded, program

    # -- runs

    def test_run(
        self,
        obj: ObjectSpec,
        program: ProgramSpec,
        data: bytes = b"",
        ctx: bytes = b"",
        repeat: int = 1,
    ) -> KernelRun:
        """Run a program on a packet, or with a context, as its type has it. It is loaded once, its
        maps keep their contents from run to run.

        Raises what `verify` raises; KernelError, with the log, for a program that the kernel
        rejects, and for a type that it does not run.
        """
        loaded, program = self._object(obj, program)
        with_packet = section_of(program).type in _WITH_PACKET
        run = self._running(loaded, program)
        if not with_packet:
            started = time.perf_counter_ns()
            retval = 0
            for _ in range(max(repeat, 1)):
                retval, _, _ = _test_run(program, run, b"", ctx, 0)
            return KernelRun(retval, b"", (time.perf_counter_ns() - started) // max(repeat, 1))
        return KernelRun(*_test_run(program, run, data or _EMPTY_PACKET, ctx, max(repeat, 1)))

    def _running(self, loaded: KernelObject, program: ProgramSpec) -> Descriptor:
        found = loaded.program(program)
        if found is not None:
            return found
        attr = _Load(loaded, program)
        result, _ = attr.timed(LogLevel.NONE, None)
        if result < 0:
            log, _ = self._second_load(attr, LogLevel.STATS | LogLevel.WALK)
            raise refused(
                f"the kernel rejects {program.name}: {telling_line(log)}", -result, log=log
            )
        made = Descriptor(self.transport, result)
        loaded.keep(program, made)
        self._fill_program_arrays(loaded, program)
        return made

    def _fill_program_arrays(self, loaded: KernelObject, program: ProgramSpec) -> None:
        """What the program may call through arrays of programs has to be there."""
        for name in {ref.name for ref in program.refs.values()}:
            spec = loaded.obj.maps.get(name)
            if spec is None or spec.type != PROG_ARRAY:
                continue
            for slot, callee in enumerate(spec.inner_names):
                target = loaded.obj.programs.get(callee) if callee is not None else None
                if target is not None:
                    running = self._running(loaded, target)
                    key, value = (n.to_bytes(4, "little") for n in (slot, running.number))
                    update(loaded.map(name, section_of(program)), key, value)


def _not_of_the_machine(program: ProgramSpec, result: int) -> None:
    """Raises KernelUnavailable for a failure that says nothing of the program."""
    if -result in _OF_THE_MACHINE:
        name = errno_name(-result)
        raise KernelUnavailable(
            f"program {program.name} could not be loaded: {name}", errno_name=name
        )


#: socket_filter, sched_cls, sched_act, xdp, cgroup_skb, lwt_in, lwt_out, lwt_xmit, lwt_seg6local,
#: flow_dissector.
_WITH_PACKET = frozenset({1, 3, 4, 6, 8, 10, 11, 12, 19, 22})


class _Load:
    """What one program's loads have in common."""

    def __init__(self, loaded: KernelObject, program: ProgramSpec) -> None:
        section = section_of(program)
        self._kernel = loaded.kernel
        code = linked(program, loaded.kernel, lambda name: loaded.map(name, section))
        btf = loaded.btf(program.btf)
        functions = func_info(program) if btf is not None else b""
        lines = line_info(program, btf.strings) if btf is not None and functions else b""
        self._fields: dict[str, int | bytes | Buffer] = {
            "prog_type": section.type,
            "insn_cnt": len(code) // SLOT_SIZE,
            "insns": bytes_of(code),
            "license": bytes_of(program.license.encode(errors="replace") + b"\0"),
            "prog_flags": section.flags,
            "prog_name": object_name(program.name),
            "expected_attach_type": expected_attach(program, loaded.kernel),
            "attach_btf_id": attached_to(program, loaded.kernel),
            "prog_btf_fd": btf.descriptor.number if btf is not None else 0,
        }
        if functions:
            self._fields |= {
                "func_info_rec_size": FUNC_INFO.size,
                "func_info": bytes_of(functions),
                "func_info_cnt": len(functions) // FUNC_INFO.size,
            }
        if lines:
            self._fields |= {
                "line_info_rec_size": LINE_INFO.size,
                "line_info": bytes_of(lines),
                "line_info_cnt": len(lines) // LINE_INFO.size,
            }

    def timed(self, level: LogLevel, log: Buffer | None) -> tuple[int, int]:
        """The descriptor or a negative errno, and the nanoseconds that the call took."""
        fields = dict(self._fields)
        if log is not None:
            fields |= {"log_level": level, "log_size": len(log), "log_buf": log}
        attr = Attr(Command.PROG_LOAD, **fields)
        started = time.perf_counter_ns()
        result = self._kernel.call(attr)
        return result, time.perf_counter_ns() - started


def _test_run(
    program: ProgramSpec, run: Descriptor, data: bytes, ctx: bytes, repeat: int
) -> tuple[int, bytes, int]:
    """Return value (32 bits, unsigned), packet, mean nanoseconds."""
    out = ctypes.create_string_buffer(len(data) + _GROWTH if data else 1)
    attr = Attr(
        Command.PROG_TEST_RUN,
        prog_fd=run.number,
        data_size_in=len(data),
        data_in=data,
        data_size_out=len(out) if data else 0,
        data_out=out if data else 0,
        ctx_size_in=len(ctx),
        ctx_in=ctx,
        repeat=repeat,
    )
    result = run.transport.call(attr)
    if result < 0:
        raise refused(
            f"the kernel does not run {program.name}, of section {program.section}",
            -result,
            hint="it runs programs for packets, raw tracepoints and system calls"
            if -result in (errno.EOPNOTSUPP, 524)
            else None,
        )
    return attr["retval"], out.raw[: attr["data_size_out"]] if data else b"", attr["duration"]
