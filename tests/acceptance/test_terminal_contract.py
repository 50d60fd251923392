"""
What every command promises at the terminal, tried on the real program in a process of its own.

The commands in `terminal_commands/` exist for these tests only: the driver adds them to the folder
that padelops walks. Everything else is the program as installed.
"""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DRIVER = """
import sys
import padelops.cli.commands
padelops.cli.commands.__path__.append(sys.argv.pop(1))
from padelops.cli.main import main
sys.exit(main())
"""

COMMANDS = Path(__file__).with_name("terminal_commands")


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        assert "schema_version" == next(iter(document))
        return document


def environment(**changes: str) -> dict[str, str]:
    kept = ("PATH", "HOME", "VIRTUAL_ENV", "PYTHONPATH")
    return {n: os.environ[n] for n in kept if n in os.environ} | {"LANG": "C.UTF-8"} | changes


@pytest.fixture
def command() -> list[str]:
    return [sys.executable, "-c", DRIVER, str(COMMANDS)]


@pytest.fixture
def run(command: list[str]) -> Callable[..., Ended]:
    def run(*arguments: str, shell: str = 'exec "$@"', **changes: str) -> Ended:
        done = subprocess.run(
            ["/bin/sh", "-c", shell, "sh", *command, *arguments],
            env=environment(**changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def run_on_terminal(command: list[str]) -> Callable[..., Ended]:
    def run(*arguments: str, width: int = 60, typed: str = "", **changes: str) -> Ended:
        """Standard streams are one terminal; `out` is all that it was sent."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        changes = {"TERM": "xterm-256color"} | changes
        with subprocess.Popen(
            [*command, *arguments],
            env=environment(**changes),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            os.write(ours, typed.encode())
            sent = b""
            with os.fdopen(ours, "rb", buffering=0) as screen:
                try:
                    while block := screen.read(4096):
                        sent += block
                except OSError:  # Linux says EIO when the other side is closed
                    pass
            code = process.wait(60)
        return Ended(code, sent.decode().replace("\r\n", "\n"), "")

    return run


@contextmanager
def started(command: list[str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that has reached its work: it said so on standard error."""
    with subprocess.Popen(
        [*command, *arguments],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        assert "ready\n" == process.stderr.readline()
        yield process


def test_python_m_runs_the_program() -> None:
    """`python -m padelops` is the program; its help lists nothing twice and ends with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "padelops", "--help"],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("Usage: padelops ")


def test_version(run: Callable[..., Ended]) -> None:
    """`--version` names the program and its version."""
    ended = run("--version")

    assert 0 == ended.code
    assert ended.out.startswith("padelops 0.")


def test_without_a_command_the_help_is_shown_and_it_is_no_success(
    run: Callable[..., Ended],
) -> None:
    """A crontab line that lost its command must not look like success."""
    ended = run()

    assert 2 == ended.code
    assert "Commands" in ended.out or "Operations" in ended.out


def test_json_is_one_document_and_talk_stays_out_of_it(run: Callable[..., Ended]) -> None:
    """Money is a string, times carry their offset, and talk goes to standard error."""
    ended = run("list-slots", "--json")

    first = ended.document["slots"][0]
    assert (0, "looking\n") == (ended.code, ended.err)
    assert 1 == ended.document["schema_version"]
    assert ("36.00", "2026-12-05T18:00:00+00:00") == (first["total"], first["start"])
    assert "pádel-centro/2" == first["court"]
    assert "pádel" in ended.out


def test_json_in_an_ascii_locale_is_escaped_not_broken(run: Callable[..., Ended]) -> None:
    """Where the stream cannot carry a letter, JSON's own escape does."""
    ended = run("list-slots", "--json", PYTHONIOENCODING="ascii")

    assert ended.out.isascii()
    assert "pádel-centro/2" == ended.document["slots"][0]["court"]


def test_json_of_half_a_character(run: Callable[..., Ended]) -> None:
    """An argument that is no UTF-8 is a usage error in valid JSON, not a crash."""
    ended = run("list-slots", "--json", "--minutes", os.fsdecode(b"\xff"))

    assert 2 == ended.code
    assert "usage" == ended.document["error"]["code"]


def test_table_is_readable_in_60_columns(run_on_terminal: Callable[..., Ended]) -> None:
    """Text wraps between words; no id is cut, no line is longer than the terminal."""
    ended = run_on_terminal("list-slots", "--columns", "id,court,player,status", "--no-color")

    assert 0 == ended.code
    assert max(map(len, ended.out.splitlines())) <= 60
    for whole in ("9007199254740993", "pádel-centro/2", "Fernández"):
        assert whole in ended.out
    assert 1 == sum("id" in line and "player" in line for line in ended.out.splitlines())


def test_table_too_wide_becomes_records(run_on_terminal: Callable[..., Ended]) -> None:
    """What cannot stand side by side stands one fact per line, ids whole."""
    ended = run_on_terminal("list-slots", NO_COLOR="1")

    assert max(map(len, ended.out.splitlines())) <= 60
    assert "key     6f1c1c3e-8a53-4b5f-9e51-2b7d5b6f0a11" in ended.out.splitlines()
    assert "player  -" in ended.out.splitlines()


def test_piped_table_has_one_line_per_row(run: Callable[..., Ended]) -> None:
    """`grep` and `awk` see whole rows, without decoration at the ends."""
    ended = run("list-slots")

    lines = ended.out.splitlines()
    assert 4 == len(lines)
    assert "6f1c1c3e-8a53-4b5f-9e51-2b7d5b6f0a11" in lines[2]
    assert "Ana María Ruiz de la Torre y Fernández" in lines[2]
    assert lines == [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    "changes",
    [
        {"TERM": "dumb"},
        {"NO_COLOR": "1"},
        {"NO_COLOR": "1", "FORCE_COLOR": "1"},
        {"LC_ALL": "C", "TERM": "dumb"},
    ],
)
@pytest.mark.parametrize("arguments", [("list-slots",), ("work",), ("refuse",), ("--help",)])
def test_plain_terminals_get_no_control_codes(
    run_on_terminal: Callable[..., Ended], arguments: tuple[str, ...], changes: dict[str, str]
) -> None:
    """TERM=dumb and NO_COLOR mean text only, also from progress bars, errors and stored data."""
    ended = run_on_terminal(*arguments, **changes)

    assert "\x1b" not in ended.out
    assert "\r" not in ended.out
    assert ended.out.strip()


def test_pipes_get_no_control_codes_even_when_colour_is_forced(run: Callable[..., Ended]) -> None:
    """Colour is for terminals only."""
    ended = run("work", FORCE_COLOR="1", TERM="xterm-256color")

    assert "\x1b" not in ended.out + ended.err
    assert "a\\x1b[31mb" in ended.out


def test_terminals_get_colour(run_on_terminal: Callable[..., Ended]) -> None:
    """The tests above would pass on a program without any colour."""
    table = run_on_terminal("list-slots")
    bar = run_on_terminal("work")

    assert "\x1b[1m" in table.out
    assert "\x1b[?25l" in bar.out  # the cursor is hidden while the bar moves
    assert "\x1b" not in run_on_terminal("list-slots", "--no-color").out


def test_c_locale_draws_with_ascii_and_keeps_the_data(run: Callable[..., Ended]) -> None:
    """No box-drawing characters in the C locale; a name keeps its letters where they fit."""
    with_utf8 = run("list-slots").out
    ended = run("list-slots", LC_ALL="C")
    strict = run("list-slots", LC_ALL="C", PYTHONIOENCODING="ascii")

    assert "─" in with_utf8
    assert "─" not in ended.out
    assert "-----" in ended.out
    assert strict.out.isascii()
    assert (0, "p\\xe1del-centro/2") == (strict.code, strict.out.split()[9])


def test_refusal_is_one_line_and_its_exit_code(run: Callable[..., Ended]) -> None:
    """Code, message and what to do next, on standard error; nothing on standard output."""
    ended = run("refuse")

    line = "padelops: court_taken: The court is taken at that time. Free nearby: 19:30.\n"
    assert (1, "", f"talk\n{line}") == (ended.code, ended.out, ended.err)


def test_refusal_in_json(run: Callable[..., Ended]) -> None:
    """The document is the error with its facts, and nothing else."""
    ended = run("refuse", "--json")

    assert 1 == ended.code
    assert {
        "schema_version": 1,
        "error": {
            "code": "court_taken",
            "message": "The court is taken at that time.",
            "retryable": False,
            "fix": "Free nearby: 19:30.",
            "free": ["2026-12-05T19:30:00+01:00"],
        },
    } == ended.document


def test_error_is_not_told_twice_on_one_terminal(run_on_terminal: Callable[..., Ended]) -> None:
    """Where the document is read by a person already, the line would only repeat it."""
    ended = run_on_terminal("refuse", "--json", NO_COLOR="1")

    assert "padelops: court_taken" not in ended.out
    assert '  "error": {\n    "code": "court_taken",' in ended.out


def test_error_after_a_result_is_still_one_document(run: Callable[..., Ended]) -> None:
    """A procedure that stopped half way keeps its evidence beside the error."""
    ended = run("refuse", "--after", "--json")

    assert ["one"] == ended.document["steps"]
    assert "court_taken" == ended.document["error"]["code"]


def test_crash_is_outcome_unknown_without_traceback_or_secret(run: Callable[..., Ended]) -> None:
    """A bug looks neither like success nor like a refusal, and does not repeat what it got."""
    ended = run("crash", "bug")

    assert 3 == ended.code
    assert 1 == len(ended.err.splitlines())
    assert ended.err.startswith("padelops: internal_error: padelops failed with ZeroDivisionError")
    assert "secret" not in ended.err
    assert "internal_error" == run("crash", "bug", "--json").document["error"]["code"]


def test_crash_with_debug_shows_the_traceback(run: Callable[..., Ended]) -> None:
    """`PADELOPS_DEBUG=1` is for whoever has to repair it."""
    ended = run("crash", "bug", PADELOPS_DEBUG="1")

    assert 3 == ended.code
    assert "Traceback (most recent call last)" in ended.err


def test_libraries_do_not_talk(run: Callable[..., Ended]) -> None:
    """A library's own log and warnings appear for those who debug, and for nobody else."""
    ended = run("noisy")
    debugged = run("noisy", PADELOPS_DEBUG="1")

    assert (0, "noisy  no\n", "") == (ended.code, ended.out, ended.err)
    assert "OSError: pool" in debugged.err
    assert "beware" in debugged.err


@pytest.mark.parametrize("how", ["socket", "disk"])
def test_trouble_elsewhere_is_not_trouble_with_the_output(
    run: Callable[..., Ended], how: str
) -> None:
    """A database connection that breaks must not end as quietly as `| head` does."""
    ended = run("crash", how)

    assert 3 == ended.code
    assert "internal_error" in ended.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["list-slot"], "No such command 'list-slot'. Did you mean 'list-slots'?"),
        (["list-slots", "--minuts", "5"], "No such option: --minuts. Did you mean --minutes?"),
        (["list-slots", "--minutes", "x"], "Invalid value for '--minutes'"),
        (["list-slots", "--minutes"], "Option '--minutes' requires an argument."),
        (["list-slots", "extra"], "unexpected extra argument"),
        (["--json", "list-slots"], "Put --json after the command."),
        (["tree", "laef"], "Did you mean 'leaf'?"),
        (["tree"], "Missing command. Try 'padelops tree --help'."),
    ],
)
def test_usage_error_is_one_line_with_a_suggestion(
    run: Callable[..., Ended], arguments: list[str], named: str
) -> None:
    """A typing mistake ends with 2 and says what was probably meant."""
    ended = run(*arguments)

    assert 2 == ended.code
    assert 1 == len(ended.err.splitlines())
    assert ended.err.startswith("padelops: usage: ")
    assert named in ended.err


