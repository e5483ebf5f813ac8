"""Values of a kernel's configuration, in a map that the verifier knows."""

from __future__ import annotations

import re

import pytest
from elf_objects import fault_of
from kernels import KernelOf, spec_for

from bpfheap.btf import Datasec
from bpfheap.errors import RelocationError
from bpfheap.spec import ObjectSpec, RefKind
from bpfheap.verifier import verify

HEAD = """
#define KCONFIG __kconfig
#define WEAK __attribute__((weak))
"""


def spec_with(declaration: str, config: dict[str, str] | None) -> ObjectSpec:
    """A program that reads the variable X of that declaration."""
    declared = declaration.replace("X", "CONFIG_X")
    source = f"""{HEAD}
    extern {declared};
    SEC("tc") int p(void *ctx) {{ return *(volatile char *)&CONFIG_X; }}
    SEC("tc") int q(void *ctx) {{ return 0; }}
    """
    values = None if config is None else {f"CONFIG_{name}": v for name, v in config.items()}
    return spec_for(source, KernelOf(None, config=values))


@pytest.mark.parametrize(
    ("declaration", "text", "data"),
    [
        ("_Bool X", "y", b"\1"),
        ("_Bool X", "n", b"\0"),
        ("enum libbpf_tristate X", "y", b"\1\0\0\0"),
        ("enum libbpf_tristate X", "m", b"\2\0\0\0"),
        ("enum libbpf_tristate X", "n", b"\0\0\0\0"),
        ("char X", "m", b"m"),
        ("char X", "100", b"d"),
        ("char X", "-128", b"\x80"),
        ("__u8 X", "255", b"\xff"),
        ("int X", "0x10", b"\x10\0\0\0"),
        ("int X", "010", b"\x08\0\0\0"),
        ("int X", "-1", b"\xff\xff\xff\xff"),
        ("unsigned short X", "65535", b"\xff\xff"),
        ("__u64 X", "0xffffffffffffffff", b"\xff" * 8),
        ("long X", "18446744073709551615", b"\xff" * 8),
        ("const char X[8]", '"text"', b"text\0\0\0\0"),
        ("char X[3]", '"text"', b"te\0"),
        ("char X[3]", '""', b"\0\0\0"),
        ("int X WEAK", None, b"\0\0\0\0"),
        ("char X[2] WEAK", None, b"\0\0"),
    ],
)
def test_values(declaration: str, text: str | None, data: bytes) -> None:
    name, _, rest = declaration.partition(" WEAK")
    weak = " WEAK" if _ or rest else ""
    spec = spec_with(f"{name} KCONFIG{weak}", {} if text is None else {"X": text})
    found = spec.maps[".kconfig"]
    assert (found.data, found.readonly, found.max_entries) == (data, True, 1)
    (ref,) = spec.programs["p"].refs.values()
    assert (ref.kind, ref.name, ref.offset) == (RefKind.MAP_VALUE, ".kconfig", 0)


@pytest.mark.parametrize(
    ("declaration", "text", "message"),
    [
        ("_Bool X", "m", "is m in .* declared as bool of 1 bytes"),
        ("_Bool X", "1", "is 1 in"),
        ("_Bool X", '"y"', 'is "y" in'),
        ("int X", "y", "is y in .* declared as an integer of 4 bytes"),
        ("int X", "2147483648", "is 2147483648"),
        ("int X", "-2147483649", "is -2147483649"),
        ("unsigned char X", "256", "declared as char of 1 bytes"),
        ("__u16 X", "-1", "is -1"),
        ("int X", "12x", "is 12x"),
        ("int X", "1_0", "is 1_0"),
        ("int X", "0x1ffffffffffffffff", "is 0x1"),
        ("enum libbpf_tristate X", "1", "declared as enum libbpf_tristate"),
        ("char X[4]", "y", "declared as an array of char"),
        ("char X[4]", '"open', 'is "open'),
        ("int X", None, "CONFIG_X is not in the kernel's configuration"),
    ],
)
def test_what_does_not_fit(declaration: str, text: str | None, message: str) -> None:
    """It costs the programs that use the variable, and no others."""
    spec = spec_with(f"{declaration} KCONFIG", {} if text is None else {"X": text})
    fault = fault_of(spec)
    assert isinstance(fault, RelocationError)
    assert re.search(message, str(fault))
    assert fault.line
    verdicts = {p.name: verify(spec, p).kind for p in spec.programs.values()}
    assert verdicts == {"p": "reject", "q": "accept"}


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("float X", "is float, and no value of a configuration is"),
        ("int X[2]", r"is int\[2\], and no value"),
        ("int *X", r"is int \*, and no value"),
    ],
)
def test_what_no_value_is(declaration: str, message: str) -> None:
    with pytest.raises(RelocationError, match=message):
        spec_with(f"{declaration} KCONFIG", {"X": "1"})


