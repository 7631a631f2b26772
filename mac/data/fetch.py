"""From nothing, or from what a user has, to a data set's folder: lists, videos, and a record of where they are from."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from mac.data import archives, index
from mac.data.catalog import Archive, Choice, Part, Source
from mac.data.download import ChecksumError, DownloadError, download
from mac.data.layouts import kinetics
from mac.data.splits import LayoutError
from mac.runtime.atomic import write_text

RECORD = ".fetched"  # a hidden folder in the data set's: one file per part that was fetched here


class MissingDataError(Exception):
    """A part of a data set is not there and may not be fetched; the message says what goes where."""


def complete(name: str, source: Source, root: Path, offline: bool = False, say: Callable[[str], None] = print) -> dict:
    """Bring a data set's folder to completeness, part by part; what is there is used as it is.

    Args:
        name: of the data set.
        source: its entry in the catalog.
        root: its folder; made if it is missing.
        offline: refuse to download; archives dropped into the folder are still unpacked.
        say: tells the user what happens.

    Returns:
        By part, ``found`` (the user's own files) or the names of the archives that it was unpacked from.

    Raises:
        MissingDataError: a part is missing and ``offline``, or the data set a choice is made from is.
        mac.data.download.DownloadError: no address gave a part, with the reasons.
        mac.data.download.ChecksumError: an archive isn't the one that is wanted.
        mac.data.archives.ArchiveError: an archive can't be unpacked.
        mac.data.layouts.kinetics.ChoiceError: a choice can't be made as declared.
    """
    say(f"{name}: {source.about}")
    if source.choice and is_chosen_by_user(root):
        return {"choice": "found"}
    parts = {part.name: _Part(part, root, offline, say) for part in source.parts}
    found = {part: at_work.found() for part, at_work in parts.items()}
    if all(found.values()) and not source.choice:
        return found  # nothing is written: the folder may be another's
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".fetch.lock"):  # a second fetch of the same set waits and finds everything done
        done: dict = {part: at_work.complete() for part, at_work in parts.items()}
        if source.choice:
            done["choice"] = _choose(source.choice, root, say)
    return done


def is_chosen_by_user(root: Path) -> bool:
    """Whether a folder holds annotations of the user's own choice of videos, not one made here."""
    return any(root.rglob("train.csv")) and not (root / "choice.json").exists()


class _Part:
    """One part of a data set on its way into a folder."""

    def __init__(self, part: Part, root: Path, offline: bool, say: Callable[[str], None]) -> None:
        self.part, self.root, self.offline, self.say = part, root, offline, say
        self.record = root / RECORD
        self.receipt = self.record / f"{part.name.replace(' ', '_')}.json"
        self.begun = self.receipt.with_suffix(".begun")  # since then, files there don't mean the part is complete

    def found(self) -> str | list[str] | None:
        """Say where the part is from if it is there already."""
        if self.receipt.exists():
            return json.loads(self.receipt.read_text())
        if self.begun.exists():
            return None
        present = [any(self.root.rglob(name)) for name in self.part.present] or [any(index.videos(self.root))]
        return "found" if all(present) else None

    def complete(self) -> str | list[str]:
        if there := self.found():
            self.say(f"{self.part.name}: there already")
            return there
        self.record.mkdir(exist_ok=True)
        listed = [archive for entry in self.part.lists for archive in self._expand(entry.urls, entry.into)]
        taken = [self._unpack(archive) for archive in [*listed, *self.part.all_of]] or [self._any()]
        _write(self.receipt, taken)
        self.begun.unlink(missing_ok=True)
        return taken

    def _any(self) -> str:
        options = sorted(self.part.any_of, key=lambda archive: not (self.root / archive.file).exists())
        problems = []
        for archive in options:
            try:
                return self._unpack(archive)
            except (DownloadError, ChecksumError, MissingDataError, archives.ArchiveError) as error:
                problems.append(error)
                if archive is not options[-1]:
                    self.say(f"{error}\n… trying another archive of the same content")
        raise type(problems[-1])("\n".join(str(problem) for problem in problems))

    def _expand(self, urls: list[str], into: str) -> list[Archive]:
        """Read a list of archives, fetching the list itself first."""
        path = self._bring(Archive(file=urls[0].rsplit("/", 1)[-1], urls=urls), self.record)
        listed = path.read_text(encoding="utf-8").split()
        return [Archive(file=f"{into}_{url.rsplit('/', 1)[-1]}", urls=[url], into=into, discard=True) for url in listed]

    def _bring(self, archive: Archive, folder: Path) -> Path:
        path = folder / archive.file
        if self.offline and not path.exists():
            raise MissingDataError(
                f"{path}: missing, and downloads are off (`download: false` in config/config.yaml) — fetch it elsewhere"
                f" from {' or '.join(archive.urls)} and put it there, or put the unpacked files into"
                f" {self.root / self.part.into}"
            )
        return download(archive, folder, reserve=2 * (archive.size or 0) if archive.unpack else 0)

    def _unpack(self, archive: Archive) -> str:
        target = self.root / (archive.into or self.part.into)
        marker = self.record / f"{archive.file}.unpacked"
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


def _choose(declared: Choice, root: Path, say: Callable[[str], None]) -> dict:
    """Make the declared choice from the larger data set beside this one, and link that set's videos."""
    larger = root.parent / declared.of
    parts, ids = {}, {}
    for part in ("train", "val"):
        try:
            parts[part] = kinetics.annotations(larger, part)
        except LayoutError as error:
            hint = f"{root.name} is drawn from {declared.of}, which `python -m mac fetch {declared.of}` brings"
            raise MissingDataError(f"{error}; {hint}") from None
        ids[part] = set(sorted(root.rglob(f"{part}_ytid_list.txt"))[0].read_text(encoding="utf-8").split())
    counts = {"train": declared.train, "val": declared.val}
    chosen = kinetics.choose(parts, ids, declared.classes, counts, declared.seed)
    for part, table in chosen.items():
        _write(root / "annotations" / f"{part}.csv", table.to_csv(index=False, lineterminator="\n"))
    link = root / declared.of
    if not link.is_symlink() and not link.exists():
        link.symlink_to(os.path.relpath(larger.resolve(), root.resolve()), target_is_directory=True)
    labels = sorted(chosen["train"]["label"].unique())
    _write(root / "choice.json", {**declared.model_dump(), "labels": labels})
    counted = " and ".join(f"{len(table)} {part}" for part, table in chosen.items())
    say(f"{root.name}: {len(labels)} classes, {counted} videos drawn by seed {declared.seed}")
    return declared.model_dump()


def _write(path: Path, content: str | dict | list) -> None:
    text = content if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
