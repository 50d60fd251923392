"""
The embedded server starts once, whoever asks and however often, and says clearly when it cannot.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

import padelops
from padelops.adapters import embedded_postgres, postgres_programs
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.adapters.postgres_account import Account, account_for
from padelops.adapters.postgres_programs import bindirs_in_wheel
from padelops.adapters.postgres_troubles import explain
from padelops.adapters.postmaster import Postmaster, command_line, socket_place
from padelops.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="needs root: switches users or mounts a disk")

FIRST_USE = """
import json, sys
from pathlib import Path
import psycopg
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.errors import DatabaseUnavailable

home, bindir = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
server = EmbeddedPostgres(Path(home), bindir=Path(bindir) if bindir else None)
try:
    with psycopg.connect(server.ensure_running()) as connection:
        role = connection.execute("select current_user").fetchone()[0]
    print(json.dumps({"pid": server.status().pid, "role": role}))
except DatabaseUnavailable as exc:
    print(json.dumps(exc.as_json()))
"""
"""What another process does: it says that it is ready, waits for a line, and uses the server."""


@pytest.fixture
def home(homes: Path) -> Iterator[Path]:
    """Where this test's server may live; nothing is there yet."""
    home = homes / uuid4().hex[:8]
    yield home
    EmbeddedPostgres(home).stop("immediate")
    # At once, before the system writes it all to disk for nothing.
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def fresh(home: Path, pg_bindir: Path | None) -> EmbeddedPostgres:
    """A server before its first use."""
    return EmbeddedPostgres(home, bindir=pg_bindir, durable=False)


@pytest.fixture(scope="module")
def used(homes: Path, pg_bindir: Path | None) -> EmbeddedPostgres:
    """A server that was used before. One for all: making a cluster is what takes the time."""
    server = EmbeddedPostgres(homes / "used", bindir=pg_bindir, durable=False)
    server.ensure_running()
    return server


@pytest.fixture
def server(used: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A server that was used before, and is stopped."""
    used.stop("immediate")
    yield used
    used.stop("immediate")


def query(url: str, statement: str) -> Any:
    """The only value that a statement answers with."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement).fetchone()
    return found and found[0]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def pid_of(server: EmbeddedPostgres) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def kill(server: EmbeddedPostgres) -> int:
    """End the server as a power cut would, and wait until it is gone."""
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not server.status().running)
    return pid


def wait_for(condition: Callable[[], Any], *, timeout_s: float = 20) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return found


def refusal(call: Callable[[], Any]) -> DatabaseUnavailable:
    """The error that a call ends with; checked to be one line with a way out."""
    with pytest.raises(DatabaseUnavailable) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert caught.value.fix
    return caught.value


def drafts(home: Path) -> list[Path]:
    return list(home.glob("data.new-*"))


