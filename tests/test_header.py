"""bpfheap.h: alone, after libbpf's headers, and against the tables that say the same in Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpfheap.btf import KptrField, Struct, kptr_fields
from bpfheap.btf.special import special_fields
from bpfheap.compile import INCLUDE_DIR, Compiler, compile_c, find_compilers, object_spec
from bpfheap.platform.calls import HELPERS, KFUNCS
from bpfheap.platform.maps import ANY, EXIST, MAP_TYPES, NOEXIST, MapFlag
from bpfheap.platform.programs import PROGRAM_TYPES
from bpfheap.spec import ObjectSpec, RefKind

EXAMPLES = Path(__file__).parents[1] / "examples"
HEADER = (INCLUDE_DIR / "bpfheap.h").read_text()
STRICT = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")
LIBBPF = Path("/usr/include/bpf/bpf_helper_defs.h")

COMPILERS = {"ziglang" if c.name == "ziglang" else "clang": c for c in reversed(find_compilers())}


@pytest.fixture(params=["clang", "ziglang"])
def compiler(request: pytest.FixtureRequest) -> Compiler:
    """The wheel's clang, which must be there, and the one on PATH, if there is one."""
    if request.param not in COMPILERS:
        assert request.param == "clang", "the project depends on the ziglang wheel"
        pytest.skip("no clang with a BPF target on PATH")
    return COMPILERS[request.param]


def spec(folder: Path, source: str, compiler: Compiler | None = None) -> ObjectSpec:
    path = folder / "test.bpf.c"
    path.write_text(source)
    return object_spec(path, compiler=compiler, cflags=STRICT)


#: Not those of examples/tests, which have other headers.
SOURCES = sorted([*EXAMPLES.glob("*.bpf.c"), *EXAMPLES.glob("*/*.bpf.c")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(EXAMPLES)))
def test_examples_compile_without_a_warning(path: Path, compiler: Compiler) -> None:
    made = object_spec(path, compiler=compiler, cflags=STRICT)
    assert made.programs


def test_the_three_programs_agree(compiler: Compiler) -> None:
    """Maps are shared by name, each program declares only what it touches."""
    folder = EXAMPLES / "three_programs"
    specs = {n: object_spec(folder / f"{n}.bpf.c", compiler=compiler) for n in ("p1", "p2", "p3")}

    maps = {name: set(made.maps) for name, made in specs.items()}
    assert maps == {"p1": {"m1", "m2"}, "p2": {"ma", "m1"}, "p3": {"m2"}}
    kfuncs = {
        name: {r.name for r in made.programs[name].refs.values() if r.kind is RefKind.KFUNC}
        for name, made in specs.items()
    }
    assert kfuncs == {
        "p1": {"unit_free"}, "p2": {"bpf_mem_alloc", "unit_free"}, "p3": {"unit_free"},
    }  # fmt: skip


# -- kptr fields

TAGS = {
    "as in the thread": "struct foo * ptr __kptr __local;",
    "other order": "struct foo *ptr __local __kptr;",
    "before the star": "struct foo __kptr __local *ptr;",
    "before the type": "__kptr __local struct foo *ptr;",
    "both sides": "struct foo __kptr *ptr __local;",
    "the other way round": "struct foo __local *ptr __kptr;",
}

HOW_TO_INCLUDE = {
    "alone": "#include <bpfheap.h>\n",
    "after bpf_helpers.h": "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
    "#include <bpfheap.h>\n",
}

THREAD = """
struct foo {
  int var;
};

struct {
  __uint(type, BPF_MAP_TYPE_ALLOCATOR);
  __type(value, struct foo);
} ma SEC(".maps");

struct map_val {
  struct foo * ptr __kptr __local;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 123);
  __type(key, __u32);
  __type(value, struct map_val);
} hash SEC(".maps");

SEC("tc") int p(struct __sk_buff *skb)
{
  __u32 key = 0;
  struct map_val *map_val = bpf_map_lookup_elem(&hash, &key);
  if (!map_val)
    return 0;
  struct foo * p = bpf_mem_alloc(&ma, type_id_local(struct foo));
  p = bpf_kptr_xchg(&map_val->ptr, p);
  if (p)
    unit_free(p);
  return 0;
}
"""


def field(made: ObjectSpec) -> KptrField:
    (found,) = kptr_fields(made.btf, made.maps["hash"].value)
    return found


def needs(include: str) -> None:
    if "bpf_helpers" in include and not LIBBPF.exists():
        pytest.skip("libbpf's headers are not installed")


