"""The pytest plugin, from outside: pytest runs inside pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Not used here, but each inner run would import it again and forget it.
import bpfheap.api  # noqa: F401
from bpfheap.compile import compile_c

pytest_plugins = ["pytester"]

FIRST = Path(__file__).parents[2] / "examples" / "first.bpf.c"


def inner(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """pytest over the files made so far, without the one plugin that takes its time."""
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest", *args)


@pytest.fixture(scope="session")
def first_object() -> bytes:
    return compile_c(FIRST)


@pytest.fixture
def first(pytester: pytest.Pytester, first_object: bytes) -> Path:
    """first.o beside the test file."""
    path = pytester.path / "first.o"
    path.write_bytes(first_object)
    return path


def test_load_run_look(pytester: pytest.Pytester, first: Path) -> None:
    pytester.makepyfile(
        """
        def test_it(bpf):
            obj = bpf.load("first.o")
            assert obj.programs["first"].run().retval == 0
            assert bpf.programs["first"] is obj.programs["first"]
            assert bpf.maps["slots"][0].ptr.var == 42
            assert len(bpf.printk) == 1
            assert bpf.runtime.allocators["ma"].stats().live == 1
        """
    )
    inner(pytester).assert_outcomes(passed=1)


def test_names_that_are_not_there(pytester: pytest.Pytester, first: Path) -> None:
    pytester.makepyfile(
        """
        import pytest

        def test_it(bpf):
            obj = bpf.load("first.o")
            for of in (obj, bpf):
                with pytest.raises(KeyError, match="no map slot .did you mean slots"):
                    of.maps["slot"]
                with pytest.raises(KeyError, match="no program x .there is first"):
                    of.programs["x"]
        """
    )
    inner(pytester).assert_outcomes(passed=1)


def test_every_test_has_its_own(pytester: pytest.Pytester, first: Path) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("times", [1, 2])
        def test_it(bpf, times):
            bpf.load("first.o").programs["first"].run(repeat=times)
            assert len(bpf.printk) == times
        """
    )
    inner(pytester).assert_outcomes(passed=2)


def test_beside_the_test_comes_before_the_working_directory(
    pytester: pytest.Pytester, first: Path
) -> None:
    """The one in the working directory is found, but not where there is one beside the test."""
    deep = pytester.mkdir("deep")
    (deep / "test_deep.py").write_text(
        "def test_it(bpf):\n"
        "    assert list(bpf.load('first.o').programs) == ['first']\n"
        "    with __import__('pytest').raises(Exception, match='broken.o'):\n"
        "        bpf.load('broken.o')\n"
    )
    (deep / "broken.o").write_bytes(b"broken")
    (pytester.path / "broken.o").write_bytes(first.read_bytes())
    inner(pytester).assert_outcomes(passed=1)


def test_missing_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(bpf):\n    bpf.load('nowhere.bpf.c')\n")
    result = inner(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *UsageError: nowhere.bpf.c: no such file*{pytester.path}*"])
    # The traceback ends at the line of the test.
    result.stdout.fnmatch_lines([">*bpf.load('nowhere.bpf.c')", "E *"], consecutive=True)
    result.stdout.no_fnmatch_line("*plugin.py*")


LEFT = """
from bpfheap import Leftover

def test_it(bpf, monkeypatch):
    left = [
        Leftover("leak", "an object is left", ("foo#1 was allocated at a.bpf.c:3", "it stayed")),
        Leftover("immortal-allocator", "allocator ma is still alive: 1 live object", ()),
    ]
    close = bpf.runtime.close
    monkeypatch.setattr(bpf.runtime, "close", lambda: close() + left)
"""


def test_what_is_left_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LEFT)
    result = inner(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "BPF: 2 left at the end of the test, after everything was unloaded",
            "",
            "leak: an object is left",
            "  1. foo#1 was allocated at a.bpf.c:3",
            "  2. it stayed",
            "",
            "immortal-allocator: allocator ma is still alive: 1 live object",
        ],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*plugin.py*")


