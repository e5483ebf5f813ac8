"""How the plugin compiles sources: the ini file, and the call, which has the last word."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def test_the_ini_file_and_the_call(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\nbpf_include = inc\nbpf_define =\n  A=1\n  B=2\nbpf_cflags = -DC=4\n"
    )
    pytester.mkdir("inc").joinpath("sum.h").write_text("#define SUM (A + B + C)\n")
    pytester.path.joinpath("p.bpf.c").write_text(
        "#include <bpfheap.h>\n#include <sum.h>\n"
        'SEC("socket") int p(struct __sk_buff *skb) { return SUM; }\n'
    )
    pytester.makepyfile(
        """
        def test_ini(bpf):
            assert bpf.load("p.bpf.c").programs["p"].run().retval == 7

        def test_call(bpf):
            obj = bpf.load("p.bpf.c", define="A=10", cflags=["-UC", "-DC=40"])
            assert obj.programs["p"].run().retval == 52
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:hypothesispytest")
    result.assert_outcomes(passed=2)
