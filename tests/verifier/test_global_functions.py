"""Global functions are walked by their declarations, not by what callers pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpfheap.btf import Btf, Func, FuncProto
from bpfheap.compile import object_spec
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import verify

_SOURCE = """
#include "bpfheap.h"
#define global __attribute__((weak, noinline))
#define __nonnull_arg __attribute__((btf_decl_tag("arg:nonnull")))
struct pair { __u64 left, right; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct pair);
} table SEC(".maps");
static inline __u8 *value(void)
{
    __u32 key = 0;
    return bpf_map_lookup_elem(&table, &key);
}
global int index_of(__u32 n) { __u8 *v = value(); return v ? v[n] : 0; }
global int checked_index_of(__u32 n) { __u8 *v = value(); return v && n < 16 ? v[n] : 0; }
global int write(struct pair *p)
{
    int five = 5;
    asm volatile("" : "+r"(five));
    if (p)
        p->left = 7;
    return five;
}
global int write_always(struct pair *p) { p->left = 7; return 0; }
global int write_given(struct pair *p __nonnull_arg) { p->left = 7; return 0; }
global int length(struct __sk_buff *skb) { return skb->len; }
global void nothing(int n) { }
#define __arena_arg __attribute__((btf_decl_tag("arg:arena")))
global int in_arena(struct pair *p __arena_arg) { return p ? 1 : 0; }

SEC("tc") int unchecked(struct __sk_buff *ctx) { return index_of(3); }
SEC("tc") int checked(struct __sk_buff *ctx) { return checked_index_of(300); }
SEC("tc") int uncalled(struct __sk_buff *ctx)
{
    __u64 no = 0;
    asm volatile("" : "+r"(no));
    return no ? index_of(3) : 0;
}
SEC("tc") int result(struct __sk_buff *ctx)
{
    struct pair p = {};
    __u8 *v = value();
    return v ? v[write(&p)] : 0;
}
SEC("tc") int own_memory(struct __sk_buff *ctx)
{
    struct pair p = {};
    write(&p);
    return p.left & 1;
}
SEC("tc") int written(struct __sk_buff *ctx)
{
    struct pair p = {};
    __u8 *v = value();
    write(&p);
    return v ? v[p.left] : 0;
}
SEC("tc") int too_short(struct __sk_buff *ctx)
{
    __u64 half = 0;
    return write((struct pair *)&half);
}
SEC("tc") int unchecked_pointer(struct __sk_buff *ctx)
{
    struct pair p = {};
    return write_always(&p);
}
SEC("tc") int nonnull(struct __sk_buff *ctx) { struct pair p = {}; return write_given(&p); }
SEC("tc") int context(struct __sk_buff *ctx) { return length(ctx); }
SEC("tc") int no_context(struct __sk_buff *ctx) { __u64 x = 0; return length((void *)&x); }
SEC("tc") int passing_arena(struct __sk_buff *ctx) { struct pair p = {}; return in_arena(&p); }
SEC("tc") int without_result(struct __sk_buff *ctx) { nothing(1); return 0; }
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def obj(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = tmp_path_factory.mktemp("globals") / "globals.bpf.c"
    path.write_text(_SOURCE)
    return object_spec(path)


@pytest.mark.parametrize(
    ("program", "message", "detail"),
    [
        ("checked", None, ""),
        ("unchecked", "R0 unbounded memory access, make sure", "the map value has"),
        ("uncalled", None, ""),
        ("result", "makes map_value pointer be out of bounds", ""),
        ("own_memory", None, ""),
        ("written", "unbounded min value", ""),
        ("too_short", "invalid args into func#1 ('write')", "invalid read from stack"),
        ("unchecked_pointer", "invalid mem access 'mem_or_null'", ""),
        ("nonnull", None, ""),
        ("context", None, ""),
        ("no_context", "invalid args into func#1 ('length')", "R1 expected pointer to ctx"),
        ("passing_arena", "Caller passes invalid args into func#1 ('in_arena')", ""),
        ("without_result", "invalid args into func#1 ('nothing')", "doesn't return scalar"),
    ],
)
def test_global_functions(obj: ObjectSpec, program: str, message: str | None, detail: str) -> None:
    error = verify(obj, obj.programs[program]).error
    if message is None:
        assert error is None, error
    else:
        assert error is not None
        assert message in error.message
        assert detail in error.detail


def test_more_arguments_than_registers(obj: ObjectSpec) -> None:
    """No compiler makes such a function."""
    spec = obj.programs["checked"]
    (sub,) = [sub for sub in spec.subprogs if sub.name == "checked_index_of"]
    types = list(spec.btf)
    func = types[sub.func_id]
    assert isinstance(func, Func)
    proto = types[func.type]
    assert isinstance(proto, FuncProto)
    types[func.type] = FuncProto(proto.ret, proto.params * 6)
    error = verify(obj, replace(spec, btf=Btf(tuple(types), "many"))).error
    assert error is not None
    assert "checked_index_of() with 6 > 5 args" in error.detail