def test_usage_error_in_json(run: Callable[..., Ended]) -> None:
    """Also a command line that cannot be parsed answers in JSON when it asks for JSON."""
    ended = run("list-slots", "--minuts", "5", "--json")

    assert 2 == ended.code
    assert "usage" == ended.document["error"]["code"]


def test_value_that_looks_like_the_flag_is_not_the_flag(run: Callable[..., Ended]) -> None:
    """What the parser understood decides how to answer, not what the words look like."""
    ended = run("list-slots", "--columns", "--json", "--minutes", "x")

    assert (2, "") == (ended.code, ended.out)
    assert "Invalid value for '--minutes'" in ended.err


def test_command_without_a_result_is_a_document_too(run: Callable[..., Ended]) -> None:
    """Who asked for JSON may always parse standard output."""
    assert {"schema_version": 1} == run("wait", "--json").document


def test_group_with_one_command_stays_a_group(run: Callable[..., Ended]) -> None:
    """`tree.py` with only `leaf` in it is `padelops tree leaf`."""
    ended = run("tree", "leaf", "--json")

    assert {"schema_version": 1, "leaf": True} == ended.document


def test_quiet_is_silent_on_success(
    run: Callable[..., Ended], run_on_terminal: Callable[..., Ended]
) -> None:
    """Cron sends no mail when all is well, and no bar moves."""
    assert Ended(0, "", "") == run("verdict", "--quiet")
    assert Ended(0, "", "") == run("verdict", "--quiet", "--json")
    assert Ended(0, "", "") == run_on_terminal("work", "--quiet")


