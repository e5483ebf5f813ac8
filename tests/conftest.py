"""Options and fixtures of the whole test suite."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from bpfheap import vmlinux
from bpfheap.kernel import Kernel, available, opened
from bpfheap.kernel.named import NAMES
from compiled_modules import fall_back
from linux_versions import LINUX, skip_below
from on_machines import MACHINES, is_shared, why_not

# The same examples in every run, so that a failure is one for everybody; `--hypothesis-profile
# explore` looks for new ones.
settings.register_profile("bpfheap", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("bpfheap")

#: Seconds for a test marked `long`; the others have the limit that pyproject.toml gives.
_LONG_LIMIT = 1800

_REPO = Path(__file__).resolve().parents[1]


#: A conftest in a folder below may import the verifier, so this is decided here.
_FELL_BACK = fall_back(_REPO / "src/bpfheap/verifier")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--oracle",
        metavar=NAMES,
        default="kernel",
        help="The kernel that tests ask, if not the live one: an image, booted in QEMU, which also "
        "loads what the live one refuses.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is left in the user's cache."""
    os.environ["BPFHEAP_CACHE"] = ""
    if _FELL_BACK is not None:
        config.issue_config_time_warning(pytest.PytestWarning(_FELL_BACK), stacklevel=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LONG_LIMIT))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if is_shared(metafunc.module.__name__, metafunc.function.__name__):
        metafunc.parametrize("on_machine", ["model", "native", "hardened"], indirect=True)


@pytest.fixture(autouse=True)
def on_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worlds of the model machine's tests be on another machine. For all tests, since a
    test that does not ask for a fixture by name gets it in no other way."""
    name = getattr(request, "param", "model")
    if name == "model":
        return
    pytest.importorskip("bpfheap.machine.native._core")
    from bpfheap.machine.native.machine import NativeMachine

    hardened = name == "hardened"
    worlds = (sys.modules.get("model_world"), sys.modules.get("c_world"), request.module)
    for world in worlds:
        if hasattr(world, "ModelMachine"):
            monkeypatch.setattr(world, "ModelMachine", partial(NativeMachine, hardened=hardened))


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `bpfheap.Runtime` is told, for each way to run programs."""
    options = MACHINES[str(request.param)]
    if (missing := why_not(options)) is not None:
        pytest.skip(missing)
    return options


@pytest.fixture(autouse=True)
def no_kernel_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests expect of a program does not depend on the types of the kernel that is here."""
    monkeypatch.setattr(vmlinux, "VMLINUX", Path("/nowhere/vmlinux"))


@pytest.fixture(scope="session")
def conformance_dir() -> Path:
    """The folder of the public conformance data, with `tests` and `negative` in it."""
    return Path(__file__).with_name("conformance")


@pytest.fixture(scope="session")
def live() -> Iterator[Kernel]:
    """The live kernel, where it may be used."""
    why = available()
    if why is not None:
        pytest.skip(why)
    with Kernel() as kernel:
        yield kernel


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """The kernel that --oracle names, which boots when the first test of a process asks for it."""
    name = request.config.getoption("--oracle")
    if name == "kernel":
        yield request.getfixturevalue("live")
        return
    with opened(name) as transport, Kernel(transport) as booted:
        yield booted


@pytest.fixture(scope="session")
def oracle(kernel: Kernel) -> Kernel:
    """The same, if it knows all that the verifier's tests say of it."""
    skip_below(kernel, LINUX)
    return kernel
