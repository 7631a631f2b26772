"""The catalog of data sets, ``config/catalog.yaml``: where each comes from, in which parts, and on which terms."""

from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from mac.validation import ConfigError, Strict, nearest, read_yaml, validate, validate_each

Urls = Annotated[list[Annotated[str, Field(pattern=r"^https?://\S+$")]], Field(min_length=1)]


class Archive(Strict):
    """One file to fetch: its addresses in order of preference, what is known of it, and how it is unpacked."""

    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    urls: Urls
    size: PositiveInt | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    into: str | None = None
    unpack: bool = True
    nested: bool = False
    strip: Annotated[int, Field(ge=0)] = 0
    discard: bool = False


class ArchiveList(Strict):
    """Addresses of a list of archives, one address a line, all unpacked into one folder and then deleted."""

    into: str
    urls: Urls


class Part(Strict):
    """A part of a data set: its folder, the names of files that are there if it is, and the archives that hold it."""

    name: str
    into: str
    present: list[str] = []
    any_of: list[Archive] = []
    all_of: list[Archive] = []
    lists: list[ArchiveList] = []

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if bool(self.any_of) == bool(self.all_of or self.lists):
            raise ValueError("a part has either `any_of`, or `all_of` and `lists`")
        return self


class Choice(Strict):
    """A declared, seeded choice from another data set: so many classes, training and validation videos."""

    of: str
    classes: PositiveInt
    train: PositiveInt
    val: PositiveInt
    seed: int


class Source(Strict):
    """A data set: whose it is and on which terms, how many videos its lists name, and its parts.

    ``sides`` (training and test videos of each split), ``classes``, ``mean_frames`` and ``gigabytes`` are for
    estimates only.
    """

    about: str
    videos: PositiveInt
    sides: list[Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]] = []
    classes: PositiveInt | None = None
    mean_frames: PositiveInt | None = None
    gigabytes: Annotated[int, Field(ge=0)] | None = None
    parts: list[Part]
    choice: Choice | None = None


def load(path: Path) -> dict[str, Source]:
    """Read the catalog.

    Raises:
        mac.validation.ConfigError: the file is missing, or entries are malformed; all problems together.
    """
    return validate_each(lambda entry: validate(Source, entry), read_yaml(path), str(path))


def find(sources: dict[str, Source], name: str, path: Path) -> Source:
    """Return a data set's entry.

    Raises:
        mac.validation.ConfigError: there is none.
    """
    if name not in sources:
        raise ConfigError([f"{path}: no data set {name!r}{nearest(name, sources)}"])
    return sources[name]


@cache  # it is called for each job that works on a shard
def count_videos(name: str, subset: str | None, folder: Path) -> int:
    """Count the videos that a real data set should have, by which its work is cut into jobs before it is there.

    Args:
        name: of the data set; for one that is not in the catalog the count is 1.
        subset: the subset that is used of it, None for all.
        folder: the configuration folder, with ``catalog.yaml`` and ``subsets/``.
    """
    if subset:
        with (folder / "subsets" / f"{subset}.csv").open() as manifest:
            return sum(1 for _ in manifest) - 1
    sources = load(folder / "catalog.yaml")
    return sources[name].videos if name in sources else 1
