"""Writes pending.txt: the oracle's cases on which the verifier does not agree yet. Run it from
anywhere, with the project's Python."""

from __future__ import annotations

from pathlib import Path

from oracle_cases import OracleCase, case_files

from bpfheap.kernel import possible_cpus
from bpfheap.verifier import Options, verify


def agrees(case: OracleCase) -> bool:
    options = Options(complexity_limit=case.limit, cpus=possible_cpus())
    wanted = "accept" if case.ours.accept else "reject"
    return verify(case.obj, case.program, options).kind == wanted


def main() -> None:
    pending = []
    for file in case_files():
        pending += [file.name] if file.error is not None else []
        pending += [case.name for case in file.cases if not agrees(case)]
    Path(__file__).with_name("pending.txt").write_text(
        "".join(f"{name}\n" for name in sorted(pending))
    )
    print(f"{len(pending)} pending")


if __name__ == "__main__":
    main()
