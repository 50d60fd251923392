"""
What every test may use: real servers that never outlive the test process, and a desk on a database
of its own with the demo clubs in it.

A test that cannot do without a program names it: `@pytest.mark.needs("redis-server")`. Where it is
missing the test is skipped with the reason, or failed if PADELOPS_TEST_REQUIRE names it, or `all`.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.settings import Settings
from padelops.wiring import Desk, open_desk, upgrade_schema
from testbed.clock import Clock
from testbed.labs import running_lab
from testbed.pair import Pair, pair_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.api.app import App
    from padelops.lab.laboratory import Lab

ROOT = Path(__file__).parents[1]

BINDIR = "PADELOPS_TEST_PG_BINDIR"
"""Set it to run the tests on another PostgreSQL than the wheel's."""

GUARD = """
import shutil, sys
from pathlib import Path
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.errors import DatabaseUnavailable

sys.stdin.read()
for file in Path(sys.argv[1]).rglob("postmaster.pid"):
    try:
        EmbeddedPostgres(file.parent.parent).stop("immediate")
    except DatabaseUnavailable as exc:
        print(exc, file=sys.stderr)
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
"""Waits for the end of its input, which comes with the end of the test process, even by kill -9."""


# A shell that runs us in the background has us ignore these, and a child inherits what is ignored:
# but the tests of signals are about a program that was started at a terminal.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )

REQUIRE = "PADELOPS_TEST_REQUIRE"
"""Programs whose absence is a failure, by name with commas between, or `all`."""

PATIENT_MS = 5_000
"""A level-1 budget that a busy machine keeps, for tests that are not about the budget."""

ENOUGH_MEMORY = 1_000_000_000

KEEPER = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
sys.stdin.read()
child.kill()
child.wait()
"""
"""Runs a server until its own input ends, which comes with the end of the test process."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: breaks real servers for long; make test-cluster")
    config.addinivalue_line("markers", "needs(*programs): programs that the test cannot do without")


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """
    Give one worker all tests of a group, such as those of the one lab; any worker the others.

    xdist's own `--dist loadgroup` marks a test by its `_nodeid`, which pytest 9.2 no longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where it is used

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0]) or nodeid

    return Grouped(config, log)


@cache
def group_of(file: str) -> str | None:
    """The `xdist_group` of a file's tests, as it stands in the file."""
    found = re.search(r'xdist_group\("(\w+)"\)', Path(ROOT, file).read_text(encoding="utf-8"))
    return found and found[1]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """
    Skip what cannot run here, or fail where that is not accepted.
    """
    required = os.environ.get(REQUIRE, "").split(",")
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if shutil.which(program) is None:
                reason = f"{program} is not installed"
                if {"all", program} & set(required):
                    pytest.fail(f"{reason}, and {REQUIRE} asks for it", pytrace=False)
                pytest.skip(reason)


@pytest.fixture(scope="session")
def pg_bindir() -> Path | None:
    """The PostgreSQL programs to test with; None means the wheel's."""
    given = os.environ.get(BINDIR)
    return Path(given) if given else None


