"""The command line: ``python -m mac STAGE``. Parses arguments; imports a stage's code only when it is called."""

import argparse
import importlib
import sys

from mac.arguments import data, masks, planning, reporting, tracking, training
from mac.arguments.common import Commands


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mac", description="Run one stage of the pipeline, or ask about its plan.")
    commands = Commands(parser)
    for theme in (planning, data, masks, training, reporting, tracking):
        theme.add(commands)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments, call the command, and turn expected errors into one clear message and exit status 1."""
    parsed = _parser().parse_args(arguments)
    parsed.words = sys.argv[1:] if arguments is None else arguments  # to start more of the same
    module, function = parsed.function.split(":")
    commands = importlib.import_module(f"mac.commands.{module}")
    try:
        getattr(commands, function)(parsed)
    except Exception as error:
        if not _expected(error):
            raise
        message = f"mac {parsed.command}: {error}"
        status = getattr(error, "exit_status", None)
        if status is None:
            sys.exit(message)
        print(message, file=sys.stderr)
        sys.exit(status)


def _expected(error: Exception) -> bool:
    """Whether an error was raised by us (its message speaks to the user) or by the file system."""
    return type(error).__module__.startswith("mac.") or isinstance(error, OSError)