@pytest.mark.parametrize("include", HOW_TO_INCLUDE)
def test_tags_in_any_place_make_a_kptr(include: str, compiler: Compiler, tmp_path: Path) -> None:
    needs(HOW_TO_INCLUDE[include])
    others = "\n".join(
        f"struct val{i} {{ {member} }}; struct {{ __uint(type, BPF_MAP_TYPE_ARRAY); "
        f"__uint(max_entries, 1); __type(key, __u32); __type(value, struct val{i}); }} "
        f'map{i} SEC(".maps");'
        for i, member in enumerate(TAGS.values())
    )
    made = spec(tmp_path, HOW_TO_INCLUDE[include] + THREAD + others, compiler)

    fields = {"in the whole": field(made)}
    for i, tags in enumerate(TAGS):
        (fields[tags],) = kptr_fields(made.btf, made.maps[f"map{i}"].value)
    for where, found in fields.items():
        assert (found.path, found.offset, found.kind, found.local) == ("ptr", 0, "kptr", True), (
            where
        )
        assert made.btf.resolve(found.target) == made.btf.find("foo", Struct), where


def test_no_tag_is_no_kptr(compiler: Compiler, tmp_path: Path) -> None:
    made = spec(tmp_path, "#include <bpfheap.h>\n" + THREAD.replace("__kptr __local", ""), compiler)
    assert kptr_fields(made.btf, made.maps["hash"].value) == ()


# -- beside other headers

# What vmlinux.h has of it; the real one is generated from a kernel.
VMLINUX = """
#ifndef __VMLINUX_H__
#define __VMLINUX_H__
typedef unsigned char __u8; typedef unsigned short __u16; typedef short __s16;
typedef unsigned int __u32; typedef int __s32; typedef signed char __s8;
typedef long long unsigned int __u64; typedef long long int __s64;
typedef __u16 __be16; typedef __u32 __be32; typedef __u32 __wsum;
enum bpf_map_type { BPF_MAP_TYPE_UNSPEC, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY };
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2, BPF_F_LOCK = 4 };
enum xdp_action { XDP_ABORTED, XDP_DROP, XDP_PASS };
struct __sk_buff { __u32 len; }; struct xdp_md { __u32 data; };
struct bpf_raw_tracepoint_args { __u64 args[0]; };
struct bpf_spin_lock { __u32 val; }; struct bpf_timer { __u64 a, b; };
struct bpf_mem_alloc { void *caches; };
extern void *bpf_obj_new_impl(__u64 local_type_id__k, void *meta__ign)
    __attribute__((weak, section(".ksyms")));
#endif
"""

COMPANIONS = {
    "nothing": "",
    "twice": "#include <bpfheap.h>",
    "linux/types.h": "#include <linux/types.h>",
    "linux/bpf.h": "#include <linux/bpf.h>",
    "linux/pkt_cls.h": "#include <linux/bpf.h>\n#include <linux/pkt_cls.h>",
    "stddef.h, stdbool.h": "#include <stddef.h>\n#include <stdbool.h>",
    "bpf_helpers.h": "#include <linux/types.h>\n#include <bpf/bpf_helpers.h>",
    "linux/bpf.h, bpf_helpers.h": "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>",
    "all of libbpf": "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
    "#include <bpf/bpf_endian.h>\n#include <bpf/bpf_core_read.h>\n#include <bpf/bpf_tracing.h>",
    "vmlinux.h": f"{VMLINUX}",
    "vmlinux.h, bpf_helpers.h": f"{VMLINUX}\n#include <bpf/bpf_helpers.h>",
}


@pytest.mark.parametrize("companion", COMPANIONS)
def test_beside_other_headers(companion: str, compiler: Compiler, tmp_path: Path) -> None:
    include = COMPANIONS[companion]
    needs(include)
    if "<linux/" in include and not Path("/usr/include/linux/bpf.h").exists():
        pytest.skip("the kernel's headers are not installed")
    extra = """
    SEC("xdp") int q(struct xdp_md *ctx)
    {
        struct foo *p = bpf_obj_new(struct foo);
        if (p)
            bpf_obj_drop(p);
        bpf_printk("one %d", 1);
        return XDP_PASS;
    }
    """
    made = spec(tmp_path, f"{include}\n#include <bpfheap.h>\n{THREAD}{extra}", compiler)

    assert field(made).local
    assert made.maps["ma"].type == 1000
    refs = [r.name for r in made.programs["q"].refs.values() if r.kind is RefKind.KFUNC]
    assert refs == ["bpf_obj_new_impl", "bpf_obj_drop_impl"]


