"""Bring a data set's folder to completeness: lists, videos, and a record of where they are from."""

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from mac.data import archives, inventory
from mac.data.catalog import Archive, ArchiveList, Choice, Part, Source
from mac.data.download import ChecksumError, DownloadError, download
from mac.data.layouts import kinetics
from mac.data.splits import LayoutError, read_text
from mac.runtime.atomic import write_json, write_text
from mac.runtime.reading import read_json

RECORD = ".fetched"  # a hidden folder in the data set's folder, with a file for each part that was fetched


class MissingDataError(Exception):
    """A part of a data set is missing and may not be fetched; the message says what to put where."""


def complete(name: str, source: Source, root: Path, offline: bool = False, say: Callable[[str], None] = print) -> dict:
    """Fetch what a data set's folder lacks, part by part; what is there is used as it is.

    Args:
        name: of the data set.
        source: its entry in the catalog.
        root: its folder; made if it is missing.
        offline: refuse to download; archives dropped into the folder are still unpacked.
        say: tells the user what happens.

    Returns:
        By part, ``found`` (the user's own files) or the names of the archives that it was unpacked from.

    Raises:
        MissingDataError: ``offline`` and a part is missing, or the data set that a choice is made from is missing.
        mac.data.download.DownloadError: no address gave a part, with the reasons.
        mac.data.download.ChecksumError: an archive isn't the one that is wanted.
        mac.data.archives.ArchiveError: an archive can't be unpacked.
        mac.data.layouts.kinetics.ChoiceError: a choice can't be made as declared.
    """
    say(f"{name}: {source.about}")
    if source.choice and is_chosen_by_user(root):
        return {"choice": "found"}
    parts = {part.name: _Part(part, root, offline, say) for part in source.parts}
    done: dict = {name: part.found() for name, part in parts.items()}
    if all(done.values()) and not source.choice:
        return done  # nothing is written: the folder may belong to somebody else
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / ".fetch.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        say(f"{root}: waiting for another process that is fetching it")
        held = lock.acquire()
    with held:
        done = {name: part.complete() for name, part in parts.items()}
        if source.choice:
            _choose(source.choice, root, say)
            done["choice"] = source.choice.model_dump()
    return done


def is_chosen_by_user(root: Path) -> bool:
    """Whether a folder holds annotations of the user's own choice of videos, not one made here."""
    return any(root.rglob("train.csv")) and not (root / "choice.json").exists()


class _Part:
    """One part of a data set, and the files that record how far it has been fetched."""

    def __init__(self, part: Part, root: Path, offline: bool, say: Callable[[str], None]) -> None:
        self.part, self.root, self.offline, self.say = part, root, offline, say
        self.record = root / RECORD
        self.receipt = self.record / f"{part.name.replace(' ', '_')}.json"
        self.begun = self.receipt.with_suffix(".begun")  # exists while only some of the part's files are in place

    def found(self) -> str | list[str] | None:
        """Say where the part is from if it is complete."""
        if self.receipt.exists():
            return read_json(self.receipt)
        present = [any(self.root.rglob(name)) for name in self.part.present] or [any(inventory.videos(self.root))]
        return "found" if all(present) and not self.begun.exists() else None

    def complete(self) -> str | list[str]:
        if there := self.found():
            self.say(f"{self.part.name}: there already")
            return there
        self.record.mkdir(exist_ok=True)
        needed = [archive for entry in self.part.lists for archive in self._read_list(entry)] + self.part.all_of
        taken = [self._unpack(archive) for archive in needed] or [self._unpack_any()]
        write_json(self.receipt, taken)
        self.begun.unlink(missing_ok=True)
        return taken

    def _read_list(self, entry: ArchiveList) -> list[Archive]:
        path = self._bring(Archive(file=entry.urls[0].rsplit("/", 1)[-1], urls=entry.urls), self.record)
        names = {url: f"{entry.into}_{url.rsplit('/', 1)[-1]}" for url in read_text(path).split()}
        return [Archive(file=name, urls=[url], into=entry.into, discard=True) for url, name in names.items()]

    def _unpack_any(self) -> str:
        """Unpack the first archive of ``any_of`` that can be had, those in the folder first."""
        problems: list[Exception] = []
        for archive in sorted(self.part.any_of, key=lambda archive: not (self.root / archive.file).exists()):
            if problems:
                self.say(f"{problems[-1]}\n… trying another archive of the same content")
            try:
                return self._unpack(archive)
            except (DownloadError, ChecksumError, MissingDataError, archives.ArchiveError) as error:
                problems.append(error)
        raise type(problems[-1])("\n".join(map(str, problems)))

    def _unpack(self, archive: Archive) -> str:
        target, marker = self.root / (archive.into or self.part.into), self.record / f"{archive.file}.unpacked"
        if not archive.unpack:
            self._bring(archive, target)
        elif not marker.exists():
            path = self._bring(archive, self.root)
            self.say(f"unpacking {path.name} into {target}")
            archives.extract(path, target, nested=archive.nested, strip=archive.strip, begin=self.begun.touch)
            marker.touch()
        if archive.discard:
            for name in (archive.file, f"{archive.file}.sha256"):
                (self.root / name).unlink(missing_ok=True)
        return archive.file

    def _bring(self, archive: Archive, folder: Path) -> Path:
        path = folder / archive.file
        if self.offline and not path.exists():
            raise MissingDataError(
                f"{path}: missing, and downloads are off (`download: false` in config/config.yaml) — fetch it elsewhere"
                f" from {' or '.join(archive.urls)} and put it there, or put the unpacked files into"
                f" {self.root / self.part.into}"
            )
        return download(archive, folder, reserve=2 * (archive.size or 0) if archive.unpack else 0)


def _choose(declared: Choice, root: Path, say: Callable[[str], None]) -> None:
    """Choose videos as declared from the larger data set, whose folder is beside this one, and link that folder."""
    larger, tables, ids = root.parent / declared.of, {}, {}
    for part in ("train", "val"):
        try:
            tables[part] = kinetics.annotations(larger, part)
        except LayoutError as error:
            hint = f"{root.name} is chosen from {declared.of}, which `python -m mac fetch {declared.of}` brings"
            raise MissingDataError(f"{error}; {hint}") from None
        ids[part] = set(read_text(min(root.rglob(f"{part}_ytid_list.txt"))).split())
    counts = {"train": declared.train, "val": declared.val}
    chosen = kinetics.choose(tables, ids, declared.classes, counts, declared.seed)
    labels = sorted(chosen["train"]["label"].unique())
    write_json(root / "choice.json", {**declared.model_dump(), "labels": labels})  # first: it says whose the rest is
    for part, table in chosen.items():
        write_text(
            root / "annotations" / f"{part}.csv", table.drop(columns="line").to_csv(index=False, lineterminator="\n")
        )
    if not os.path.lexists(link := root / declared.of):
        link.symlink_to(os.path.relpath(larger.resolve(), root.resolve()))
    counted = " and ".join(f"{len(table)} {part}" for part, table in chosen.items())
    say(f"{root.name}: {len(labels)} classes, {counted} videos chosen with seed {declared.seed}")
