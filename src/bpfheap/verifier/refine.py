"""What a conditional jump tells of its operands (is_branch_taken, reg_set_min_max).

Each condition is told as one that holds: the fall-through of `jlt` is `jge` holding.
"""

from __future__ import annotations

from collections.abc import Callable

from bpfheap.verifier.scalar import Scalar, tighten
from bpfheap.verifier.tnum import U32_MAX, U64_MAX

#: Both operands, in the order dst, src.
Pair = tuple[Scalar, Scalar]

_SIGN64, _SIGN32 = 1 << 63, 1 << 31


def branch_taken(op: str, width: int, dst: Scalar, src: Scalar) -> bool | None:
    """Is `dst op src` always (True) or never (False) true, on `width` (32, 64) bits?
    None if that depends (is_scalar_branch_taken)."""
    (dv, dm), dsmin, dsmax, dumin, dumax, ds32_min, ds32_max, du32_min, du32_max = dst
    (sv, sm), ssmin, ssmax, sumin, sumax, ss32_min, ss32_max, su32_min, su32_max = src
    if width == 32:
        dv &= U32_MAX
        dm &= U32_MAX
        sv &= U32_MAX
        sm &= U32_MAX
        dsmin, dsmax, dumin, dumax = ds32_min, ds32_max, du32_min, du32_max
        ssmin, ssmax, sumin, sumax = ss32_min, ss32_max, su32_min, su32_max
    match op:
        case "jeq" | "jne":
            if dumin == dumax == sumin == sumax:
                return op == "jeq"
            if (
                dumin > sumax
                or dumax < sumin
                or dsmin > ssmax
                or dsmax < ssmin
                or (dv ^ sv) & ~(dm | sm)
                or (
                    width == 64
                    and (
                        du32_min > su32_max
                        or du32_max < su32_min
                        or ds32_min > ss32_max
                        or ds32_max < ss32_min
                    )
                )
            ):
                return op == "jne"
            return None
        case "jset":
            if dv & sv:
                return True
            return None if (dv | dm) & (sv | sm) else False
        case "jgt":
            return True if dumin > sumax else False if dumax <= sumin else None
        case "jge":
            return True if dumin >= sumax else False if dumax < sumin else None
        case "jlt":
            return True if dumax < sumin else False if dumin >= sumax else None
        case "jle":
            return True if dumax <= sumin else False if dumin > sumax else None
        case "jsgt":
            return True if dsmin > ssmax else False if dsmax <= ssmin else None
        case "jsge":
            return True if dsmin >= ssmax else False if dsmax < ssmin else None
        case "jslt":
            return True if dsmax < ssmin else False if dsmin >= ssmax else None
        case _:
            return True if dsmax <= ssmin else False if dsmin > ssmax else None


def branch(op: str, width: int, dst: Scalar, src: Scalar) -> tuple[Pair | None, Pair | None]:
    """The operands where `dst op src` holds and where it does not, on `width` (32, 64) bits.

    None stands for a side that no pair of values takes (reg_set_min_max, regs_refine_cond_op).
    `op` is one of jeq jne jgt jge jlt jle jsgt jsge jslt jsle jset.
    """
    taken = branch_taken(op, width, dst, src)
    if taken is not None:
        return ((dst, src), None) if taken else (None, (dst, src))
    holds, swapped = _HOLDS[op]
    fails, fails_swapped = _HOLDS[_OPPOSITE[op]]
    return (
        _swap(holds(width, src, dst)) if swapped else holds(width, dst, src),
        _swap(fails(width, src, dst)) if fails_swapped else fails(width, dst, src),
    )


def _swap(pair: Pair | None) -> Pair | None:
    return None if pair is None else (pair[1], pair[0])


def _both(a: Scalar | None, b: Scalar | None) -> Pair | None:
    return None if a is None or b is None else (a, b)


def _equal(width: int, a: Scalar, b: Scalar) -> Pair | None:
    """a == b: each knows what the other knows."""
    (av, am), asmin, asmax, aumin, aumax, as32_min, as32_max, au32_min, au32_max = a
    (bv, bm), bsmin, bsmax, bumin, bumax, bs32_min, bs32_max, bu32_min, bu32_max = b
    s32_min, s32_max = max(as32_min, bs32_min), min(as32_max, bs32_max)
    u32_min, u32_max = max(au32_min, bu32_min), min(au32_max, bu32_max)
    if width == 64:
        both = tighten(
            (av | bv) & ~(am & bm) & U64_MAX, am & bm,
            max(asmin, bsmin), min(asmax, bsmax), max(aumin, bumin), min(aumax, bumax),
            s32_min, s32_max, u32_min, u32_max,
        )  # fmt: skip
        return None if both is None else (both, both)
    v = (av | bv) & U32_MAX
    m = am & bm & U32_MAX
    v &= ~m
    high = U64_MAX ^ U32_MAX
    return _both(
        tighten(
            (av & high) | v, (am & high) | m, asmin, asmax, aumin, aumax,
            s32_min, s32_max, u32_min, u32_max,
        ),
        tighten(
            (bv & high) | v, (bm & high) | m, bsmin, bsmax, bumin, bumax,
            s32_min, s32_max, u32_min, u32_max,
        ),
    )  # fmt: skip


def _unequal(width: int, a: Scalar, b: Scalar) -> Pair | None:
    """a != b: says something only if one is a constant at an end of the other."""
    return _both(_without(width, a, b), _without(width, b, a))


