"""What programs are held against, and the Examiner of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from importlib import import_module

from bpfheap.errors import UsageError
from bpfheap.fuzz.against_kernel import AgainstKernel
from bpfheap.fuzz.against_unpruned import AgainstUnpruned
from bpfheap.fuzz.generate import random_program
from bpfheap.fuzz.results import Examiner, Made
from bpfheap.fuzz.soundness import AgainstModel
from bpfheap.kernel import Kernel, available


class Against(StrEnum):
    """What the verifier is compared with."""

    KERNEL = "kernel"
    UNPRUNED = "unpruned"
    MODEL = "model"
    NATIVE = "native"


@contextmanager
def opened(against: Against, seed: int, features: frozenset[str], made: Made) -> Iterator[Examiner]:
    """The Examiner of what `made` makes. Raises KernelError if only the kernel could tell and may
    not be asked, UsageError if the native machine is not built."""
    match against:
        case Against.KERNEL:
            with Kernel() as kernel:
                yield AgainstKernel(seed, features, kernel, made)
        case Against.UNPRUNED:
            # Aimed programs are short.
            often = made is not random_program
            yield AgainstUnpruned(seed, features, made, stored_often=often)
        case Against.MODEL:
            yield AgainstModel(seed, features, made)
        case Against.NATIVE:
            try:
                machines = import_module("bpfheap.fuzz.machines")
            except ImportError as error:
                raise UsageError(f"the native machine is not here: {error}") from None
            with Kernel() if available() is None else nullcontext() as kernel:
                yield machines.AgainstNative(seed, features, kernel, made)