#: The move is verified before the store: `used-allocators` misses it.
MOVES = """
#include <bpfheap.h>
struct foo { int var; };
struct slot { struct foo *ptr __kptr __local; };
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __type(value, struct foo); } ma SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
         __type(key, __u32); __type(value, struct slot); } m1 SEC(".maps"), m2 SEC(".maps");
SEC("tc") int moves(void *ctx)
{
    __u32 zero = 0;
    struct slot *one = bpf_map_lookup_elem(&m1, &zero), *two = bpf_map_lookup_elem(&m2, &zero);
    struct foo *p;
    if (!one || !two)
        return 0;
    p = bpf_kptr_xchg(&one->ptr, NULL);
    p = bpf_kptr_xchg(&two->ptr, p);
    if (p)
        unit_free(p);
    return 0;
}
SEC("tc") int fills(void *ctx)
{
    __u32 zero = 0;
    struct slot *one = bpf_map_lookup_elem(&m1, &zero);
    struct foo *p;
    if (!one)
        return 0;
    p = bpf_mem_alloc(&ma, type_id_local(struct foo));
    p = bpf_kptr_xchg(&one->ptr, p);
    if (p)
        unit_free(p);
    return 0;
}
"""

#: The allocator map and m1 go; m2 stays, and with it an object of an allocator that is gone.
ONLY_M2_STAYS = """
def only_m2_stays(bpf):
    obj = bpf.load("moves.o")
    obj.programs["fills"].run()
    obj.programs["moves"].run()
    for program in obj.programs.values():
        program.unload()
    for name in ("ma", "m1"):
        obj.maps[name].close()
    return obj
"""


@pytest.fixture(scope="session")
def moves_object(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    source = tmp_path_factory.mktemp("moves") / "moves.bpf.c"
    source.write_text(MOVES)
    return compile_c(source)


def test_end_of_test_under_a_policy_that_lets_go_too_early(
    pytester: pytest.Pytester, moves_object: bytes
) -> None:
    (pytester.path / "moves.o").write_bytes(moves_object)
    pytester.makepyfile(f"{ONLY_M2_STAYS}\ndef test_it(bpf):\n    only_m2_stays(bpf)\n")
    inner(pytester).assert_outcomes(passed=1)
    result = inner(pytester, "--bpf-policy=used-allocators")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"BPF: 1 left at the end of the test",
            r"use-after-free: ",
            r"  1\. .*moves\.bpf\.c:28",
            r".*moves\.bpf\.c:16",
        ]
    )


def test_violation_in_the_test_ends_in_the_objects_life(
    pytester: pytest.Pytester, moves_object: bytes
) -> None:
    (pytester.path / "moves.o").write_bytes(moves_object)
    pytester.makepyfile(
        f"{ONLY_M2_STAYS}\ndef test_it(bpf):\n    only_m2_stays(bpf).maps['m2'].close()\n"
    )
    result = inner(pytester, "--bpf-policy", "used-allocators")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r">\s+only_m2_stays\(bpf\)\.maps\['m2'\]\.close\(\)",
            r"E .*Violation: ",
            r"E .*the object's life:",
            r"E .*  1\. .*moves\.bpf\.c:28",
        ]
    )
    result.stdout.no_fnmatch_line("*bpfheap/runtime/*.py*")
    full = inner(pytester, "--bpf-policy", "used-allocators", "--full-trace")
    full.stdout.fnmatch_lines(["*bpfheap/runtime/*.py*"])


def test_a_test_may_judge_itself(pytester: pytest.Pytester, moves_object: bytes) -> None:
    (pytester.path / "moves.o").write_bytes(moves_object)
    pytester.makepyfile(
        f"""
        import pytest
        {ONLY_M2_STAYS.replace(chr(10), chr(10) + " " * 8)}
        @pytest.mark.bpf(policy="used-allocators")
        def test_it(bpf):
            only_m2_stays(bpf)
            assert [left.kind for left in bpf.close()] == ["use-after-free"]
            assert bpf.close() == []
        """
    )
    inner(pytester).assert_outcomes(passed=1)


def test_fixtures_on_top_may_unload_later(pytester: pytest.Pytester, first: Path) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def first(bpf):
            obj = bpf.load("first.o")
            yield obj.programs["first"]
            obj.programs["first"].unload()
            obj.close()

        def test_it(first):
            first.run()
        """
    )
    inner(pytester).assert_outcomes(passed=1)


def test_policy_by_option_and_marker(pytester: pytest.Pytester) -> None:
    """The closest marker wins, then the one further out, then the option, then the default."""
    pytester.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.bpf(cpus=1)

        def test_plain(bpf, pytestconfig):
            wanted = pytestconfig.getoption("bpf_policy") or "live-count"
            assert bpf.runtime.system.policy.name == wanted

        @pytest.mark.bpf(policy="used-allocators", machine="model")
        class TestMarked:
            def test_outer(self, bpf):
                assert bpf.runtime.system.policy.name == "used-allocators"

            @pytest.mark.bpf(policy="global", grace="manual")
            def test_inner(self, bpf):
                assert bpf.runtime.system.policy.name == "global"
        """
    )
    inner(pytester, "--strict-markers").assert_outcomes(passed=3)
    inner(pytester, "--bpf-policy=global").assert_outcomes(passed=3)


