"""
Schemathesis against the OpenAPI document: whatever it allows, and much that it does not, is
answered with a status and a body that it describes, and never with a fault of the server's.

Two passes: each operation by itself, and sequences in which one answer leads to the next request.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from padelops.ops.tokens import Role

SECONDS = 3
"""For each pass; PADELOPS_TEST_SCHEMATHESIS_S asks for a longer look."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from padelops.wiring import Desk

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance", "ignored_auth",
    "unsupported_method", "negative_data_rejection",
)  # fmt: skip


@pytest.mark.parametrize("phase", ["examples,coverage,fuzzing", "stateful"])
def test_the_document_is_true(
    serve: Callable[..., Any], desk: Desk, tmp_path: Path, phase: str
) -> None:
    """
    No 5xx, no undocumented status, no body of another shape, nothing let in without a token.
    """
    token = desk.tokens.create("fuzz", Role.OPERATOR, origin=desk.origin, now=desk.now()).text
    seconds = os.environ.get("PADELOPS_TEST_SCHEMATHESIS_S", str(SECONDS))
    with serve() as served:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"), "run",
                f"{served.url}/openapi.json", "--header", f"Authorization: Bearer {token}",
                "--phases", phase, "--checks", ",".join(CHECKS), "--max-time", seconds,
                "--request-timeout", "20", "--generation-database", "none", "--no-color",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False,
        )  # fmt: skip

    assert 0 == done.returncode, done.stdout[-6000:] + done.stderr[-2000:]
