"""When two definitions describe one map, and what a definition leaves open."""

from __future__ import annotations

from bpfheap.btf import incomplete, why_different
from bpfheap.spec import MapSpec


def declared_only(spec: MapSpec) -> str | None:
    """A struct that values of the map (or of its inner maps) own and the definition does not
    define; None if there is none."""
    found = incomplete(spec.btf, spec.value) if spec.value else None
    return declared_only(spec.inner) if found is None and spec.inner is not None else found


def why_other_map(a: MapSpec, b: MapSpec, *, strict: bool = False) -> str | None:
    """What keeps two definitions from describing one map, None if nothing does."""
    for attribute in ("type", "key_size", "value_size", "max_entries", "flags"):
        here, there = getattr(a, attribute), getattr(b, attribute)
        if here != there:
            return f"its {attribute} is {here} in one definition and {there} in the other"
    for attribute in ("kptr_allocator", "elem_allocator"):
        here, there = getattr(a, attribute), getattr(b, attribute)
        if here is not None and there is not None and here != there:
            return f"its {attribute} is {here} in one definition and {there} in the other"
    for attribute in ("key", "value"):
        ida, idb = getattr(a, attribute), getattr(b, attribute)
        if bool(ida) != bool(idb):
            return f"its {attribute} has a type in one definition and none in the other"
        if ida:
            why = why_different(a.btf, ida, b.btf, idb, strict=strict)
            if why is not None:
                return f"the types of its {attribute} differ: {why}"
    if (a.inner is None) != (b.inner is None):
        return "only one definition has a template for inner maps"
    if a.inner is not None and b.inner is not None:
        why = why_other_map(a.inner, b.inner, strict=strict)
        if why is not None:
            return f"the templates for inner maps differ: {why}"
    return None
