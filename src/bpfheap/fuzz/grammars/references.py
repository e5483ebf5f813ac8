"""Records of ring buffers and objects, which have to be given back on every path."""

from bpfheap.fuzz.grammar import Grammar

_NEW = "r1 = type fuzz_node\nr2 = 0\ncall kfunc bpf_obj_new_impl\nr$1 = r0"
_FIELD = "r1 = r9\ncall bpf_kptr_xchg"

GRAMMAR = Grammar(
    "references",
    "records and objects that are owned: copied, spilled, checked, put into kptrs, given back",
    frozenset({"maps", "kptrs", "ringbuf"}),
    {
        # r9 = a value with kptr fields, r8 = a number, r6 and r7 what may be owned.
        "start": (
            "*(u32 *)(r10 -4) = <key>\nr2 = r10\nr2 += -4\nr1 = map[name:<held>] ll\n"
            "call bpf_map_lookup_elem\nunless r0 == 0 {\nr9 = r0\nr8 = *(u64 *)(r9 +24)\n"
            "r6 = 0\nr7 = 0\n<body>\n}\nr0 = 0",
        ),
        "held": ("table", "values"),
        "body": (
            "<record>",
            "<object>",
            "<record>\n<object>",
            "<object>\n<object>",
            "unless <flip> {\n<object>\n}",
            "unless <flip> {\n<record>\n} else {\n<object>\n}",
        ),
        "record": (
            "<reserve 6>\nunless r6 == 0 {\n<written 6>\n<submit 6>\n}",
            "<reserve 6>\nr7 = r6\nunless r7 == 0 {\n<written 6>\n<submit 7>\n}",
            "<reserve 6>\n*(u64 *)(r10 -16) = r6\nunless r6 == 0 {\n<written 6>\n"
            "r6 = *(u64 *)(r10 -16)\n<submit 6>\n}",
            "<reserve 6>\n*(u64 *)(r10 -16) = r6\nunless <flip> {\nr0 = 1\n}\n"
            "r7 = *(u64 *)(r10 -16)\nunless r7 == 0 {\n<written 7>\n<submit 7>\n}",
            "unless <flip> {\n<reserve 6>\n}\nunless r6 == 0 {\n<written 6>\n"
            "<submit 6>\n}",
            "<reserve 6>\nunless r6 != 0 {\n<no_more>\n} else {\n<submit 6>\n"
            "<gone>\n}",
        ),
        "reserve": (
            "r1 = map[name:ring] ll\nr2 = 40\nr3 = 0\ncall bpf_ringbuf_reserve\nr$1 = r0",
        ),
        "written": (
            "*(u64 *)(r$1 +32) = 1",
            "*(u8 *)(r$1 +39) = 1",
            "r8 &= 7\nr1 = r$1\nr1 += r8\n*(u8 *)(r1 +32) = 1",
            "unless <flip> {\n*(u64 *)(r$1 +0) = 1\n}",
            "unless r8 > $k {\nr1 = r$1\nr1 += r8\n*(u64 *)(r1 +$e8) = 1\n}",
        ),
        "submit": (
            "r1 = r$1\nr2 = 0\ncall bpf_ringbuf_submit",
            "r1 = r$1\nr2 = 0\ncall bpf_ringbuf_discard",
            "unless <flip> {\nr1 = r$1\nr2 = 0\ncall bpf_ringbuf_submit\n} else {\n"
            "r1 = r$1\nr2 = 0\ncall bpf_ringbuf_discard\n}",
        ),
        "no_more": ("r0 = 1", "r7 = r6", "r7 = 0"),
        # Somebody still has what was given back.
        "gone": ("r0 = 0", "r0 = 0", "r7 = r6", "r0 = *(u64 *)(r6 +0)", "r7 = r6\n<submit 7>"),
        "object": (
            "<gotten 6>\nunless r6 == 0 {\n<touched 6>\n<given 6>\n}",
            "<gotten 6>\nr7 = r6\nunless r6 == 0 {\n<touched 7>\n<given 7>\n}",
            "<gotten 6>\n*(u64 *)(r10 -16) = r6\nunless r6 == 0 {\n<touched 6>\n"
            "r7 = *(u64 *)(r10 -16)\n<given 7>\n}",
            "<gotten 6>\nunless r6 == 0 {\nunless <flip> {\n<given 6>\n} else {\n<given 6>\n}\n}",
            "unless <flip> {\n<gotten 6>\n}\nunless r6 == 0 {\n<given 6>\n}",
            "<gotten 6>\nunless r6 == 0 {\n<given 6>\n<gone>\n}",
            "<gotten 6>\nunless r6 == 0 {\n<given 6>\nr6 = 0\n}\n<gotten 6>\nunless r6 == 0 {\n"
            "<given 6>\n}",
        ),
        "gotten": (_NEW, "r2 = 0\n" + _FIELD + "\nr$1 = r0"),
        "touched": (
            "r0 = *(u64 *)(r$1 +0)",
            "*(u64 *)(r$1 +16) = 7",
            "r1 = r$1\nr1 += 24\nr2 = 0\ncall bpf_kptr_xchg\nunless r0 == 0 {\n<drop 0>\n}",
        ),
        "given": (
            "<drop $1>",
            "r2 = r$1\n" + _FIELD + "\nunless r0 == 0 {\n<drop 0>\n}",
            "r2 = r$1\n" + _FIELD + "\nr6 = r0\nunless r6 == 0 {\n<drop 6>\n}",
            "*(u64 *)(r10 -24) = r$1\nr2 = *(u64 *)(r10 -24)\n" + _FIELD
            + "\nunless r0 == 0 {\n<drop 0>\n}",
        ),
        "drop": ("r1 = r$1\nr2 = 0\ncall kfunc bpf_obj_drop_impl",),
    },
)  # fmt: skip
