"""The reductions leave out states and no verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from explore_samples import (
    EVERYTHING,
    KeepsNothing,
    bounded,
    model_of,
    scenario,
    searched,
    searched_under,
)

from bpfheap.explore import Progress, Reductions, VerdictKind, explore, read_scenario
from bpfheap.explore.plan import plan_of
from bpfheap.explore.search import Search

ONLY_ORDER = Reductions(symmetry=False)
ONLY_SYMMETRY = Reductions(partial_order=False)
BOTH = Reductions()

#: (scenario, policy) -> states without, with symmetry, with partial order, with both.
COUNTS = {
    ("stack_hold", "live-count"): (3613, 1601, 1802, 870),
    ("walk_race", "unload-walk"): (4641, 2251, 2547, 1363),
    ("two_fields", "dependency-table"): (12600, 6564, 6435, 3731),
    ("two_allocators", "used-allocators"): (1768, 1348, 931, 691),
    ("inner_map", "used-allocators-strict"): (1338, 1138, 995, 803),
    ("nested", "annotated"): (5453, 4045, 5453, 4045),
}


@pytest.mark.parametrize(("name", "policy"), COUNTS)
def test_states_with_and_without(name: str, policy: str) -> None:
    found = [
        searched(scenario(name), policy, reductions)
        for reductions in (EVERYTHING, ONLY_SYMMETRY, ONLY_ORDER, BOTH)
    ]
    assert tuple(search.states for search in found) == COUNTS[name, policy]
    full, *reduced = (search.ledger for search in found)
    for ledger in reduced:
        assert ledger.violations.keys() == full.violations.keys()
        assert ledger.loads.keys() == full.loads.keys()
        assert (ledger.immortal is None) == (full.immortal is None)
        assert (ledger.together, ledger.reused) == (full.together, full.reused)


@pytest.mark.parametrize(
    ("name", "policy"), [("walk_race", "unload-walk"), ("inner_map", "used-allocators-strict")]
)
def test_no_history_gets_longer(name: str, policy: str) -> None:
    full, reduced = (
        explore(scenario(name), policy, reductions=reductions) for reductions in (EVERYTHING, BOTH)
    )
    lengths = [[len(b.history.steps) for b in r.breaches] for r in (full, reduced)]
    assert lengths[0] == lengths[1]


@pytest.mark.parametrize("policy", ["live-count", "unload-walk"])
@pytest.mark.parametrize("name", ["walk_race", "inner_map"])
def test_any_number_of_processes_finds_the_same(name: str, policy: str) -> None:
    found = [replace(explore(scenario(name), policy, jobs=n), seconds=0) for n in (1, 2, 3)]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("call", "alike"), [("bpf_ktime_get_ns", True), ("bpf_get_smp_processor_id", False)]
)
def test_a_cpu_that_is_asked_for_has_no_symmetry(call: str, alike: bool, tmp_path: Path) -> None:
    path = tmp_path / "asks.bpf.c"
    path.write_text(
        f'#include <bpfheap.h>\nSEC("tc") int asks(struct __sk_buff *skb) {{ return {call}(); }}\n'
    )
    asking = bounded(read_scenario([path]))
    full, reduced = (
        searched(asking, "live-count", reductions).states
        for reductions in (EVERYTHING, ONLY_SYMMETRY)
    )
    assert reduced < full if alike else reduced == full


def test_one_cpu_has_no_symmetry() -> None:
    """There is nothing to exchange."""
    one = bounded(scenario("walk_race"), cpus=1)
    assert (
        searched(one, "live-count", EVERYTHING).states
        == searched(one, "live-count", ONLY_SYMMETRY).states
    )


def test_an_interruption_by_nmi_is_visited() -> None:
    """On one CPU, programs meet only if one interrupts the other."""
    alone = bounded(scenario("walk_race"), cpus=1)
    nested = bounded(scenario("walk_race"), cpus=1, nmi=True)
    assert not searched(alone, "live-count", BOTH).ledger.violations
    apart, met = (searched(s, "unload-walk", EVERYTHING) for s in (alone, nested))
    assert met.states > apart.states
    # The walk itself needs no CPU: it meets the exchange in both.
    assert apart.ledger.violations.keys() == met.ledger.violations.keys() != set()


def test_a_bound_on_states_ends_the_search() -> None:
    some = bounded(scenario("walk_race"), states=200)
    found = explore(some, "live-count")
    assert found.verdict is VerdictKind.BOUNDED
    assert not found.finished
    assert 200 <= found.states < searched(scenario("walk_race"), "live-count", BOTH).states


def test_the_first_violation_ends_the_search_if_asked_to() -> None:
    whole = explore(scenario("inner_map"), "used-allocators")
    first = explore(scenario("inner_map"), "used-allocators", first=True)
    assert first.breaches == whole.breaches[:1]
    assert first.states < whole.states


def test_progress_is_told_and_an_interrupt_keeps_what_is_known() -> None:
    model = model_of(scenario("three_programs"), "live-count")
    search = Search(model)
    told: list[Progress] = []

    def report(progress: Progress) -> None:
        told.append(progress)
        if len(told) == 2:
            raise KeyboardInterrupt

    search.run(report)
    assert not search.finished
    assert 0 < told[0].states < told[1].states <= search.states
    assert told[1].frontier > 0
    assert 100 * search.states < search.memory() < 200 * search.states


#: `keep` stores an object if `flag` is 0 before it allocates and 1 afterwards. The step that reads
#: the 1 changes nothing but the program's own registers.
READS_TWICE = """
#include <bpfheap.h>
struct foo { int var; };
struct map_val { struct foo *ptr __kptr __local; };
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct map_val);
} m SEC(".maps");
volatile int flag;
SEC("tc") int arm(struct __sk_buff *skb) { flag = 1; return 0; }
SEC("tc") int keep(struct __sk_buff *skb)
{
	__u32 key = 0;
	int before = flag, after;
	struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	struct map_val *v;

	after = flag;
	v = bpf_map_lookup_elem(&m, &key);
	if (!p)
		return 0;
	if (v && !before && after)
		p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return 0;
}
char _license[] SEC("license") = "GPL";
"""


@pytest.mark.parametrize("reductions", [EVERYTHING, BOTH], ids=["all", "reduced"])
def test_a_step_that_reads_what_others_write_has_its_time(
    reductions: Reductions, tmp_path: Path
) -> None:
    (tmp_path / "a.bpf.c").write_text(READS_TWICE)
    plan = plan_of(bounded(read_scenario([tmp_path]), cpus=2, one_process=True))
    assert len(searched_under(plan, KeepsNothing, reductions).ledger.violations) == 1


@pytest.mark.parametrize("reductions", [EVERYTHING, BOTH], ids=["all", "reduced"])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("asks_for_cpu", {}),
        ("percpu_map", {}),
        ("nmi", {"nmi": True, "runs": 3}),
        ("deleted", {}),
        ("added", {}),
        ("limited", {"objects": 1}),
    ],
)
def test_what_is_alike_only_at_first_sight(
    name: str, more: dict[str, int], reductions: Reductions
) -> None:
    """Programs keep an object where CPUs differ, or if others come between two steps."""
    read = read_scenario([Path(__file__).parent / "asymmetric" / f"{name}.bpf.c"])
    plan = plan_of(bounded(read, cpus=2, one_process=True, **more))
    assert len(searched_under(plan, KeepsNothing, reductions).ledger.violations) == 1
