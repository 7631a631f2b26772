"""The classes of commands, and of groups of them."""

import sys
from collections.abc import Collection, Iterator
from typing import Any

import click


class Command(click.Command):
    """A command whose repeatable options take several values after one flag, and whose expected errors are messages."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``--scans A B`` as click parses ``--scans A --scans B``."""
        several = {flag for param in self.params if getattr(param, "multiple", False) for flag in param.opts}
        return super().parse_args(ctx, list(_repeat(args, several)))

    def invoke(self, ctx: click.Context) -> Any:
        """Call the function; an error that speaks to the user ends the process with one message and a status.

        The status is the error's ``exit_status`` where it has one (75 of a training that was interrupted), else 1.
        """
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Errors of the package are written for the user, and those of the file system name their file.
            if not type(error).__module__.startswith("mac.") and not isinstance(error, OSError):
                raise
            message = f"{ctx.command_path}: {error}"
            status = getattr(error, "exit_status", None)
            if status is None:
                sys.exit(message)
            print(message, file=sys.stderr)
            sys.exit(status)


class Group(click.Group):
    """Commands of one theme, or under one name."""

    command_class = Command
    group_class = type


def _repeat(words: list[str], several: Collection[str]) -> Iterator[str]:
    """Write each flag of ``several`` before every value that follows it.

    Raises:
        click.BadOptionUsage: no value follows one.
    """
    flag = None
    for word, following in zip(words, [*words[1:], "-"], strict=False):
        if word in several:
            flag = word
            if following.startswith("-"):
                raise click.BadOptionUsage(flag, f"Option {flag!r} requires an argument.")
        elif word.startswith("-"):
            flag, several = None, () if word == "--" else several  # what follows -- are no flags
            yield word
        else:
            yield from (flag, word) if flag else (word,)
