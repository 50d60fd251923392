"""
Runbooks hang together: a file loads or says what is wrong with it, and no command in it is wrong.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from padelops.errors import InvalidInput, NotFound
from padelops.ops.data_folders import data_folder
from padelops.ops.recovery import OPERATIONS
from padelops.ops.runbook_text import index, markdown
from padelops.ops.runbooks import (
    Budget,
    Runbook,
    read_runbooks,
    runbook_named,
    the_runbooks,
)
from testbed.command_lines import parsed

OF_THE_SYSTEM = {"systemctl", "journalctl"}
"""What a runbook may ask a person to type besides padelops."""

BOOKS = tuple(the_runbooks().values())

RIGHT: dict[str, Any] = {
    "title": "A trouble",
    "alerts": ["trouble"],
    "level": 1,
    "budget": "immediate",
    "summary": "What it is.",
    "steps": [
        {"name": "see", "title": "See", "why": "To know.", "do": "health"},
        {
            "name": "ask",
            "title": "Ask",
            "why": "A person knows.",
            "person": {"look_at": ["The sky."], "done_when": "It is blue."},
        },
    ],
}


def by_name(book: Runbook) -> str:
    return book.name


def written(folder: Path, document: Any) -> Path:
    (folder / "trouble.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


def test_a_runbook_is_read_as_it_is_written(tmp_path: Path) -> None:
    """What the file says is what is run; its name is the file's."""
    book = read_runbooks(written(tmp_path, RIGHT))["trouble"]

    assert ("trouble", Budget.IMMEDIATE) == (book.name, book.budget)
    assert ["see", "ask"] == [step.name for step in book.steps]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"do": "breaker.close"}, "no operation 'breaker.close'; did you mean breakers.close?"),
        ({"do": "breakers.close", "with": {"breaker": "payments"}}, "no breaker 'payments'"),
        ({"do": "breakers.close"}, "step 1 (see): with.breaker: Field required"),
        ({"do": "health", "with": {"checks": ["gateway"]}}, "no health check 'gateway'"),
        ({"do": "health", "with": {"wait": 3}}, "with.wait: Extra inputs are not permitted"),
        ({"do": "cache.purge", "with": {"pattern": "*"}}, "A purge of everything is refused"),
        ({"do": "integrity.repair", "with": {"names": ["courts"]}}, "'courts' is mended"),
        ({"do": None}, "a step has either `do: OPERATION` or `person:`"),
        ({"do": "health", "whith": {}}, "step 1 (see), whith: extra inputs"),
    ],
)  # fmt: skip
def test_a_wrong_step_is_refused_by_file_step_and_what_would_be_right(
    tmp_path: Path, step: dict[str, Any], said: str
) -> None:
    """Whoever wrote it finds the place without searching."""
    first = {**RIGHT["steps"][0], **step}

    with pytest.raises(InvalidInput) as refused:
        read_runbooks(written(tmp_path, RIGHT | {"steps": [first]}))

    assert refused.value.message.startswith("alerts/runbooks/trouble.yaml, step 1 (see)")
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget": "soon"}, "trouble.yaml, budget: input should be 'immediate'"),
        ({"level": 4}, "trouble.yaml, level: input should be 1, 2 or 3"),
        ({"steps": []}, "trouble.yaml, steps: tuple should have at least 1 item"),
        ({"steps": [RIGHT["steps"][0]] * 2}, "two steps are called 'see'; give each a name"),
        ({"tittle": "A"}, "trouble.yaml, tittle: extra inputs are not permitted"),
    ],
)
def test_a_wrong_runbook_is_refused_by_file_and_field(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """Nothing is guessed, and nothing unknown is passed over."""
    with pytest.raises(InvalidInput, match=re.escape(said)):
        read_runbooks(written(tmp_path, RIGHT | change))


def test_what_is_no_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    """A bracket that was left open is found by its line."""
    (tmp_path / "trouble.yaml").write_text("title: A\nsteps: [\n", encoding="utf-8")

    with pytest.raises(InvalidInput, match=r"trouble\.yaml, line 3: this is not YAML"):
        read_runbooks(tmp_path)


def test_an_alerts_name_leads_to_its_runbook() -> None:
    """Whoever types the alert instead of the runbook is told which it is."""
    with pytest.raises(NotFound, match="Did you mean payments_failing"):
        runbook_named("payment_failure_rate")


@pytest.mark.parametrize("book", BOOKS, ids=by_name)
def test_no_command_in_a_runbook_is_wrong(book: Runbook) -> None:
    """Every command of every step, and of the written page, is one that the program takes."""
    in_page = re.findall(r"^\$ (.+)$", markdown(book), flags=re.MULTILINE)
    prose = " ".join(
        (
            book.escalate,
            *(look for step in book.steps if step.person for look in step.person.look_at),
        )
    )
    in_prose = re.findall(r"padelops [a-z]+(?: (?:[a-z]+|\d+))?(?=[,.:;])", prose)

    assert {command for step in book.steps for command in step.commands} < set(in_page)
    for line in in_page:
        program = shlex.split(line)[0]
        assert program in OF_THE_SYSTEM or parsed(line), line
    assert all(parsed(line) for line in in_prose)


def test_a_command_that_is_wrong_would_be_found() -> None:
    """The test above can fail: a flag that is not there, a command that is not there."""
    for wrong in (
        "padelops cache purge --all",
        "padelops breakers shut",
        "padelops validate --only x",
    ):
        with pytest.raises(Exception, match=r"[Nn]o such"):
            parsed(wrong)


def test_no_command_in_an_alert_is_wrong() -> None:
    """What an alert's description asks for can be pasted from a page into a terminal."""
    asked = []
    for file in data_folder("alerts").glob("*.yaml"):
        for rule in yaml.safe_load(file.read_text(encoding="utf-8")).values():
            _, _, hints = rule["description"].partition("Ask: ")
            asked += re.findall(r"padelops [a-z][^,;]*", hints)

    assert asked
    assert all(parsed(line.strip().rstrip(".")) for line in asked)


def test_every_operation_serves_some_runbook() -> None:
    """What no runbook uses is dead weight, and nobody would notice that it broke."""
    used = {step.do for book in BOOKS for step in book.steps}

    assert set(OPERATIONS) == used - {None}


def test_every_alert_names_a_runbook_and_every_runbook_its_alerts() -> None:
    """From either side the other is found; only what belongs to no alert names none."""
    named: dict[str, set[str]] = {}
    for file in data_folder("alerts/runbooks").parent.glob("*.yaml"):
        for alert, rule in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            named.setdefault(rule["runbook"], set()).add(alert)
    if not named:
        pytest.skip("no alert rules are here yet")

    assert named == {book.name: set(book.alerts) for book in BOOKS if book.alerts}


@pytest.mark.parametrize("book", BOOKS, ids=by_name)
def test_a_runbook_ends_by_looking_and_its_page_tells_all_of_it(book: Runbook) -> None:
    """Its last step proves that it helped, or asks a person; the page leaves nothing out."""
    page = markdown(book)
    last = book.steps[-1].operation

    assert last is None or not last.acts
    assert book.budget.heading in page
    assert book.escalate in page
    assert all(step.title in page and step.why in page for step in book.steps)
    assert f"]({book.name}.md)" in index(BOOKS)


def test_the_wheel_carries_the_runbooks() -> None:
    """The folder is packed into the package, where an installed padelops looks for it."""
    project = Path(__file__).parents[2] / "pyproject.toml"

    assert '"padelops/alerts"' in project.read_text(encoding="utf-8")