def _without(width: int, s: Scalar, other: Scalar) -> Scalar | None:
    """`s` less the value of `other`, if that is a constant."""
    (v, m), smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max = s
    _, osmin, _, oumin, oumax, os32_min, _, ou32_min, ou32_max = other
    if width == 64:
        if oumin != oumax or not (oumin in (umin, umax) or osmin in (smin, smax)):
            return s
        smin += osmin == smin
        smax -= osmin == smax
        umin += oumin == umin
        umax -= oumin == umax
    else:
        if ou32_min != ou32_max or not (
            ou32_min in (u32_min, u32_max) or os32_min in (s32_min, s32_max)
        ):
            return s
        s32_min += os32_min == s32_min
        s32_max -= os32_min == s32_max
        u32_min += ou32_min == u32_min
        u32_max -= ou32_min == u32_max
    return tighten(v, m, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)


def _less(width: int, a: Scalar, b: Scalar, gap: int) -> Pair | None:
    """a + gap <= b, unsigned."""
    at, asmin, asmax, aumin, aumax, as32_min, as32_max, au32_min, au32_max = a
    bt, bsmin, bsmax, bumin, bumax, bs32_min, bs32_max, bu32_min, bu32_max = b
    if width == 64:
        high, low = bumax - gap, aumin + gap
        left = high >= aumax
        right = low <= bumin
        aumax = min(aumax, high)
        bumin = max(bumin, low)
    else:
        high, low = bu32_max - gap, au32_min + gap
        left = high >= au32_max
        right = low <= bu32_min
        au32_max = min(au32_max, high)
        bu32_min = max(bu32_min, low)
    return _both(
        a if left else tighten(
            at[0], at[1], asmin, asmax, aumin, aumax, as32_min, as32_max, au32_min, au32_max
        ),
        b if right else tighten(
            bt[0], bt[1], bsmin, bsmax, bumin, bumax, bs32_min, bs32_max, bu32_min, bu32_max
        ),
    )  # fmt: skip


def _signed_less(width: int, a: Scalar, b: Scalar, gap: int) -> Pair | None:
    """a + gap <= b, signed."""
    at, asmin, asmax, aumin, aumax, as32_min, as32_max, au32_min, au32_max = a
    bt, bsmin, bsmax, bumin, bumax, bs32_min, bs32_max, bu32_min, bu32_max = b
    if width == 64:
        high, low = bsmax - gap, asmin + gap
        left = high >= asmax
        right = low <= bsmin
        asmax = min(asmax, high)
        bsmin = max(bsmin, low)
    else:
        high, low = bs32_max - gap, as32_min + gap
        left = high >= as32_max
        right = low <= bs32_min
        as32_max = min(as32_max, high)
        bs32_min = max(bs32_min, low)
    return _both(
        a if left else tighten(
            at[0], at[1], asmin, asmax, aumin, aumax, as32_min, as32_max, au32_min, au32_max
        ),
        b if right else tighten(
            bt[0], bt[1], bsmin, bsmax, bumin, bumax, bs32_min, bs32_max, bu32_min, bu32_max
        ),
    )  # fmt: skip


def _any_bit(width: int, a: Scalar, b: Scalar) -> Pair | None:
    """a & b != 0: with a single bit on one side, it is set on the other."""
    return _both(_with_bit(width, a, b), _with_bit(width, b, a))


def _with_bit(width: int, s: Scalar, other: Scalar) -> Scalar | None:
    (v, m), smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max = s
    bits = other[0][0] | other[0][1]
    if width == 32:
        bits &= U32_MAX
    if bits & (bits - 1) or not bits & m:
        return s
    return tighten(v | bits, m & ~bits, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)


def _no_bit(width: int, a: Scalar, b: Scalar) -> Pair | None:
    """a & b == 0: the bits known to be set on one side are clear on the other."""
    return _both(_without_bits(width, a, b), _without_bits(width, b, a))


def _without_bits(width: int, s: Scalar, other: Scalar) -> Scalar | None:
    (v, m), smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max = s
    bits = other[0][0]
    if width == 32:
        bits &= U32_MAX
    if not bits & m:
        return s
    return tighten(v, m & ~bits, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)


def _lt(width: int, a: Scalar, b: Scalar) -> Pair | None:
    return _less(width, a, b, 1)


def _le(width: int, a: Scalar, b: Scalar) -> Pair | None:
    return _less(width, a, b, 0)


def _slt(width: int, a: Scalar, b: Scalar) -> Pair | None:
    return _signed_less(width, a, b, 1)


def _sle(width: int, a: Scalar, b: Scalar) -> Pair | None:
    return _signed_less(width, a, b, 0)


# Condition -> (what it says when it holds, whether that is told of (src, dst)).
_HOLDS: dict[str, tuple[Callable[[int, Scalar, Scalar], Pair | None], bool]] = {
    "jeq": (_equal, False),
    "jne": (_unequal, False),
    "jlt": (_lt, False),
    "jle": (_le, False),
    "jgt": (_lt, True),
    "jge": (_le, True),
    "jslt": (_slt, False),
    "jsle": (_sle, False),
    "jsgt": (_slt, True),
    "jsge": (_sle, True),
    "jset": (_any_bit, False),
    "no bit": (_no_bit, False),
}
_OPPOSITE = {
    "jeq": "jne", "jne": "jeq", "jlt": "jge", "jge": "jlt", "jgt": "jle", "jle": "jgt",
    "jslt": "jsge", "jsge": "jslt", "jsgt": "jsle", "jsle": "jsgt", "jset": "no bit",
}  # fmt: skip
