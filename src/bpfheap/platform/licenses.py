"""Licences of programs, as Linux asks for them (include/linux/license.h of Linux 6.18)."""

from __future__ import annotations

#: What license_is_gpl_compatible takes; any other text, and none, is not compatible.
GPL_COMPATIBLE = (
    "GPL",
    "GPL v2",
    "GPL and additional rights",
    "Dual BSD/GPL",
    "Dual MIT/GPL",
    "Dual MPL/GPL",
)


def is_gpl_compatible(license_: str) -> bool:
    """May a program under that licence call what is for GPL programs only?"""
    return license_ in GPL_COMPATIBLE
