"""The command line: ``python -m mac COMMAND``, or ``mac COMMAND`` where the package is installed.

A command, its options and its work stand in one place, by theme. A command imports what it needs when it is called:
help and completion must not wait for torch.
"""

import io
import sys
from collections.abc import Iterator

import click

import mac
from mac.cli import (  # noqa: F401 (parts of other themes)
    data,
    masks,
    report,
    rows,
    runs,
    status,
    tracking,
    training,
    weights,
)
from mac.cli.groups import Group
from mac.runtime.signals import end_with

THEMES = [module.theme for module in (data, masks, training, report, runs)]


class Commands(Group):
    """All commands; help lists them by theme."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section a theme."""
        for theme in THEMES:
            with formatter.section(theme.help):
                formatter.write_dl([(name, one.get_short_help_str(200)) for name, one in _flatten(theme)])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(mac.__version__, prog_name="mac")
def commands() -> None:
    """Run one stage of the pipeline, or ask about its plan."""


for _command in (one for theme in THEMES for one in theme.commands.values()):
    commands.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; returns if it succeeds, and ends the process with a message and a status if it doesn't.

    Args:
        arguments: the words after ``mac``; None takes the process's own.

    Raises:
        SystemExit: status 1 for a mistake that the message explains, 2 for words that are no command, 75 for a training
            that was interrupted, 130 for Ctrl-C.
    """
    words = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):  # a terminal or a file in ASCII must not end a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = commands.main(words, prog_name="mac", standalone_mode=False, obj=words)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    if status:
        sys.exit(status)


def start() -> None:
    """Run the process's command, and end the process without the interpreter's cleanup."""
    end_with(main)


def _flatten(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Commands with their names, those of groups within as ``GROUP NAME``."""
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from _flatten(one, f"{name} ")
        else:
            yield above + name, one