# -- against the tables


def declared() -> dict[str, int]:
    """Helper -> number, as the header has them."""
    found = re.findall(r"^___bpfheap_helper\((\d+), [^,]+, (\w+),", HEADER, re.MULTILINE)
    return {name: int(number) for number, name in found}


def test_helpers_have_their_numbers() -> None:
    header = declared()
    assert len(set(header.values())) == len(header)
    wanted = {c.name: c.number for c in HELPERS}
    assert wanted.items() <= header.items()


def test_helpers_are_declared_as_libbpf_declares_them(tmp_path: Path) -> None:
    """The types too: a pointer to one must be a pointer to the other."""
    if not LIBBPF.exists():
        pytest.skip("libbpf's headers are not installed")
    text = LIBBPF.read_text()
    name = re.compile(r"\(\*(?:\s*const)?\s*(bpf_\w+)\)\(")
    numbers = re.findall(name.pattern + r".*= \(void \*\)\s*(\d+);", text)
    assert declared().items() <= {n: int(number) for n, number in numbers}.items()

    checks = "\n".join(
        f'_Static_assert(__builtin_types_compatible_p(typeof(*theirs_{n}), typeof(*{n})), "{n}");'
        for n in declared()
    )
    (tmp_path / "theirs.h").write_text(name.sub(r"(*theirs_\1)(", text))
    source = '#include <linux/types.h>\n#include "theirs.h"\n#include <bpfheap.h>\n' + checks + "\n"
    path = tmp_path / "helpers.c"
    path.write_text(source)
    compile_c(path)


LINKED = """
struct item {
    struct bpf_list_node link;
    struct bpf_rb_node node;
    struct bpf_refcount refs;
    int var;
};
struct bpf_spin_lock lock SEC(".data.x");
struct bpf_list_head head __contains(item, link) SEC(".data.x");
struct bpf_rb_root root __contains(item, node) SEC(".data.x");
struct counters { int count; };
struct percpu_val { struct counters __percpu_kptr *ptr; } owner SEC(".data.y");

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
    return container_of(a, struct item, node)->var < container_of(b, struct item, node)->var;
}

SEC("tc") int linked(struct __sk_buff *skb)
{
    struct item *i = bpf_obj_new(struct item), *j = bpf_refcount_acquire(i);
    struct counters __percpu_kptr *c = bpf_percpu_obj_new(struct counters);
    int *mine = bpf_this_cpu_ptr(c), *other = bpf_per_cpu_ptr(c, 1);

    bpf_spin_lock(&lock);
    *mine = *other + bpf_list_push_front(&head, &i->link) + bpf_list_push_back(&head, &j->link);
    bpf_list_pop_front(&head), bpf_list_pop_back(&head);
    bpf_rbtree_add(&root, &i->node, less);
    bpf_rbtree_remove(&root, bpf_rbtree_left(&root, bpf_rbtree_first(&root)));
    bpf_rbtree_right(&root, bpf_rbtree_root(&root));
    *mine += bpf_list_front(&head) != bpf_list_back(&head);
    bpf_spin_unlock(&lock);
    bpf_percpu_obj_drop(c);
    return 0;
}
"""


# What newer vmlinux.h have of them.
VMLINUX_LISTS = """
#define OPAQUE(name, words) struct name { __u64 __opaque[words]; } __attribute__((aligned(8)))
OPAQUE(bpf_list_head, 2); OPAQUE(bpf_list_node, 3); OPAQUE(bpf_rb_root, 2); OPAQUE(bpf_rb_node, 4);
struct bpf_refcount { __u32 __opaque[1]; } __attribute__((aligned(4)));
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
    _Bool (*less)(struct bpf_rb_node *, const struct bpf_rb_node *), void *meta__ign, __u64 off)
    __attribute__((weak, section(".ksyms")));
#endif
"""

LISTS_BESIDE = {
    name: COMPANIONS[name]
    for name in ("nothing", "linux/bpf.h", "linux/bpf.h, bpf_helpers.h", "bpf_helpers.h")
} | {"vmlinux.h": VMLINUX.replace("#endif\n", VMLINUX_LISTS)}


@pytest.mark.parametrize("include", LISTS_BESIDE)
def test_lists_and_trees_beside_other_headers(
    include: str, compiler: Compiler, tmp_path: Path
) -> None:
    needs(LISTS_BESIDE[include])
    made = spec(tmp_path, f"{LISTS_BESIDE[include]}\n#include <bpfheap.h>\n{LINKED}", compiler)

    section = made.maps[".data.x"]
    kinds = {f.path: f.kind for f in special_fields(section.btf, section.value)}
    assert kinds == {"lock": "bpf_spin_lock", "head": "bpf_list_head", "root": "bpf_rb_root"}
    (percpu,) = kptr_fields(made.btf, made.maps[".data.y"].value)
    assert percpu.kind == "percpu_kptr"


