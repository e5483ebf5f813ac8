"""The command line: one file per command, `app` puts them together."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper

from bpfheap import __version__
from bpfheap.cli.app import GlobalOptions, app
from bpfheap.cli.output import complain
from bpfheap.errors import BpfheapError

#: EX_SOFTWARE of sysexits.h: the fault is ours, neither the input's nor the caller's.
INTERNAL_ERROR = 70

#: Errors of writing to a pipe or a file.
_UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (`argv` without the program's name; None: the process's own) and give the
    exit code: 0 fine, 1 something is wrong with the programs or files, 2 wrong usage, 3 a bound was
    reached, 4 a program is unsupported, 5 a kernel says otherwise."""
    try:
        code = _run(argv)
        # Flush here: an error at interpreter exit could not be reported.
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return _unwritten(error)
    return code


def _unwritten(error: OSError) -> int:
    """Report a full disk; say nothing of a closed pipe. Further output goes to /dev/null."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        print(f"the output cannot be written: {error.strerror}", file=sys.stderr)
    return 1


def _run(argv: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        # Names come from files: what the terminal's encoding lacks is shown escaped.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    session = GlobalOptions()
    try:
        app(args=argv, prog_name="bpfheap", obj=session)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0 if done.code is None else 1
    except BpfheapError as error:
        complain(error)
        return error.exit_code
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _UNWRITABLE and not error.filename:
            raise
        if session.debug:
            traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(
            f"internal error in bpfheap {__version__}: {reason} "
            "(please report it; `bpfheap --debug ...` shows where)",
            file=sys.stderr,
        )
        return INTERNAL_ERROR
    return 0