def test_quiet_tells_everything_on_failure(run: Callable[..., Ended]) -> None:
    """Any other exit code brings out all that was held back."""
    ended = run("verdict", "--code", "2", "--quiet")
    refused = run("refuse", "--after", "--quiet")

    assert Ended(2, "verdict  2\n", "evidence in talk\n") == ended
    assert ("steps  one\n", "talk") == (refused.out, refused.err.splitlines()[0])
    assert {"schema_version": 1, "verdict": 2} == run(
        "verdict", "--code", "2", "--quiet", "--json"
    ).document


@pytest.mark.parametrize("arguments", [("many",), ("many", "--json"), ("--help",), ("--version",)])
def test_reader_that_never_reads(command: list[str], arguments: tuple[str, ...]) -> None:
    """A closed pipe ends the program like other Unix tools: 141, and not a word."""
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [*command, *arguments], stdout=writing, stderr=subprocess.PIPE, env=environment()
    ) as process:
        os.close(writing)
        _, told = process.communicate(timeout=60)

    assert (141, b"") == (process.returncode, told)


def test_head(run: Callable[..., Ended]) -> None:
    """`| head -1` gives the first line and no traceback."""
    ended = run("many", shell='{ "$@"; echo "code $?" >&2; } | head -n 1')

    assert ("line 0\n", "code 141\n") == (ended.out, ended.err)