def test_wrong_markers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.bpf(policy="hope")
        def test_policy(bpf): pass

        @pytest.mark.bpf(machine="abacus")
        def test_machine(bpf): pass

        @pytest.mark.bpf(polcy="global")
        def test_keyword(bpf): pass

        @pytest.mark.bpf("global")
        def test_position(bpf): pass
        """
    )
    result = inner(pytester)
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(
        [
            "there is no policy hope (one of live-count*",
            "there is no machine abacus (one of model*",
            "marker bpf does not know polcy; it takes the keywords policy,*",
            "marker bpf does not know global; it takes the keywords policy,*",
        ]
    )
    result.stdout.no_fnmatch_line("*plugin.py*")
    result.stdout.no_fnmatch_line("*During handling*")


def test_marker_and_options_are_documented(pytester: pytest.Pytester) -> None:
    inner(pytester, "--markers").stdout.fnmatch_lines(["@pytest.mark.bpf(policy=*"])
    inner(pytester, "--help").stdout.fnmatch_lines(["*--bpf-policy=NAME*"])


def test_tests_without_bpf_pay_nothing() -> None:
    code = "import sys, bpfheap.testing.plugin\nprint([m for m in sys.modules if 'bpfheap' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['bpfheap', 'bpfheap.testing', 'bpfheap.testing.plugin']\n"


ASKING = """#include <bpfheap.h>
struct __attribute__((preserve_access_index)) mine { int x; };
SEC("tc") int p(struct __sk_buff *skb)
{
	return __builtin_preserve_field_info(((struct mine *)0)->x, 2);
}
"""


def test_the_kernel_that_programs_are_for(pytester: pytest.Pytester) -> None:
    """The marker's before the option's."""
    (pytester.path / "asking.bpf.c").write_text(ASKING)
    (pytester.path / "kernel.c").write_text("struct mine { int x; } a;")
    (pytester.path / "kernel.o").write_bytes(compile_c(pytester.path / "kernel.c"))
    (pytester.path / "other.c").write_text("struct other { int x; } a;")
    (pytester.path / "other.o").write_bytes(compile_c(pytester.path / "other.c"))
    pytester.makepyfile(
        """
        import pytest

        def test_option(bpf):
            assert bpf.load("asking.bpf.c").programs["p"].run(data=bytes(14)).retval == 0

        @pytest.mark.bpf(kernel_btf="kernel.o")
        def test_marker(bpf):
            assert bpf.load("asking.bpf.c").programs["p"].run(data=bytes(14)).retval == 1
        """
    )
    inner(pytester, "--bpf-kernel-btf", "other.o").assert_outcomes(passed=2)
    refused = inner(pytester, "--bpf-kernel-btf", "nowhere")
    refused.assert_outcomes(errors=1, passed=1)
    refused.stdout.fnmatch_lines(["*nowhere: a kernel's BTF cannot be read*"])


def test_all_that_is_missing_is_in_the_report(pytester: pytest.Pytester) -> None:
    (pytester.path / "unknown.bpf.c").write_text(
        "#include <bpfheap.h>\n"
        'extern int CONFIG_HZ __attribute__((section(".kconfig")));\n'
        "void bpf_made_up(void) __ksym;\n"
        'SEC("tc") int p(void *ctx) { bpf_made_up(); return CONFIG_HZ; }\n'
    )
    pytester.makepyfile(
        """
        import pytest
        from bpfheap.errors import Unsupported, VerifierError

        def test_it(bpf):
            bpf.load("unknown.bpf.c")

        def test_it_is_no_rejection(bpf):
            with pytest.raises(Unsupported) as seen:
                bpf.load("unknown.bpf.c")
            assert not isinstance(seen.value, VerifierError)
            assert seen.value.missing == ("bpf_made_up", "CONFIG_HZ")
        """
    )
    result = inner(pytester, "--bpf-kernel-btf", "none", "--bpf-kconfig", "none")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*bpfheap does not know kfunc bpf_made_up*", "*missing:", "*bpf_made_up", "*CONFIG_HZ"]
    )
