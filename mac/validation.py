"""Strict models, reading YAML strictly, and turning what is wrong with it into messages for a person."""

import difflib
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from mac.runtime.atomic import write_text
from mac.runtime.reading import DamagedFileError, read_text

Model = TypeVar("Model", bound=BaseModel)
Probability = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class Strict(BaseModel):
    """A model that refuses unknown keys and silent conversions and can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    hashed_name: ClassVar[str] = ""  # the class's name in its id, where the class has been renamed
    came_later: ClassVar[dict[str, Any]] = {}  # fields that older ids lack, with the value that they stand for there

    def canonical(self) -> dict:
        """Return plain data with every field, ready for JSON or YAML."""
        return self.model_dump(mode="json", by_alias=True)

    @model_serializer(mode="wrap")
    def _as_ids_know_it(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a field that came later where it has the value of before: its ids stay as they were."""
        tree, absent = serialise(self), object()
        return {key: value for key, value in tree.items() if self.came_later.get(key, absent) != value}

    def inner(self) -> Iterator["Strict"]:
        """Go through the models in this one, at any depth: those of earlier stages are among them."""
        for _, part in self:
            if isinstance(part, Strict):
                yield from (part, *part.inner())

    def identify(self) -> str:
        """Return the id of this stage: SHA-256 of the canonical JSON with the stage's name, ten hex digits."""
        content = [self.hashed_name or type(self).__name__, self.canonical()]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10]


Config = TypeVar("Config", bound=Strict)


class ConfigError(Exception):
    """The configuration can't be used; the message lists every problem found, one a line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        count = len(self.problems)
        head = "The configuration has a problem:" if count == 1 else f"The configuration has {count} problems:"
        super().__init__("\n".join([head, *(f"  • {problem}" for problem in self.problems)]))


@contextmanager
def collect(problems: list[str], source: str = "") -> Iterator[None]:
    """Add the problems of a ConfigError that is raised within to a list, each with its source, and go on."""
    try:
        yield
    except ConfigError as error:
        problems += [f"{source}: {problem}" if source else problem for problem in error.problems]


def nearest(word: str, allowed: Any) -> str:
    """Phrase what is allowed and which of it comes closest to ``word``."""
    options = [str(option) for option in allowed]
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return (f" — did you mean {close[0]!r}?" if close else " —") + f" Allowed: {', '.join(options)}"


def whole_or_auto(value: Any, least: int) -> Any:
    """Return a setting that is ``auto`` or a whole number from ``least`` on.

    Raises:
        ValueError: it is neither.
    """
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        return value
    raise ValueError(f"found {value!r} — allowed are auto and whole numbers from {least} on")


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # C reads large tables in a tenth of the time
    """YAML that refuses a key written twice in one mapping (PyYAML keeps the last one, silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict:
    """Read a YAML mapping.

    Raises:
        ConfigError: the file is missing, isn't text or YAML, isn't a mapping, or writes a key twice.
    """
    try:
        content = yaml.load(read_text(path), _UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"]) from None
    except DamagedFileError as error:
        raise ConfigError([str(error)]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: {' '.join(str(error).split())}"]) from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError([f"{path}: expected a mapping of keys to values, found {type(content).__name__}"])
    return content or {}


def validate(model: type[Model], tree: dict, source: str = "") -> Model:
    """Parse a tree into a model, phrasing pydantic's errors for a person.

    Raises:
        ConfigError: every problem, as "source: key: what was found — what is allowed".
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        prefix = f"{source}: " if source else ""
        raise ConfigError([prefix + _phrase(model, found) for found in error.errors()]) from None


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


def validate_each(parse: Callable[[Any], Model], entries: dict, source: str) -> dict[str, Model]:
    """Parse every entry of a mapping, by name.

    Raises:
        ConfigError: every problem of all entries together, each with ``source`` and the entry's name.
    """
    parsed, problems = {}, []
    for name, entry in entries.items():
        with collect(problems, f"{source}: {name}"):
            parsed[name] = parse(entry)
    if problems:
        raise ConfigError(problems)
    return parsed


def _phrase(model: type[BaseModel], error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    found = error["input"]
    if error["type"] == "extra_forbidden":
        siblings = _fields_at(model, error["loc"][:-1])
        return f"{where}: unknown key{nearest(str(error['loc'][-1]), siblings)}"
    if error["type"] == "missing":
        return f"{where}: missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{where}: {message}" if where else message
    if isinstance(found, str) and error["type"].startswith(("float", "int")):
        try:
            written = np.format_float_scientific(float(found), trim="0", exp_digits=1)
        except ValueError:
            return f"{where}: found the text {found!r} — a number is wanted"
        return f"{where}: found {found!r}, which YAML reads as text — write {written}, with a decimal point"
    close = ""
    if error["type"] == "literal_error" and isinstance(found, str):
        options = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        close = nearest(found, options).split(" Allowed")[0].removesuffix(" —")
    return f"{where}: found {found!r} — {message[0].lower()}{message[1:]}{close}"


def _fields_at(model: Any, location: tuple) -> list[str]:
    """Names of the fields a (possibly nested) location of a model may have."""
    for part in location:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        inner = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        model = inner[0] if inner else model
    return list(model.model_fields)
