"""What the verifier accepts, the model machine runs without a complaint: it sees every leak,
use after free, double free and access out of bounds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_verify import KPTRS, OWNING, PLAIN, programs

import bpfheap
from bpfheap.errors import Violation
from bpfheap.spec import ProgramSpec
from bpfheap.verifier import verify

_MAPS = {name: KPTRS.obj.maps[name] for name in ("hash", "ma", "mb")}
_EMPTY = bytes(KPTRS.obj.maps["hash"].value_size)


def run(spec: ProgramSpec, seed: int) -> None:
    obj = replace(KPTRS.obj, maps=_MAPS, programs={spec.name: spec})
    with bpfheap.Runtime(policy="live-count", seed=seed) as runtime:
        loaded = runtime.load(obj)
        loaded.maps["hash"].update(0, _EMPTY)
        try:
            for _ in range(4):
                loaded.programs[spec.name].run(bytes(192))
        except Violation as seen:
            log = verify(obj, spec).log
            raise AssertionError(f"{seen}\n{seen.life}\n{log}") from seen


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=programs(PLAIN, release=False), seed=st.integers(0, 100))
def test_accepted_programs_touch_only_their_memory(spec: ProgramSpec, seed: int) -> None:
    assume(verify(KPTRS.obj, spec).accepted)
    run(spec, seed)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=programs(OWNING, release=True), seed=st.integers(0, 100))
def test_accepted_programs_keep_no_object(spec: ProgramSpec, seed: int) -> None:
    assume(verify(KPTRS.obj, spec).accepted)
    run(spec, seed)
