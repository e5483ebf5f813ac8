"""How the verifier's parts say no; the walk adds the place and makes a VerifierError of it."""

from __future__ import annotations


class Reject(Exception):
    """The instruction at hand breaks an obligation.

    `message`: as the kernel's where it has one.
    `register`: the number of the register in question, None for none.
    `hint`: what to change, None if hints.py shall find it.
    `insn`: a slot, if it is another one than the walk stands at.
    """

    def __init__(
        self,
        message: str,
        *,
        register: int | None = None,
        hint: str | None = None,
        insn: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.register = register
        self.hint = hint
        self.insn = insn
