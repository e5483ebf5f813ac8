"""Loading an object file: its maps, its programs, and what the file puts into maps.

As bpf_object__load of libbpf. A runtime loads a file in one go, the explorer one program after the
other; both go through the steps that are here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bpfheap.btf import kernel_target, kptr_fields
from bpfheap.errors import LoadRefused, MachineUnsupported
from bpfheap.platform.maps import BY_NUMBER as MAP_TYPE
from bpfheap.platform.maps import Holds
from bpfheap.platform.missing import missing_map_type
from bpfheap.runtime.system import System
from bpfheap.spec import KernelTypes, MapSpec, ObjectSpec, ProgramSpec
from bpfheap.verifier.verdict import Verdict


def creation_order(obj: ObjectSpec, *, plays: bool = False) -> list[MapSpec]:
    """The maps of a file, each behind those that its definition names; for a machine that `plays` a
    kernel, values may hold objects of that.

    Raises LoadRefused for a map that names itself, directly or through others, or a map that the
    file does not have, MachineUnsupported for one whose values hold objects of the kernel."""
    ordered: dict[str, MapSpec] = {}

    def visit(spec: MapSpec, above: frozenset[str]) -> None:
        for name in spec.needs:
            if name in above:
                raise LoadRefused(f"map {spec.name} names itself by way of {name}", file=obj.file)
            if name not in obj.maps:
                raise LoadRefused(
                    f"map {spec.name} names map {name}, which is not there", file=obj.file
                )
            if name not in ordered:
                visit(obj.maps[name], above | {name})
        ordered[spec.name] = spec

    for spec in obj.maps.values():
        if not plays:
            _no_kernel_kptrs(spec, obj.kernel)
        if spec.name not in ordered:
            visit(spec, frozenset({spec.name}))
    return list(ordered.values())


def _no_kernel_kptrs(spec: MapSpec, kernel: KernelTypes | None) -> None:
    """There are no objects of the kernel that a field could hold."""
    types = None if kernel is None else kernel.types()
    if kernel is None or types is None:
        return
    for at in (spec,) if spec.inner is None else (spec, spec.inner):
        for field in kptr_fields(at.btf, at.value) if at.value else ():
            if kernel_target(at.btf, field, (types, *kernel.modules())) is not None:
                raise MachineUnsupported(
                    f"map {spec.name} has a kptr {field.path} to "
                    f"{at.btf.c_name(field.target)} of the kernel, which this machine lacks",
                    file=spec.file or None,
                    hint="if you mean a struct of your own, give it another name, or tag the "
                    "field __local",
                )


def wanted_maps(
    obj: ObjectSpec, programs: Iterable[ProgramSpec], *, plays: bool = False
) -> list[MapSpec]:
    """The maps to make for these programs, in the order of `creation_order`: all of the file, but
    for those of types that Linux has and bpfheap does not, and that no program names."""
    named = {ref.name for program in programs for ref in program.refs.values()}
    return [
        spec
        for spec in creation_order(obj, plays=plays)
        if spec.name in named
        or all(missing_map_type(m) is None for m in (spec, spec.inner) if m is not None)
    ]


def loaded_programs(obj: ObjectSpec) -> list[ProgramSpec]:
    """The programs that are loaded with a file: those in sections "?..." are only by name
    (bpf_program__autoload)."""
    return [program for program in obj.programs.values() if not program.section.startswith("?")]


def program_slots(spec: MapSpec) -> dict[int, str]:
    """What the definition of an array of programs puts into it: slot to program name."""
    row = MAP_TYPE.get(spec.type)
    if row is None or row.holds is not Holds.PROGRAMS:
        return {}
    return {slot: name for slot, name in enumerate(spec.inner_names) if name is not None}


def reached(obj: ObjectSpec, name: str) -> list[str]:
    """The names of a program and of those that its definition lets it jump to, and so on."""
    found = {name: None}
    pending = [name]
    while pending:
        program = obj.programs[pending.pop()]
        for ref in program.refs.values():
            spec = obj.maps.get(ref.name)
            for other in () if spec is None else program_slots(spec).values():
                if other in obj.programs and other not in found:
                    found[other] = None
                    pending.append(other)
    return list(found)


class Loader:
    """Loads one file, or a part of it. `btf_fd` is a descriptor of the file's BTF, `there` the ids
    of maps that definitions may name and that are not opened here.

    `map_ids`: maps by name, as programs of the file see them.
    `map_fds`: descriptors of those that were opened here, for the caller to close.
    """

    def __init__(self, system: System, btf_fd: int, there: Mapping[str, int] = {}) -> None:
        self.map_ids = dict(there)
        self.map_fds: dict[str, int] = {}
        self._system = system
        self._btf_fd = btf_fd
        self._specs: list[MapSpec] = []

    def open_map(self, spec: MapSpec, existing: int | None) -> int:
        """A descriptor of the map `existing`, or of a new one if that is None. The maps that the
        definition names come first.

        Raises LoadRefused if `existing` is another map than the one defined, or if a map that the
        definition names is not there, MapError for a map that cannot be made."""
        if existing is None:
            fd = self._system.map_create(spec, self._btf_fd, self.map_ids)
        else:
            fd = self._system.map_share(existing, spec)
        self.map_ids[spec.name] = self._system.map_of(fd).id
        self.map_fds[spec.name] = fd
        self._specs.append(spec)
        return fd

    def load_program(self, spec: ProgramSpec, verdict: Verdict) -> int:
        """A descriptor of a program that was verified, whose maps are open. The policy is asked,
        then the machine gets it.

        Raises the verdict's VerifierError, or LoadRefused with the policy's reason."""
        return self._system.program_load(spec, verdict, self._btf_fd, self.map_ids)

    def fill_program_arrays(self, program_fds: Mapping[str, int]) -> None:
        """Put programs of the file, by name, into the slots that its arrays give them, whoever
        made the arrays (bpf_object_init_prog_arrays).

        Raises LoadRefused if an array holds programs of another type, MapError for a slot that it
        does not have."""
        for spec in self._specs:
            for slot, name in program_slots(spec).items():
                if name in program_fds:
                    self._system.map_update(
                        self.map_fds[spec.name],
                        slot.to_bytes(4, "little"),
                        program_fds[name].to_bytes(4, "little"),
                    )

    def close_maps(self) -> None:
        """Give the descriptors back; programs hold their maps by themselves."""
        for fd in self.map_fds.values():
            self._system.close(fd)
        self.map_fds.clear()