@contextmanager
def guarded_folder(parent: Path) -> Iterator[Path]:
    """
    A folder for homes of embedded servers; they are stopped and removed when the tests end.

    Its path is short enough for sockets, and every user may pass, as pytest's own tmp_path is not.
    """
    folder = parent / f"padelops-test-{uuid4().hex[:8]}"
    folder.mkdir()
    folder.chmod(0o755)
    guard = subprocess.Popen(
        [sys.executable, "-c", GUARD, folder], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield folder
    finally:
        guard.communicate(timeout=60)


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """A folder for homes of embedded servers, on disk."""
    with guarded_folder(Path("/tmp")) as folder:
        yield folder


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """The same in memory where there is enough: copying a database is then four times faster."""
    shared = Path("/dev/shm")
    roomy = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ENOUGH_MEMORY
    with guarded_folder(shared if roomy else Path("/tmp")) as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_server(memory: Path, pg_bindir: Path | None) -> EmbeddedPostgres:
    """A running PostgreSQL for this test process; make a database of your own in it."""
    server = EmbeddedPostgres(memory / "shared", bindir=pg_bindir, durable=False)
    server.ensure_running()
    return server


class Databases:
    """Databases of one server: copies of a template, dropped once nobody is in them."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._admin = psycopg.connect(server.admin_url(), autocommit=True)
        self._numbers = itertools.count(1)
        self._done: list[str] = []

    def create(self, template: str = "template0") -> str:
        """A new database's name. Dropping waits until now, because closing takes a moment."""
        for name in self._done:
            self._drop(name)
        self._done.clear()
        name = f"t{next(self._numbers)}"
        # Copying files costs half of what copying through the log does.
        self._run(
            "CREATE DATABASE {} TEMPLATE {} OWNER padelops STRATEGY file_copy", name, template
        )
        return name

    def done_with(self, name: str) -> None:
        self._done.append(name)

    def _drop(self, name: str) -> None:
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _run(self, statement: str, *names: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def close(self) -> None:
        self._admin.close()


@pytest.fixture(scope="session")
def databases(postgres_server: EmbeddedPostgres) -> Iterator[Databases]:
    """Makes databases on this test process's server."""
    databases = Databases(postgres_server)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def demo_clubs() -> Path:
    """The club file that `padelops demo` applies."""
    return Path(str(resources.files("padelops.demo").joinpath("clubs.yaml")))


@pytest.fixture(scope="session")
def template(databases: Databases, postgres_server: EmbeddedPostgres, demo_clubs: Path) -> str:
    """The name of a migrated database with the demo clubs, to be copied."""
    name = databases.create()
    settings = Settings(
        database_url=SecretStr(postgres_server.url(name)), home=postgres_server.home
    )
    upgrade_schema(settings)
    with open_desk(settings, actor="template", clock=Clock()) as desk:
        desk.apply_club_file(demo_clubs)
    with psycopg.connect(postgres_server.admin_url(name), autocommit=True) as connection:
        connection.execute("VACUUM FULL")  # half the size, so half the copying
    return name


@pytest.fixture
def empty_database(databases: Databases, postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    name = databases.create()
    yield postgres_server.url(name)
    databases.done_with(name)


@pytest.fixture
def database_url(
    databases: Databases, postgres_server: EmbeddedPostgres, template: str
) -> Iterator[str]:
    """The URL of a database of this test's own: migrated, with the demo clubs."""
    name = databases.create(template)
    yield postgres_server.url(name)
    databases.done_with(name)


@pytest.fixture
def settings(database_url: str, postgres_server: EmbeddedPostgres) -> Settings:
    """What a desk on this test's database is opened with."""
    return Settings(
        database_url=SecretStr(database_url), home=postgres_server.home, level1_budget_ms=PATIENT_MS
    )


@pytest.fixture
def clock() -> Clock:
    """The desks' clock; it moves only when the test moves it."""
    return Clock()


@pytest.fixture
def another_desk(settings: Settings, clock: Clock) -> Iterator[Callable[..., Desk]]:
    """Opens desks on this test's database; keywords change the settings. Closed at the end."""
    with ExitStack() as stack:

        def opened(*, actor: str = "tester", **changes: Any) -> Desk:
            changed = Settings.model_validate(settings.model_dump() | changes)
            return stack.enter_context(open_desk(changed, actor=actor, clock=clock))

        yield opened


@pytest.fixture
def desk(another_desk: Callable[..., Desk]) -> Desk:
    """A desk at three demo clubs, on Monday 2026-11-30 at 10:00 in Madrid."""
    return another_desk()


@pytest.fixture
def app(settings: Settings, clock: Clock, tmp_path: Path) -> Iterator[App]:
    """The HTTP API on this test's database, without a server before it."""
    from padelops.api.app import App  # noqa: PLC0415
    from padelops.api.rate_limits import RateLimits  # noqa: PLC0415

    app = App(settings, RateLimits(tmp_path / "rates"), clock=clock)
    yield app
    app.close()


def name_of(database_url: str) -> str:
    """The name of the database in an embedded server's URL."""
    return database_url.rpartition("@/")[2].partition("?")[0]


@pytest.fixture
def raw(database_url: str, postgres_server: EmbeddedPostgres) -> Iterator[Callable[[], Any]]:
    """Opens superuser connections to this test's database, past the library."""
    url = postgres_server.admin_url(name_of(database_url))
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            psycopg.connect(url, autocommit=True, options="-c timezone=UTC")
        )


@pytest.fixture
def psql(raw: Callable[[], Any]) -> Any:
    """One connection as an engineer at 3 a.m. has it: superuser, autocommit, no library."""
    return raw()


@pytest.fixture
def outage(database_url: str, postgres_server: EmbeddedPostgres) -> Iterator[Callable[[], Any]]:
    """A context in which this test's database throws padelops out and lets nobody in."""
    name = name_of(database_url)
    with psycopg.connect(postgres_server.admin_url(), autocommit=True) as admin:

        def allow(allowed: bool) -> None:
            statement = "ALTER DATABASE {} ALLOW_CONNECTIONS {}"
            admin.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(allowed)))

        @contextmanager
        def outage() -> Iterator[None]:
            allow(False)
            try:
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = %s AND application_name = 'padelops'",
                    [name],
                )
                yield
            finally:
                allow(True)

        yield outage


@pytest.fixture(scope="session")
def redis_url(memory: Path) -> Iterator[str]:
    """A real Redis of this test process. Ask for the program with `needs("redis-server")`."""
    socket = memory.with_name(f"{memory.name}-redis.sock")
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, "redis-server", *options], stdin=subprocess.PIPE
    )
    deadline = time.monotonic() + 20
    while not socket.exists():
        assert time.monotonic() < deadline, "redis-server did not start"
        time.sleep(0.01)
    yield f"unix://{socket}?db=0"
    keeper.communicate(timeout=20)
    socket.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def seed(memory: Path, demo_clubs: Path, pg_bindir: Path | None) -> EmbeddedPostgres:
    """A stopped server with the demo clubs: what each pair of servers begins as a copy of."""
    server = EmbeddedPostgres(memory / "seed", bindir=pg_bindir, durable=False)
    settings = Settings(
        database_url=SecretStr(server.ensure_running()),
        home=server.home,
        level1_budget_ms=PATIENT_MS,
    )
    upgrade_schema(settings)
    with open_desk(settings, actor="seed", clock=Clock()) as desk:
        desk.apply_club_file(demo_clubs)
    server.stop()
    return server


@pytest.fixture
def pair(seed: EmbeddedPostgres, memory: Path) -> Iterator[Pair]:
    """A primary and its synchronous standby of this test's own."""
    with pair_of(seed, memory / f"pair-{uuid4().hex[:4]}") as pair:
        yield pair


@pytest.fixture(scope="session")
def one_lab() -> Iterator[Lab]:
    """The one cluster of this test process."""
    with running_lab() as lab:
        yield lab


@pytest.fixture
def lab(one_lab: Lab) -> Lab:
    """
    One cluster for every test that needs one; put them all into `xdist_group("lab")`. What a test
    breaks it brings back, with `up`; the next one begins when all nodes agree again.
    """
    one_lab.wait_until_settled(one_lab.state(), steady_s=1)
    return one_lab
