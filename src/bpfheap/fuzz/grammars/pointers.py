"""Pointers and what is added to them: into a value, the stack and the context."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "pointers",
    "numbers added to pointers into values and the stack, in steps, on two paths, and spilled",
    frozenset({"maps", "ringbuf"}),
    {
        "body": (
            "<make 6>\nr1 = r9\n<moved>\n<through>",
            "<apart 6>\nr1 = r9\n<moved>\n<through>",
            "unless <outside 6> {\nr1 = r9\n<moved>\n<noise>\n<through>\n}",
            "r1 = r9\nr1 += r6\nunless <outside 6> {\n<through>\n}",
            "r1 = r9\nunless <flip> {\n<make 6>\nr1 += r6\n}\n<noise>\n<through>",
            "<make 6>\nr1 = r9\nr1 += r6\nr2 = r9\nunless r1 <cmp> r2 {\n<through>\n}",
            "<make 6>\n<sized>",
            "<apart 6>\n<noise>\n<sized>",
            "<make 6>\n<stack>",
            "<apart 6>\n<noise>\n<stack>",
            "unless <flip> {\nr1 = r9\n} else {\nr1 = r10\nr1 += -40\n}\n*(u8 *)(r1 +0) = 1",
            "<words>\nr1 += -24\nunless <flip> {\nr1 += <word>\n}\n<stepped>\n<left>",
            "<words>\nloop {\n<stepped>\nr6 >>= 1\n} while r6 > 0\n<left>",
        ),
        # Of four on the stack, in steps of known length.
        "words": (
            "<make 6>\nr6 &= 3\n*(u64 *)(r10 -8) = 1\n*(u64 *)(r10 -16) = 2\n"
            "*(u64 *)(r10 -24) = 3\n*(u64 *)(r10 -32) = 4\nr1 = r10\nr1 += -8",
        ),
        "word": ("8", "16", "24"),
        "stepped": (
            "r1 += -8\nr2 = r1\nr2 += 8\n*(u64 *)(r2 +0) = 9",
            "r1 += 8\nr7 = *(u64 *)(r1 -8)\nr1 += -16\nr2 = r1\nr2 += 8\n*(u64 *)(r2 +0) = r7",
            "r1 += 4\n*(u32 *)(r1 -4) = r6\nr1 += -12",
            "*(u64 *)(r10 -40) = r1\nr2 = *(u64 *)(r10 -40)\nr2 += <word>\nr1 += -8\n"
            "*(u64 *)(r2 -<word>) = r6",
        ),
        "left": (
            "r0 = *(u64 *)(r10 -8)\nr1 = *(u64 *)(r10 -16)\nr0 ^= r1\nr1 = *(u64 *)(r10 -24)\n"
            "r0 += r1\nr1 = *(u64 *)(r10 -32)\nr0 ^= r1",
        ),
        # r1, which leads into the value, is moved.
        "moved": (
            "r1 += r6",
            "r1 += r6",
            "r1 += r6\nr1 += 4\nr1 -= 4",
            "r1 += $k\nr1 -= r6",
            "r1 += r6\n*(u64 *)(r10 -16) = r1\n<noise>\nr1 = *(u64 *)(r10 -16)",
            "r2 = r1\nr2 += r6\nr1 = r2",
            "r1 += r6\nunless <flip> {\nr1 = r9\n}",
            "unless <flip> {\nr1 += r6\n}",
            "unless <flip> {\nr1 += r6\n} else {\nr1 += $k\n}",
            "r1 += r7\nr1 -= r7\nr1 = r9",
            "r7 = r6\nr7 *= 1\nr1 += r7",
            "r1 += -8\nr1 += r6\nr1 += 8",
            "r1 += r6\nr1 += <step>",
            "loop {\nr1 += r6\nr6 >>= 1\n} while r6 > 0\nr1 = r9",
        ),
        "through": (
            "r0 = *(u8 *)(r1 +$e1)",
            "r0 = *(u16 *)(r1 +$e2)",
            "r0 = *(u32 *)(r1 +$e4)",
            "r0 = *(u64 *)(r1 +$e8)",
            "*(u64 *)(r1 +$e8) = 0",
            "*(u32 *)(r1 +$e4) = r7",
            "*(u8 *)(r1 +$e1) = 1",
            "r0 = *(s8 *)(r1 +$e1)",
            "r1 -= r6\nr0 = *(u8 *)(r1 +0)",
            "r0 = r1\nr0 -= r9\nr6 = r0\n<checked 6>",
        ),
        # Memory whose size is the number: its end is the value's.
        "sized": (
            "r1 = map[name:ring] ll\nr2 = r9\nr2 += $e0\nr3 = r6\nr4 = 0\ncall bpf_ringbuf_output",
            "*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -24) = 0\n*(u64 *)(r10 -32) = 0\n"
            "*(u64 *)(r10 -40) = 0\nr1 = map[name:ring] ll\nr2 = r10\nr2 += -$beyond\nr3 = r6\n"
            "r3 += 1\nr4 = 0\ncall bpf_ringbuf_output",
        ),
        "stack": (
            "r1 = r10\nr1 += r6\n*(u8 *)(r1 -$beyond) = 1",
            "r1 = r10\nr1 += -$beyond\nr1 += r6\n*(u8 *)(r1 +0) = r7",
            "r1 = r10\nr1 -= r6\n*(u64 *)(r1 -8) = 0",
            "*(u64 *)(r10 -8) = 0\n*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -24) = 0\n"
            "*(u64 *)(r10 -32) = 0\nr1 = r10\nr1 += r6\nr0 = *(u8 *)(r1 -$beyond)",
            "*(u64 *)(r10 -16) = r6\nr7 &= 7\nr1 = r10\nr1 += r7\n*(u8 *)(r1 -16) = <tiny>\n"
            "r6 = *(u64 *)(r10 -16)\n<checked 6>",
            "*(u64 *)(r10 -16) = r9\nr7 &= 7\nr1 = r10\nr1 += r7\n*(u8 *)(r1 -24) = 1\n"
            "r1 = *(u64 *)(r10 -16)\n<moved>\n<through>",
        ),
    },
)