def test_full_non_blocking_pipe_loses_nothing(command: list[str]) -> None:
    """Some parents (node, ssh) hand over such a pipe; waiting is right, giving up is not."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen(
        [*command, "many"], stdout=writing, stderr=subprocess.PIPE, env=environment()
    ) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read()

    assert (0, 30_000) == (process.returncode, text.count(b"\n"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("list-slots",), 3), (("list-slots", "--json"), 3), (("--help",), 8), (("--version",), 8)],
)
@pytest.mark.parametrize(
    ("shell", "reason"),
    [
        ('exec "$@" >/dev/full', "No space left on device"),
        ('exec "$@" >&-', "Bad file descriptor"),
    ],
)
def test_output_that_cannot_be_written_is_no_success(
    run: Callable[..., Ended], shell: str, reason: str, arguments: tuple[str, ...], code: int
) -> None:
    """
    A full disk or a closed stream is one clear line. Once a command has run, what it did is not
    known to the caller, so the exit code must not be the one that means "nothing was changed".
    """
    ended = run(*arguments, shell=shell)

    last = ended.err.splitlines()[-1]
    assert code == ended.code
    assert last.startswith(f"padelops: output_failed: Could not write the output: {reason}.")
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err


def test_verdict_survives_an_output_that_cannot_be_written(run: Callable[..., Ended]) -> None:
    """A check that found something critical still says so by its exit code."""
    ended = run("verdict", "--code", "2", "--json", shell='exec "$@" >/dev/full')

    assert 2 == ended.code
    assert "No space left on device" in ended.err


def test_refusal_survives_an_output_that_cannot_be_written(run: Callable[..., Ended]) -> None:
    """The reason of the refusal is told where telling still works, beside the new trouble."""
    ended = run("refuse", "--json", shell='exec "$@" >/dev/full')

    assert 1 == ended.code
    assert ["talk", "padelops: court_taken:", "padelops: output_failed:"] == [
        " ".join(line.split()[:2]) for line in ended.err.splitlines()
    ]


@pytest.mark.parametrize("shell", ['exec "$@" 2>/dev/full', 'exec "$@" 2>&-', 'exec "$@" <&- 2>&-'])
def test_lost_talk_does_not_change_the_verdict(run: Callable[..., Ended], shell: str) -> None:
    """Results and exit codes do not depend on standard error."""
    ended = run("verdict", "--code", "1", shell=shell)
    done = run("list-slots", "--json", shell=shell)

    assert (1, "verdict  1\n") == (ended.code, ended.out)
    assert 0 == done.code
    assert "EUR" == done.document["currency"]


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "terminated"),
    ],
)
def test_signals_unwind_and_have_their_exit_code(
    command: list[str], number: int, code: int, told: str
) -> None:
    """Clean-up runs, one line says what happened, the code is 128 + signal."""
    with started(command, "wait") as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert (code, "") == (process.returncode, out)
    *before, line = err.splitlines()
    assert ["cleaning up", "cleaned up"] == before
    assert line.startswith(f"padelops: {told}: ")


def test_second_sigterm_does_not_interrupt_the_clean_up(command: list[str]) -> None:
    """`timeout` and some supervisors send it twice; what the first began is finished."""
    with started(command, "wait") as process:
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "cleaning up\n" == process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)

    assert 143 == process.returncode
    assert "cleaned up" == err.splitlines()[0]


def test_ignored_hangup_stays_ignored(command: list[str]) -> None:
    """`nohup padelops ...` outlives its terminal."""
    nohup = ["/bin/sh", "-c", """trap '' HUP; exec "$@" """, "sh"]
    with started([*nohup, *command], "wait") as process:
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=60)

    assert (0, "cleaning up\ncleaned up\n") == (process.returncode, err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_unknown_outcome_wins_over_the_signal(command: list[str], number: int) -> None:
    """A commit cut short is "outcome unknown", never just "interrupted"."""
    with started(command, "wait", "--commit", "--json") as process:
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)

    assert 3 == process.returncode
    assert "outcome_unknown" == json.loads(out)["error"]["code"]


def test_destructive_command_refuses_without_terminal_and_names_the_flag(
    run: Callable[..., Ended],
) -> None:
    """Without anybody to ask it ends at once with 5; with `--yes` it goes on."""
    ended = run("wipe")

    assert (5, "") == (ended.code, ended.out)
    assert "safety_gate" in ended.err
    assert "--yes" in ended.err
    assert 0 == run("wipe", "--yes").code


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("\n", 5), ("no\n", 5), ("\x04", 5)])
def test_destructive_command_asks_on_a_terminal(
    run_on_terminal: Callable[..., Ended], typed: str, code: int
) -> None:
    """Only a clear yes is a yes; Enter and Ctrl-D are not. `--quiet` hides no question."""
    ended = run_on_terminal("wipe", "--quiet", typed=typed, TERM="dumb")

    assert code == ended.code
    assert "Erase 3 rows? [y/N]" in ended.out


def test_completion_lists_commands_and_reaches_into_unloaded_ones(
    run: Callable[..., Ended],
) -> None:
    """Typer's own completion sees commands that are not imported yet, and their options."""
    first = run(_PADELOPS_COMPLETE="complete_bash", COMP_WORDS="padelops li", COMP_CWORD="1")
    option = run(
        _PADELOPS_COMPLETE="complete_bash", COMP_WORDS="padelops list-slots --mi", COMP_CWORD="2"
    )
    inner = run(_PADELOPS_COMPLETE="complete_bash", COMP_WORDS="padelops tree ", COMP_CWORD="2")
    script = run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert ["list-slots"] == first.out.split()
    assert ["--minutes"] == option.out.split()
    assert ["leaf"] == inner.out.split()
    assert "_PADELOPS_COMPLETE=complete_bash" in script.out
