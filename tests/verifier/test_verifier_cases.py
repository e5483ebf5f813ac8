"""The verdict on every case of cases/*.yaml; the schema of the cases themselves."""

from __future__ import annotations

import pytest
from verifier_cases import Case, cases, check_schema

from bpfheap.verifier import Flow, FlowKind, Options, Verdict, VerdictKind, verify
from bpfheap.verifier.flows import Field, Holder


def flow_text(flow: Flow) -> str:
    """As cases write it: "alloc ma", "store ma -> hash.ptr", "take hash.ptr"."""
    match flow.kind:
        case FlowKind.STORE | FlowKind.MOVE:
            return f"{flow.kind} {flow.source} -> {flow.field}"
    return f"{flow.kind} {flow.source or flow.field}"


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_case(case: Case) -> None:
    """Both as it is and with a state stored at every join, where more can be pruned."""
    verdict = _check(case)
    assert set(_check(case, stored_often=True).flows) == set(verdict.flows)


def _check(case: Case, *, stored_often: bool = False) -> Verdict:
    options = Options(complexity_limit=case.complexity_limit, stored_often=stored_often)
    verdict = verify(case.obj, case.program, options)
    expected = case.expected
    assert verdict.kind == expected["verdict"], str(verdict.error)
    assert verdict.missing == tuple(expected.get("missing", ()))
    if verdict.error is not None:
        error = verdict.error
        assert expected["message"] in error.message
        assert expected.get("detail", "") in error.detail
        assert "\n" not in error.message + error.detail
        assert error.insn is not None
        assert error.message in error.log or verdict.kind is VerdictKind.UNSUPPORTED
        if "register" in expected:
            assert error.register == expected["register"]
        assert expected.get("hint", "") in (error.hint or "")
    if "flows" in expected:
        assert [flow_text(flow) for flow in verdict.flows] == expected["flows"]
    # Where more states are stored, paths end elsewhere.
    if "insns_processed" in expected and not stored_often:
        assert verdict.insns_processed == expected["insns_processed"]
    return verdict


def test_there_are_enough_cases_of_each_verdict() -> None:
    verdicts = [case.expected["verdict"] for case in cases()]
    assert verdicts.count("accept") >= 60
    assert verdicts.count("reject") >= 90


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"verdict": "perhaps"}, "is not one of"),
        ({"verdict": "reject"}, "'message' is a required property"),
        ({"verdict": "accept", "message": "no"}, "should not be valid"),
        ({"verdict": "accept", "detail": "no"}, "should not be valid"),
        ({"verdict": "accept", "comment": "no"}, "'comment' was unexpected"),
        ({"verdict": "reject", "message": "x", "register": "11"}, "does not match"),
        ({"verdict": "reject", "message": "x", "missing": ["y"]}, "should not be valid"),
        ({"verdict": "unsupported", "message": "x"}, "'missing' is a required property"),
    ],
)
def test_the_schema_refuses(variant: dict[str, object], message: str) -> None:
    document = {"cases": [{"name": "x", "code": "exit", "variants": [variant]}]}
    with pytest.raises(ValueError, match=message):
        check_schema(document, "x.yaml")


def test_a_flow_as_json() -> None:
    field = Field(Holder.MAP, "m", "ptr")
    told = {"kind": "store", "source": "ma", "field": "m.ptr", "line": None}
    assert Flow(FlowKind.STORE, "ma", field).to_json() == told
    assert Flow(FlowKind.TAKE, None, field).to_json() == {**told, "kind": "take", "source": None}
