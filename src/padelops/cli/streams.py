"""
The three standard streams, safe to use whatever the caller did to them.

A write to standard output that fails is caught where it happens, so that nothing further up has
to guess whether some `OSError` came from the output, from a socket or from a file. The usual way,
catching `BrokenPipeError` around everything, would also swallow a database connection that broke.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Any

from padelops.errors import OutputFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

STDIN, STDOUT, STDERR = 0, 1, 2

UNPRINTABLE = {
    number: f"\\u{number:04x}"
    for number in (
        *range(0x7F, 0xA0),  # DEL and the C1 controls; 0x9b starts an escape sequence by itself
        *range(0x202A, 0x202F),  # these and the next show text in another order than it is stored
        *range(0x2066, 0x206A),
    )
}
"""What no text may do to a terminal; JSON text may be translated with this too."""

CONTROLS = UNPRINTABLE | {
    number: f"\\x{number:02x}" for number in range(0x20) if chr(number) not in "\n\t"
}


class ReaderGone(BaseException):
    """
    Whoever read standard output stopped reading, as `| head` does.

    No `Exception`: other Unix programs are killed here (SIGPIPE), so nothing may go on after it.
    """


class _StandardOutput(io.FileIO):
    """The raw end of standard output: after its first failure everything goes to `/dev/null`."""

    def write(self, data: Any, /) -> int:
        try:
            while (written := super().write(data)) is None:
                # A parent may have made the pipe non-blocking; Python gives up on a full one.
                select.select([], [self], [])
        except BrokenPipeError as exc:
            send_to_nowhere(STDOUT)
            raise ReaderGone from exc
        except OSError as exc:
            send_to_nowhere(STDOUT)
            raise OutputFailed(f"Could not write the output: {exc.strerror}.") from exc
        return written


def secure() -> None:
    """
    Occupy closed standard streams, and put `_StandardOutput` in place.

    A closed descriptor would be given to the next file or database socket that is opened, and the
    first line written to "standard output" would end in there. The stand-in for standard output is
    read-only: a result that cannot be delivered must fail, not vanish.
    """
    for descriptor, flags in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number: this one

    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_StandardOutput(STDOUT, "wb", closefd=False)),
        encoding=encoding,
        # A name that the locale cannot write is shown escaped; it must not end the program.
        errors="backslashreplace",
        line_buffering=os.isatty(STDOUT),
    )
    if sys.stderr is None:
        sys.stderr = os.fdopen(STDERR, "w", encoding="utf-8", closefd=False)
    if sys.stdin is None:
        sys.stdin = os.fdopen(STDIN, encoding="utf-8", closefd=False)


def send_to_nowhere(descriptor: int) -> None:
    """Whatever is still buffered for this stream is dropped instead of failing again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def write_result(text: str) -> None:
    """
    Write to standard output and see it through.

    Raises:
        OutputFailed: the disk is full, or the stream is closed.
        ReaderGone: nobody reads any more.
    """
    sys.stdout.write(text)
    sys.stdout.flush()


def write_talk(text: str) -> None:
    """Write to standard error. Where even that fails, only the exit code is left to tell."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        with contextlib.suppress(OSError):
            send_to_nowhere(STDERR)


def harmless(text: str) -> str:
    """The text with its control characters escaped: a player's name may not move the cursor."""
    return text.translate(CONTROLS)


def draws_boxes(encoding: str, environ: Mapping[str, str]) -> bool:
    """
    Whether lines may be drawn with Unicode: a UTF-8 stream, and a locale that is not plain C.

    The encoding alone does not tell: Python writes UTF-8 in the C locale too (PEP 540).
    """
    names = (environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((name for name in names if name), "C")
    return encoding.lower().replace("-", "").startswith("utf") and locale not in {"C", "POSIX"}
