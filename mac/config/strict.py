"""What every stage configuration is: strict, frozen, identified by its content, and a file in its run's folder."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field

from mac.runtime.atomic import write_text
from mac.validation import ConfigError, read_yaml, validate

Probability = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class Strict(BaseModel):
    """A model that refuses unknown keys and silent conversions and can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def canonical(self) -> dict:
        """Return plain data with every field, ready for JSON or YAML."""
        return self.model_dump(mode="json")

    def identify(self) -> str:
        """Return the id of this stage: SHA-256 of the canonical JSON with the stage's name, ten hex digits."""
        text = json.dumps([type(self).__name__, self.canonical()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10]


Config = TypeVar("Config", bound=Strict)


def read_config(path: Path, model: type[Config]) -> Config:
    """Read a run's resolved configuration.

    Raises:
        ConfigError: the file was changed by hand: its content no longer has the id that its folder is named after.
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
