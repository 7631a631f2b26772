"""Reading and writing the small files that commands pass on."""

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from mac.config import Strict
from mac.runtime.atomic import replace, write_text
from mac.validation import ConfigError, read_yaml, validate

if TYPE_CHECKING:  # half a second to import, and most commands that pass files on need none of it
    import pandas as pd

Config = TypeVar("Config", bound=Strict)


def read_config(path: Path, model: type[Config]) -> Config:
    """Read a run's resolved configuration.

    Raises:
        ConfigError: the file was changed by hand: its content no longer has the id its folder is named by.
    """
    config = validate(model, read_yaml(path))
    if config.identify() != path.parent.name:
        raise ConfigError(
            [f"{path}: its content has the id {config.identify()}, its folder another; delete the file and run again"]
        )
    return config


def write_config(path: Path, config: Strict) -> None:
    """Write a resolved configuration as YAML."""
    write_text(path, yaml.safe_dump(config.canonical(), sort_keys=False, allow_unicode=True))


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table (parquet)."""
    replace(path, lambda partial: table.to_parquet(partial, index=False))


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs: indented, one line end at the end."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def git_commit() -> str:
    """The commit of the working tree, with + when it has changes; ``unknown`` outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changes.stdout.strip() else "")