def test_without_a_configuration() -> None:
    spec = spec_with("int X KCONFIG", None)
    verdict = verify(spec, spec.programs["p"])
    assert (verdict.kind, verdict.missing) == ("unsupported", ("CONFIG_X",))
    assert verdict.error is not None
    assert "--kconfig" in str(verdict.error.hint)
    assert verify(spec, spec.programs["q"]).accepted
    found = spec_with("int X KCONFIG WEAK", None).maps[".kconfig"]
    assert found.data == bytes(4)


SEVERAL = f"""{HEAD}
extern int LINUX_KERNEL_VERSION KCONFIG;
extern char CONFIG_TEXT[5] KCONFIG;
extern __u64 CONFIG_WIDE KCONFIG;
extern _Bool CONFIG_B KCONFIG;
extern _Bool CONFIG_A KCONFIG WEAK;
SEC("tc") int guarded(struct __sk_buff *skb)
{{
	if (CONFIG_B && CONFIG_WIDE == 7 && !CONFIG_A && LINUX_KERNEL_VERSION >= 0x61200)
		return CONFIG_TEXT[0];
	return *(int *)(long)skb->len;
}}
SEC("tc") int writes(struct __sk_buff *skb)
{{
	*(volatile __u64 *)&CONFIG_WIDE = 1;
	return 0;
}}
"""


@pytest.fixture(scope="module")
def several() -> ObjectSpec:
    config = {"CONFIG_TEXT": '"abcd"', "CONFIG_WIDE": "7", "CONFIG_B": "y",
              "LINUX_KERNEL_VERSION": str(0x61200)}  # fmt: skip
    return spec_for(SEVERAL, KernelOf(None, config=config))


def test_places_are_libbpfs(several: ObjectSpec) -> None:
    """The largest alignment first, then the smallest, then by name."""
    data = (7).to_bytes(8, "little") + (0x61200).to_bytes(4, "little") + b"\0\1abcd\0"
    found = several.maps[".kconfig"]
    assert found.data == data
    section = several.btf[found.value]
    assert isinstance(section, Datasec)
    assert (section.size, [v.offset for v in section.vars]) == (len(data), [0, 8, 12, 13, 14])


@pytest.mark.parametrize(("name", "accepted"), [("guarded", True), ("writes", False)])
def test_the_verifier_knows_the_values(several: ObjectSpec, name: str, accepted: bool) -> None:
    assert verify(several, several.programs[name]).accepted is accepted


@pytest.mark.parametrize(
    ("name", "value", "data"),
    [("LINUX_HAS_BPF_COOKIE", "1", b"\1"), ("LINUX_MADE_UP", None, b"\0")],
)
def test_what_loaders_know(name: str, value: str | None, data: bytes) -> None:
    source = f"""{HEAD}
    extern _Bool {name} KCONFIG WEAK;
    SEC("tc") int p(void *ctx) {{ return {name}; }}
    """
    config = {} if value is None else {name: value}
    assert spec_for(source, KernelOf(None, config=config)).maps[".kconfig"].data == data


def test_a_function_is_no_value() -> None:
    source = f"""{HEAD}
    extern int CONFIG_F(void) KCONFIG;
    SEC("tc") int p(void *ctx) {{ return CONFIG_F(); }}
    """
    with pytest.raises(RelocationError, match=r"a function in \.kconfig"):
        spec_for(source, KernelOf(None, config={}))
