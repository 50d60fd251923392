"""
Fail in ways that no command should.
"""

import typer

app = typer.Typer()

FAILURES = {
    "bug": ZeroDivisionError("secret-password"),
    "socket": BrokenPipeError(32, "Broken pipe"),
    "disk": OSError(28, "No space left on device"),
}


@app.command()
def crash(how: str) -> None:
    raise FAILURES[how]
