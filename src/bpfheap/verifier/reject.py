"""How the verifier's parts say no, and that they do not know; the walk adds the place and makes a
VerifierError or Unsupported of it."""

from __future__ import annotations

from bpfheap.errors import LINUX_MAY


class Reject(Exception):
    """The instruction at hand breaks an obligation.

    `message`: the kernel's last line, word for word, where it has one.
    `before`: the lines that the kernel's log has in front of that.
    `detail`: a clause or sentence of ours about it; without one, `before`.
    `register`: the number of the register in question, None for none.
    `hint`: what to change, None if hints.py shall find it.
    `insn`: a slot, if it is another one than the walk stands at.
    """

    def __init__(
        self,
        message: str,
        *,
        before: str = "",
        detail: str = "",
        register: int | None = None,
        hint: str | None = None,
        insn: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.before = before
        self.detail = detail or before.replace("\n", "; ")
        self.register = register
        self.hint = hint
        self.insn = insn


class NotKnown(Reject):
    """The instruction at hand needs what bpfheap does not know, and Linux may.

    `missing`: its name, as in errors.Unsupported.
    """

    def __init__(
        self, message: str, missing: str, *, register: int | None = None, hint: str = LINUX_MAY,
        insn: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message, register=register, hint=hint, insn=insn)
        self.missing = missing