def another_process(
    home: Path, bindir: Path | None, *, python: list[str] | None = None, **popen: Any
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*(python or [sys.executable]), "-c", FIRST_USE, str(home), str(bindir or "")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **popen,
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    return process


# --- one server --------------------------------------------------------------------------------


def test_first_use_by_eight_processes_starts_one_server(
    home: Path, pg_bindir: Path | None, fresh: EmbeddedPostgres
) -> None:
    """
    Eight processes that find nothing all end up on the same server, as the ordinary role.
    """
    processes = [another_process(home, pg_bindir) for _ in range(8)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]

    assert [{"pid": pid_of(fresh), "role": "padelops"}] * 8 == answers
    assert [] == drafts(home)


def test_the_second_call_finds_the_server_without_starting_anything(
    postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Once it runs, asking again costs a look at a file and at a socket.
    """
    url = postgres_server.ensure_running()
    pid = pid_of(postgres_server)
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(psycopg, "connect", None)

    assert url == EmbeddedPostgres(postgres_server.home).ensure_running()
    assert pid == pid_of(postgres_server)


def test_it_serves_utf8_in_utc_to_an_ordinary_role(
    postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The settings that everything else relies on; the caller's PGPORT changes nothing.
    """
    monkeypatch.setenv("PGPORT", "1")
    url = postgres_server.ensure_running()

    assert "off" == query(url, "show is_superuser")
    assert "on" == query(postgres_server.admin_url(), "show is_superuser")
    assert ("UTF8", "UTC", "", "200") == tuple(
        query(url, f"show {name}")
        for name in ("server_encoding", "timezone", "listen_addresses", "max_connections")
    )
    assert "pádel" == query(url, "select lower('PÁDEL')")
    assert "padelops" == query(
        url, "select datdba::regrole::text from pg_database where datname = 'padelops'"
    )


def test_it_is_closed_to_everybody_else(postgres_server: EmbeddedPostgres) -> None:
    """
    Only the owner and root get in: no other role, no other user, no terminal's Ctrl-C.
    """
    postgres_server.ensure_running()
    status = postgres_server.status()

    assert 0o700 == status.socket_folder.stat().st_mode & 0o777
    assert 0o700 == status.data_folder.stat().st_mode & 0o777
    with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
        psycopg.connect(postgres_server.url(role="pg_monitor"))
    assert pid_of(postgres_server) == os.getsid(pid_of(postgres_server))


def test_data_survives_a_stop_and_a_start(server: EmbeddedPostgres) -> None:
    """
    `stop` may be said twice; the next use finds what was written.
    """
    execute(server.ensure_running(), "create table stopped as select 42 as answer")
    server.stop()
    server.stop()
    stopped = server.status()
    url = server.ensure_running()

    assert (False, None) == (stopped.running, stopped.pid)
    assert 42 == query(url, "select answer from stopped")


def test_nothing_to_stop_is_fine(fresh: EmbeddedPostgres) -> None:
    """
    Stopping and looking make no folder, before the first use.
    """
    fresh.stop()

    assert (False, None) == (fresh.status().running, fresh.status().version)
    assert not fresh.home.exists()


def test_a_frozen_server_can_be_stopped(server: EmbeddedPostgres) -> None:
    """
    A server that somebody sent SIGSTOP still ends when told to.
    """
    server.ensure_running()
    os.kill(pid_of(server), signal.SIGSTOP)
    server.stop()

    assert not server.status().running


# --- what the dead leave behind ----------------------------------------------------------------


def test_it_recovers_from_kill_9(server: EmbeddedPostgres) -> None:
    """
    A killed server is replaced by a new one that has every committed row.
    """
    execute(server.ensure_running(), "create table killed as select 42 as answer")
    killed = kill(server)
    url = server.ensure_running()

    assert killed != pid_of(server)
    assert 42 == query(url, "select answer from killed")


def test_a_pid_that_belongs_to_a_stranger_now_is_no_server(server: EmbeddedPostgres) -> None:
    """
    The dead server's number was given to another process of the same user: the start goes on.
    """
    server.ensure_running()
    kill(server)
    account = account_for(server.data)
    stranger = subprocess.Popen(["sleep", "600"], **account.popen_arguments())
    try:
        for file in (
            server.data / "postmaster.pid",
            server.status().socket_folder / ".s.PGSQL.5432.lock",
        ):
            _, rest = file.read_text().split("\n", 1)
            file.write_text(f"{stranger.pid}\n{rest}")
        url = server.ensure_running()

        assert 1 == query(url, "select 1")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_empty_pid_file_is_no_server(server: EmbeddedPostgres) -> None:
    """
    A full disk or a power cut leaves empty files, which PostgreSQL alone would stumble over.
    """
    server.ensure_running()
    socket_folder = server.status().socket_folder
    kill(server)
    (server.data / "postmaster.pid").write_text("")
    (socket_folder / ".s.PGSQL.5432.lock").write_text("")

    assert 1 == query(server.ensure_running(), "select 1")


def test_it_waits_for_the_children_of_a_killed_server(server: EmbeddedPostgres) -> None:
    """
    Two generations never write to the same files: the new server starts when the old is all gone.
    """
    with psycopg.connect(server.ensure_running()) as orphan:
        child = orphan.info.backend_pid
        os.kill(child, signal.SIGSTOP)
        kill(server)
        starting = threading.Thread(target=server.ensure_running)
        starting.start()
        try:
            wait_for(lambda: "shared memory" in server.log.startup.read_text())
        finally:
            os.kill(child, signal.SIGCONT)
            starting.join()

    assert 1 == query(server.url(), "select 1")


def test_children_that_never_go_are_named(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Waiting for them ends with an error that says whose processes to end.
    """
    monkeypatch.setattr(embedded_postgres, "ORPHANS_TIMEOUT_S", 0)
    with psycopg.connect(server.ensure_running()) as orphan:
        child = orphan.info.backend_pid
        os.kill(child, signal.SIGSTOP)
        try:
            kill(server)
            error = refusal(server.ensure_running)
        finally:
            os.kill(child, signal.SIGCONT)

    assert "busy" == error.facts["reason"]
    assert account_for(server.data).name in str(error)


def test_a_kill_during_the_first_start_leaves_nothing_in_the_way(
    home: Path, pg_bindir: Path | None, fresh: EmbeddedPostgres
) -> None:
    """
    Half a cluster is never taken for a whole one, and is cleared away.
    """
    process = another_process(home, pg_bindir)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    wait_for(lambda: drafts(home))
    process.kill()
    process.communicate()

    assert not (home / "data").exists()
    assert 1 == query(fresh.ensure_running(), "select 1")
    fresh.stop()
    fresh.ensure_running()
    assert [] == drafts(home)


# --- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["long-" + "x" * 100, "com,ma and 'quote\" $HOME", "ñandú"])
def test_a_path_that_no_socket_can_have_works(
    home: Path, pg_bindir: Path | None, name: str
) -> None:
    """
    The socket moves to a short folder in /tmp that only the server's user may enter.
    """
    server = EmbeddedPostgres(home / name, bindir=pg_bindir, durable=False)
    url = server.ensure_running()
    folder = server.status().socket_folder
    try:
        assert 1 == query(url, "select 1")
        assert Path("/tmp") == folder.parent
        assert (server.data.stat().st_uid, 0o700) == (
            folder.stat().st_uid,
            folder.stat().st_mode & 0o777,
        )
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.mark.parametrize("squat", ["another owner", "open to all", "a link"])
def test_a_socket_folder_of_somebody_else_is_refused(
    home: Path, pg_bindir: Path | None, squat: str
) -> None:
    """
    Whoever made our folder in /tmp first does not get to answer our clients.
    """
    if squat == "another owner" and not AS_ROOT:
        pytest.skip("needs root: gives a folder away")
    server = EmbeddedPostgres(home / ("long-" + "x" * 100), bindir=pg_bindir, durable=False)
    uid = account_for(server.data).uid
    folder = socket_place(server.home, uid)
    if squat == "a link":
        folder.symlink_to(home)
    else:
        folder.mkdir()
        os.chown(folder, uid + 1 if squat == "another owner" else uid, -1)
        folder.chmod(0o700 if squat == "another owner" else 0o777)
    try:
        error = refusal(server.ensure_running)

        assert "foreign_folder" == error.facts["reason"]
        assert str(folder) in str(error)
        assert not server.status().running
    finally:
        folder.unlink() if folder.is_symlink() else folder.rmdir()


def test_a_home_that_is_a_file_is_refused(home: Path, fresh: EmbeddedPostgres) -> None:
    """
    A file in the way is named, and left alone.
    """
    home.write_text("mine")
    error = refusal(fresh.ensure_running)

    assert "bad_home" == error.facts["reason"]
    assert "mine" == home.read_text()
    home.unlink()


@pytest.mark.parametrize("path", ["/tmp/line\nbreak", "/tmp/" + "deep/" * 200])
def test_a_path_that_postgresql_cannot_have_is_refused(path: str) -> None:
    """
    Paths that its files and buffers cannot hold are refused before anything is made.
    """
    error = refusal(lambda: EmbeddedPostgres(Path(path)))

    assert "bad_home" == error.facts["reason"]


def test_a_data_folder_with_something_else_in_it_is_refused(
    home: Path, fresh: EmbeddedPostgres
) -> None:
    """
    What is no cluster is neither used nor overwritten.
    """
    (home / "data").mkdir(parents=True)
    (home / "data" / "letter.txt").write_text("mine")
    error = refusal(fresh.ensure_running)

    assert "damaged" == error.facts["reason"]
    assert [home / "data" / "letter.txt"] == list((home / "data").iterdir())


# --- disks -------------------------------------------------------------------------------------


@pytest.fixture
def disk(homes: Path) -> Iterator[Path]:
    """A disk of 20 MB."""
    place = homes / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m,mode=755", "tmpfs", place],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        place.rmdir()
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        EmbeddedPostgres(place / "home").stop("immediate")
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


def fill(disk: Path) -> Path:
    """A file that leaves no byte free."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert 0 == shutil.disk_usage(disk).free
    return filler


@only_root
def test_a_full_disk_is_named_and_leaves_no_half_cluster(
    disk: Path, pg_bindir: Path | None
) -> None:
    """
    First use and later starts both say that the disk is full, and work once it is not.
    """
    server = EmbeddedPostgres(disk / "home", bindir=pg_bindir, durable=False)
    first = refusal(server.ensure_running)
    left = sorted(path.name for path in server.home.iterdir())
    subprocess.run(["mount", "-o", "remount,size=120m", disk], check=True)
    server.ensure_running()
    server.stop()
    filler = fill(disk)
    later = refusal(server.ensure_running)
    speechless = explain("Starting", "", home=disk, user="", fix="")
    filler.unlink()
    url = server.ensure_running()

    assert ["disk_full"] * 3 == [error.facts["reason"] for error in (first, later, speechless)]
    assert ["lock"] == left
    assert 1 == query(url, "select 1")
    server.stop()


@only_root
def test_a_read_only_disk_is_named(disk: Path, pg_bindir: Path | None) -> None:
    """
    Where nothing may be written, the error names the place and the reason.
    """
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    error = refusal(EmbeddedPostgres(disk / "home", bindir=pg_bindir).ensure_running)

    assert "not_writable" == error.facts["reason"]
    assert str(disk) in str(error)
    assert "PADELOPS_HOME" in str(error)


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere; a read-only disk stands in")
def test_a_folder_of_somebody_else_is_named(home: Path, fresh: EmbeddedPostgres) -> None:
    """
    Where we may not write, the error names the place and the reason.
    """
    home.mkdir(mode=0o500)
    error = refusal(fresh.ensure_running)

    assert "not_writable" == error.facts["reason"]
    assert str(home) in str(error)


# --- versions and programs ---------------------------------------------------------------------


def test_data_of_another_version_is_refused(server: EmbeddedPostgres) -> None:
    """
    The error names both versions and the setting that helps; the data stays as it is.
    """
    version = server.data / "PG_VERSION"
    made_by = version.read_text()
    version.write_text("12\n")
    error = refusal(server.ensure_running)
    version.write_text(made_by)

    assert "wrong_version" == error.facts["reason"]
    assert "PostgreSQL 12" in str(error)
    assert "PADELOPS_POSTGRES_BINDIR" in str(error)


@pytest.mark.skipif(len(bindirs_in_wheel()) < 2, reason="the wheel has only one version")
def test_existing_data_keeps_its_version(home: Path) -> None:
    """
    A wheel with a newer PostgreSQL does not lock anybody out of their data.
    """
    older = EmbeddedPostgres(home, bindir=bindirs_in_wheel()[-1], durable=False)
    older.ensure_running()
    older.stop()
    server = EmbeddedPostgres(home, durable=False)
    server.ensure_running()

    assert bindirs_in_wheel()[-1] == server.bindir
    assert older.status().version == server.status().version
    server.stop()


@pytest.mark.parametrize("bindir", [None, Path("/nonexistent/bin"), Path("/usr/bin/env")])
def test_missing_programs_are_named(
    home: Path, bindir: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without the wheel, or with a wrong setting, the error says what to set.
    """
    monkeypatch.setattr(postgres_programs, "WHEEL", "no_such_wheel")
    error = refusal(EmbeddedPostgres(home, bindir=bindir).ensure_running)

    assert "programs" == error.facts["reason"]
    assert "PADELOPS_POSTGRES_BINDIR" in str(error)
    assert "PADELOPS_DATABASE_URL" in str(error)


def test_a_start_that_fails_shows_the_servers_own_words(server: EmbeddedPostgres) -> None:
    """
    The error carries the line in which the server says what is wrong.
    """
    settings = server.data / "postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "max_connections = 'many'\n")
    error = refusal(server.ensure_running)
    settings.write_text(good)

    assert "failed" == error.facts["reason"]
    assert "configuration file" in str(error)


# --- root and others ---------------------------------------------------------------------------


@only_root
def test_root_changes_no_folder_above_the_home(home: Path, pg_bindir: Path | None) -> None:
    """
    Folders that exist keep their modes and owners, however strange; new ones can be passed.
    """
    outer = home / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    outer.chmod(0o711)
    inner.chmod(0o2751)
    above = [*inner.parents, inner]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in above]
    umask = os.umask(0o077)
    server = EmbeddedPostgres(inner / "new" / "home", bindir=pg_bindir, durable=False)
    try:
        server.ensure_running()

        assert before == [(path.stat().st_mode, path.stat().st_uid) for path in above]
        assert account_for(server.data) == Account.for_root()
        assert not (server.home / "programs").exists()
    finally:
        os.umask(umask)
        server.stop()


@only_root
def test_a_home_that_the_servers_user_cannot_enter_is_named(
    home: Path, fresh: EmbeddedPostgres
) -> None:
    """
    Root's own closed folder is not opened; the error says who cannot enter it.
    """
    home.mkdir(mode=0o700)
    error = refusal(fresh.ensure_running)

    assert "not_writable" == error.facts["reason"]
    assert f"'{Account.for_root().name}'" in str(error)
    assert 0o700 == home.stat().st_mode & 0o777


@only_root
def test_unreachable_programs_are_copied_once(home: Path) -> None:
    """
    A virtual environment in root's closed home stays closed; its programs are copied.
    """
    closed = home / "closed"
    closed.mkdir(mode=0o700, parents=True)
    install = bindirs_in_wheel()[0].parent
    copied = closed / "site" / install.parent.name / install.name
    shutil.copytree(install, copied)
    libraries = install.parent.parent / f"{install.parent.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, closed / "site" / libraries.name)
    server = EmbeddedPostgres(home / "home", bindir=copied / "bin", durable=False)
    try:
        server.ensure_running()
        used = command_line(pid_of(server)).split(" -D ")[0]
        made = Path(used).stat().st_ctime_ns
        server.stop()
        server.ensure_running()

        assert used.startswith(str(server.home / "programs"))
        assert made == Path(used).stat().st_ctime_ns
        assert 0o700 == closed.stat().st_mode & 0o777
        assert copied / "bin" == server.bindir
    finally:
        server.stop()


@pytest.fixture
def nobody() -> dict[str, Any]:
    """How to start a Python as an ordinary user: arguments for `another_process`."""
    account = pwd.getpwnam("nobody")
    folders = [Path(module.__file__ or "").parents[1] for module in (padelops, psycopg)]
    switch: dict[str, Any] = {
        "user": account.pw_uid,
        "group": account.pw_gid,
        "extra_groups": [],
        "cwd": "/",
    }
    env = {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run(
                [python, "-c", "import padelops.errors, psycopg"],
                check=True,
                stderr=subprocess.DEVNULL,
                env=env,
                **switch,
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return {"python": [python], "env": env, **switch}
    pytest.skip("no Python that the user nobody can run has what padelops needs")


@only_root
def test_an_ordinary_user_has_a_server_of_their_own_and_root_may_use_it(
    home: Path, pg_bindir: Path | None, fresh: EmbeddedPostgres, nobody: dict[str, Any]
) -> None:
    """
    Started by an ordinary user it runs as them; root finds it, and restarts it as them.
    """
    home.mkdir()
    os.chown(home, nobody["user"], nobody["group"])
    answer, _ = another_process(home, pg_bindir, **nobody).communicate("\n", timeout=60)
    running_as = Path(f"/proc/{pid_of(fresh)}").stat().st_uid
    by_root = query(fresh.ensure_running(), "select current_user")
    fresh.stop()
    fresh.ensure_running()
    restarted_as = Path(f"/proc/{pid_of(fresh)}").stat().st_uid
    again, _ = another_process(home, pg_bindir, **nobody).communicate("\n", timeout=60)

    assert "padelops" == json.loads(answer)["role"] == by_root
    assert [nobody["user"]] * 2 == [running_as, restarted_as]
    assert {"pid": pid_of(fresh), "role": "padelops"} == json.loads(again)


@only_root
def test_another_users_database_is_refused(
    pg_bindir: Path | None, server: EmbeddedPostgres, nobody: dict[str, Any]
) -> None:
    """
    An ordinary user who points at somebody else's home is told whose it is.
    """
    server.ensure_running()
    owner = account_for(server.data)
    if owner.uid == nobody["user"]:
        pytest.skip("root's own servers run as nobody here")
    answer, _ = another_process(server.home, pg_bindir, **nobody).communicate("\n", timeout=60)

    assert "wrong_user" == json.loads(answer)["reason"]
    assert f"'{owner.name}'" in json.loads(answer)["message"]


@only_root
def test_a_socket_in_somebody_elses_folder_is_not_ours(home: Path) -> None:
    """
    A stranger who listens where a dead server did gets no calls.
    """
    lines = ["1", str(home), "0", "5432", str(home / "socket"), "", "0 0", "ready   "]
    (home / "socket").mkdir(parents=True)
    (home / "postmaster.pid").write_text("\n".join(lines))
    answers = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "socket" / ".s.PGSQL.5432"))
        listener.listen()
        for owner in (home.stat().st_uid + 1, home.stat().st_uid):
            os.chown(home / "socket", owner, -1)
            found = Postmaster.read(home)
            answers.append(found is not None and found.answers())

    assert [False, True] == answers