def test_kfuncs_go_by_their_names(tmp_path: Path) -> None:
    calls = """
    bpf_mem_free(bpf_obj_alloc(&ma, type_id_local(struct foo)));
    bpf_obj_free(bpf_mem_alloc(&ma, type_id_local(struct foo)));
    unit_free(bpf_obj_new(struct foo));
    bpf_obj_drop(bpf_obj_new(struct foo));
    bpf_mem_prefill(&ma, 100);
    linked(skb);
    bpf_rcu_read_lock();
    int i;
    bpf_for(i, 0, 3) { cond_break; }
    bpf_repeat(2) { if (!can_loop) break; }
    bpf_rcu_read_unlock();
    bpf_assert(i > 1);
    bpf_preempt_disable();
    unsigned long flags;
    bpf_local_irq_save(&flags);
    bpf_local_irq_restore(&flags);
    bpf_preempt_enable();
    struct bpf_wq wq;
    bpf_wq_init(&wq, NULL, 0); bpf_wq_set_callback(&wq, NULL, 0); bpf_wq_start(&wq, 0);
    struct bpf_res_spin_lock lock;
    if (!bpf_res_spin_lock(&lock)) bpf_res_spin_unlock(&lock);
    if (!bpf_res_spin_lock_irqsave(&lock, &flags)) bpf_res_spin_unlock_irqrestore(&lock, &flags);
    """
    source = LINKED.replace('SEC("tc")', "static __noinline")
    source += THREAD.replace("struct foo * p =", f"{calls} struct foo * p =")
    made = spec(tmp_path, f"#include <bpfheap.h>\n{source}")

    refs = made.programs["p"].refs.values()
    # Those of the kernel's objects, vmlinux.h declares, or the program.
    declared = {c.name for c in KFUNCS if not c.takes and not c.gives}
    assert {r.name for r in refs if r.kind is RefKind.KFUNC} == declared


def assertions(facts: dict[str, int]) -> str:
    return "\n".join(f'_Static_assert(({e}) == {v}, "{e}");' for e, v in facts.items())


def test_numbers_are_those_of_the_tables(tmp_path: Path, compiler: Compiler) -> None:
    facts = {t.c_name: t.number for t in MAP_TYPES}
    facts |= {"BPF_ANY": ANY, "BPF_NOEXIST": NOEXIST, "BPF_EXIST": EXIST}
    facts |= {f"BPF_F_{flag.name}": flag.value for flag in MapFlag}
    path = tmp_path / "numbers.c"
    path.write_text(f"#include <bpfheap.h>\n{assertions(facts)}\n")
    compile_c(path, compiler=compiler)


CONTEXTS = {
    t.ctx_struct: t
    for t in PROGRAM_TYPES
    if t.fields and t.raw_ctx is None and t.ctx_struct != "void"
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_contexts_are_laid_out_as_the_tables_say(
    name: str, tmp_path: Path, compiler: Compiler
) -> None:
    row = CONTEXTS[name]
    facts = {f"sizeof(struct {name})": row.ctx_size}
    for f in (f for f in row.fields if f.name != "(padding)"):
        facts[f"offsetof(struct {name}, {f.name})"] = f.offset
        facts[f"sizeof(((struct {name} *)0)->{f.name})"] = f.size
    path = tmp_path / "contexts.c"
    path.write_text(f"#include <bpfheap.h>\n{assertions(facts)}\n")
    compile_c(path, compiler=compiler)


def test_printk_takes_any_number_of_arguments(tmp_path: Path, compiler: Compiler) -> None:
    def calls(count: int) -> list[int]:
        args = "".join(f", skb->len + {i}" for i in range(count))
        source = f"""
        #include <bpfheap.h>
        SEC("tc") int p(struct __sk_buff *skb) {{ return bpf_printk("x"{args}); }}
        """
        insns = spec(tmp_path, source, compiler).programs["p"].insns
        return [i.imm for i in insns if i.opcode == 0x85]

    helpers = declared()
    few, many = helpers["bpf_trace_printk"], helpers["bpf_trace_vprintk"]
    assert [calls(n) for n in (0, 1, 3, 4, 12)] == [[few], [few], [few], [many], [many]]
