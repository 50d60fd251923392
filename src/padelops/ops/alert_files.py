"""
The files of alert rules: found, read, and refused with every problem at once.

They stand in `alerts/` at the top of the repository, and are installed as `padelops/alerts`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import RootModel, ValidationError

from padelops.errors import InvalidInput, first_line
from padelops.ops.alert_rules import NAME, Rule
from padelops.ops.data_folders import data_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

SCHEMA = "schema.json"
LARGEST_FILE = 500_000
MOST_RULES = 500


class RuleFile(RootModel[dict[str, Rule]]):
    """A file of alert rules: each by its name, such as `double_booking_detected`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a rule, where it stands, and what to do."""

    file: str
    rule: str
    message: str

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.rule}: {self.message}"
            if self.rule
            else f"{self.file}: {self.message}"
        )

    def as_json(self) -> dict[str, str]:
        return {"file": self.file, "rule": self.rule, "message": self.message}


@dataclass(frozen=True, slots=True)
class RuleSet:
    """
    What a folder holds.

    Attributes:
        rules: by name, those that can be used.
        files: by rule, the file it stands in.
    """

    folder: Path
    rules: Mapping[str, Rule]
    files: Mapping[str, str]
    problems: tuple[Problem, ...] = ()

    def require(self) -> Mapping[str, Rule]:
        """
        The rules.

        Raises:
            InvalidInput: some cannot be used.
        """
        if self.problems:
            more = len(self.problems) - 1
            raise InvalidInput(
                f"{self.problems[0]}" + (f" ({more} problems more)" if more else ""),
                fix="See all: padelops alerts test",
                problems=[problem.as_json() for problem in self.problems],
            )
        return self.rules


def read_folder(folder: Path | None = None, *, runbooks: Iterable[str] | None = None) -> RuleSet:
    """
    Every rule of a folder, of padelops' own where none is named.

    Args:
        runbooks: the names that there are; None where that cannot be known.

    Raises:
        InvalidInput: the folder is not there, or holds no rules.
    """
    folder = data_folder("alerts") if folder is None else folder
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise InvalidInput(f"{folder} holds no *.yaml with alert rules.")
    rules: dict[str, Rule] = {}
    files: dict[str, str] = {}
    problems: list[Problem] = []
    for path in paths:
        read, wrong = _read(path)
        problems += wrong
        for name, rule in read.items():
            if name in rules:
                problems.append(Problem(path.name, name, f"It stands in {files[name]} too."))
                continue
            rules[name], files[name] = rule, path.name
    if runbooks is not None:
        problems += _without_runbook(rules, files, set(runbooks))
    if len(rules) > MOST_RULES:
        problems.append(Problem(str(folder), "", f"There are more than {MOST_RULES} rules."))
    return RuleSet(folder, rules, files, tuple(problems))


def _without_runbook(
    rules: Mapping[str, Rule], files: Mapping[str, str], runbooks: set[str]
) -> list[Problem]:
    found = []
    for name, rule in rules.items():
        if rule.runbook not in runbooks:
            close = difflib.get_close_matches(rule.runbook, runbooks, n=2)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            message = f"runbook: there is no runbook '{rule.runbook}'.{meant}"
            found.append(Problem(files[name], name, message))
    return found


def _read(path: Path) -> tuple[dict[str, Rule], list[Problem]]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            return {}, [Problem(path.name, "", f"It is larger than {LARGEST_FILE} bytes.")]
        document = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as exc:
        return {}, [Problem(path.name, "", f"It cannot be read: {exc.strerror}.")]
    except (UnicodeDecodeError, InvalidInput) as exc:
        return {}, [Problem(path.name, "", str(exc))]
    if not isinstance(document, dict) or not document:
        return {}, [Problem(path.name, "", "It is a list of rules by name, and this is none.")]
    rules, problems = {}, []
    for name, body in document.items():
        rule, wrong = _rule(path.name, name, body)
        problems += wrong
        if rule is not None:
            rules[str(name)] = rule
    return rules, problems


def _rule(file: str, name: Any, body: Any) -> tuple[Rule | None, list[Problem]]:
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        return None, [
            Problem(file, str(name)[:60], "A rule's name is of the form double_booking_detected.")
        ]
    try:
        return Rule.model_validate(body), []
    except ValidationError as exc:
        return None, [
            Problem(file, name, _told(problem))
            for problem in exc.errors(include_url=False, include_input=False)
        ]


def _told(problem: ErrorDetails) -> str:
    """One line about one field, with what was probably meant."""
    where = ".".join(str(step) for step in problem["loc"])
    said = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = [field.alias or key for key, field in Rule.model_fields.items()]
        close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=2)
        meant = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(known)}."
        return f"{where}: there is no such field. {meant}"
    if problem["type"] == "missing":
        return f"{where}: it is missing. {_described(where)}".rstrip()
    if not where or said.startswith(f"{where}:"):
        return said
    return f"{where}: {said}" if said.endswith((".", "?")) else f"{where}: {said}."


def _described(field: str) -> str:
    for key, info in Rule.model_fields.items():
        if field in {key, info.alias}:
            return info.description or first_line(getattr(info.annotation, "__doc__", ""))
    return ""


def load_yaml(text: str) -> Any:
    """
    Plain data from YAML, in which no key stands twice: the second would hide the first.

    Raises:
        InvalidInput: it is no YAML, or a key stands twice; names the line.
    """
    import yaml  # noqa: PLC0415 - 20 ms

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise InvalidInput(f"line {line}: '{key.value}' stands twice.")
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise InvalidInput(
            f"{where}this is not YAML: {getattr(exc, 'problem', None) or 'it cannot be parsed'}."
        ) from exc
    except RecursionError as exc:
        raise InvalidInput("this is not usable YAML.") from exc


@cache
def json_schema() -> dict[str, Any]:
    """What editors check a rule file by, as the user types."""
    schema = RuleFile.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "padelops alert rules",
        **{key: value for key, value in schema.items() if key != "title"},
        "propertyNames": {"pattern": NAME},
    }
