"""Data-set archives (zip, tar, tar.gz, RAR): list them, and unpack them so that nothing half-done is ever left.

RAR needs a foreign program (:data:`TOOLS`, in this order) to decompress. Which of them copes with which RAR differs,
and some fail without saying so: every result is compared with the archive's own listing before it gets its final name.
"""

import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, reduce
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISDIR, S_ISLNK, S_ISREG
from subprocess import DEVNULL, run
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import rarfile

TOOLS = {
    "unar": "-quiet -force-overwrite -no-directory -no-recursion -output-directory {folder} {archive}",
    "unrar": "x -o+ -p- -y -idq {archive} {folder}/",
    "7zz": "x -y -p- -bso0 -bsp0 -o{folder} {archive}",
    "7z": "x -y -p- -bso0 -bsp0 -o{folder} {archive}",
    "bsdtar": "-x --no-same-owner --no-same-permissions -C {folder} -f {archive}",
}
ENDINGS = (".rar", ".zip", ".tar", ".tar.gz", ".tgz")
_MAGIC = {b"PK\3\4": "zip", b"PK\5\6": "zip", b"\x1f\x8b": "gz", b"Rar!\x1a\7\0": "rar", b"Rar!\x1a\7\1\0": "rar5"}
_BROKEN = (rarfile.Error, BadZipFile, tarfile.TarError, BadGzipFile, zlib.error, EOFError, ValueError, RuntimeError)


class ArchiveError(Exception):
    """An archive can't be unpacked; the message names the archive, the member where there is one, and the reason."""


class Member(NamedTuple):
    """A file in an archive: name from its top (with ``/``), size in bytes, CRC-32 where the format has one."""

    name: str
    size: int
    crc: int | None


@contextmanager
def _locate(where: Path | str) -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise ArchiveError(f"{where}: {error}") from error
    except (FileNotFoundError, *_BROKEN) as error:
        raise ArchiveError(f"{where}: missing, damaged, cut off or unreadable ({error}); download it again") from error


def _recognise(archive: Path) -> str:
    with archive.open("rb") as stream:
        head = stream.read(tarfile.BLOCKSIZE)
    for magic, kind in (*_MAGIC.items(), (head[:257] + b"ustar", "tar")):
        if head.startswith(magic):
            return kind
    page = head.lstrip().lower().startswith((b"<!doctype html", b"<html"))
    found = "an HTML page, as servers answer instead of a file" if page else f"it begins with {head[:8]!r}"
    raise ArchiveError(f"{found}; unpacked are zip, tar, tar.gz and RAR, in one part: download it again")


def _read_zip(archive: Path) -> Iterator[tuple]:
    with ZipFile(archive) as file:
        for info in file.infolist():
            form = S_IFDIR if info.is_dir() else S_IFMT(info.external_attr >> 16) or S_IFREG
            form = 0 if info.flag_bits & 1 else form  # encrypted
            yield info.filename, form, info.file_size, info.CRC, partial(file.open, info)


def _read_tar(archive: Path, mode: str) -> Iterator[tuple]:
    with tarfile.open(archive, mode) as file:
        for info in file:
            form = S_IFREG if info.isreg() else S_IFDIR if info.isdir() else S_IFLNK
            yield info.name, form, info.size, None, partial(file.extractfile, info)
        # tarfile takes a damaged header for the end, and leaves the checksum at the end of a tar.gz unread.
        file.fileobj.seek(file.offset)
        if file.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ArchiveError("damaged or cut off, no end mark after the last readable member; download it again")
        while file.fileobj.read(1 << 20):
            pass


def _read_rar(archive: Path, end_marked: bool) -> Iterator[tuple]:
    length, blocks = archive.stat().st_size, []
    with rarfile.RarFile(archive, errors="strict", part_only=True, info_callback=blocks.append) as file:
        if file.needs_password():
            raise ArchiveError("encrypted; only archives without password are unpacked")
        if any(block.type == rarfile.RAR_BLOCK_MAIN and block.flags & rarfile.RAR_MAIN_VOLUME for block in blocks):
            raise ArchiveError("one part of a multi-volume archive; join the parts into one archive first")
        short = end_marked and blocks[-1].type != rarfile.RAR_BLOCK_ENDARC
        if short or any(block.data_offset + block.add_size > length for block in blocks):
            raise ArchiveError(f"cut off after {length} bytes; download it again")
        for info in file.infolist():
            form = S_IFMT(info.mode) if info.host_os >= rarfile.RAR_OS_UNIX else 0  # elsewhere, other things
            form = S_IFLNK if info.file_redir else S_IFDIR if info.is_dir() else form or S_IFREG
            opener = partial(file.open, info) if info.compress_type == rarfile.RAR_M0 else None
            yield info.filename, form, info.file_size, info.CRC, opener


def _scan(archive: Path, folder: Path | None = None) -> list[Member]:
    """List an archive's files and refuse what must not be unpacked; write the files where a folder is given."""
    kind, listing = _recognise(archive), []
    readers = {"zip": _read_zip, "tar": partial(_read_tar, mode="r:"), "gz": partial(_read_tar, mode="r:gz")}
    for name, form, size, crc, opener in readers.get(kind, partial(_read_rar, end_marked=kind == "rar5"))(archive):
        if PureWindowsPath(name).anchor or "\\" in name or ".." in name.split("/"):
            raise ArchiveError(f"member {name!r} could leave the target folder; only relative names are unpacked")
        if form not in (S_IFREG, S_IFDIR):
            raise ArchiveError(f"member {name!r} is encrypted, a link or a device; only plain files are unpacked")
        if form == S_IFREG:
            listing.append(Member(str(PurePosixPath(name)), size, crc))
            if folder is not None and opener is None:
                raise ArchiveError(f"member {name!r} is compressed")
            if folder is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with opener() as source, (folder / name).open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    _aim([member.name for member in listing], 0)
    return listing


def members(archive: Path) -> list[Member]:
    """List an archive's files, folders left out, in its order.

    Raises:
        ArchiveError: not a readable archive of one part, or with members that can't be unpacked safely side by side.
    """
    with _locate(archive):
        return _scan(archive)


def _aim(names: list[str], strip: int) -> dict[str, str]:
    """Map final names to member names; no two may be the same, none may be another one's folder."""
    targets: dict[str, str] = {}
    for name in names:
        target = "/".join(name.split("/")[strip:])
        if target in ("", ".") or target in targets:
            reason = f"as {targets[target]!r} does" if target in targets else "a strip below its depth is allowed"
            raise ArchiveError(f"member {name!r} would become {target!r} by strip={strip}; {reason}")
        targets[target] = name
    for target in targets:
        if clash := {str(parent) for parent in PurePosixPath(target).parents} & targets.keys():
            raise ArchiveError(f"member {clash.pop()!r} would be a file and the folder of {target!r}")
    return targets


def _verify(listing: list[Member], folder: Path) -> None:
    found = set()
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in folders + files):
            facts = path.lstat()
            if not S_ISLNK(facts.st_mode):
                path.chmod(0o755 if path.is_dir() else 0o644)  # an archive can lock its reader out
            if not S_ISDIR(facts.st_mode):
                found.add((path.relative_to(folder).as_posix(), facts.st_size, S_ISREG(facts.st_mode)))
    if wrong := found ^ {(member.name, member.size, True) for member in listing}:
        raise ArchiveError(f"member {min(wrong)[0]!r} is missing, of a wrong size or not in the archive's listing")
    for member in listing:
        with (folder / member.name).open("rb") as stream:
            crc = reduce(lambda crc, chunk: zlib.crc32(chunk, crc), iter(partial(stream.read, 1 << 20), b""), 0)
        if member.crc not in (None, crc):
            raise ArchiveError(f"member {member.name!r} has another CRC than the archive says")


def _run(tool: str, archive: Path, folder: Path) -> None:
    if (program := shutil.which(tool)) is None:
        raise ArchiveError("not installed")
    # unar takes neighbours of a similar name for further volumes; bsdtar drops names that the locale can't spell.
    with tempfile.TemporaryDirectory() as alone:
        (link := Path(alone, "archive.rar")).symlink_to(archive.absolute())
        command = [program, *(part.format(folder=folder.absolute(), archive=link) for part in TOOLS[tool].split())]
        done = run(command, stdin=DEVNULL, capture_output=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
    if done.returncode:
        raise ArchiveError(f"exit code {done.returncode} ({done.stderr.decode(errors='replace').strip()})")


def _unpack(archive: Path, listing: list[Member], folder: Path) -> None:
    needed, free = sum(member.size for member in listing), shutil.disk_usage(folder.parent).free
    if needed > free:
        raise ArchiveError(f"needs {needed:,} bytes, {folder.parent} has {free:,} free; make room")
    rar, outcomes = _recognise(archive).startswith("rar"), []
    for tool in (*TOOLS, "Python") if rar else ("Python",):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            _scan(archive, folder) if tool == "Python" else _run(tool, archive, folder)
            return _verify(listing, folder)
        except (ArchiveError, OSError, *_BROKEN) as error:
            outcomes.append(f"{tool}: {error}")
    way_out = "install unar (apt-get install unar, brew install unar) or, where it failed, " if rar else ""
    raise ArchiveError(f"not unpacked — {'; '.join(outcomes)} — {way_out}download it again")


def _move(targets: dict[str, str], source: Path, folder: Path) -> None:
    for path in (folder / target for target in targets):
        if path.is_dir() or any(parent.is_file() for parent in path.parents):
            raise ArchiveError(f"no place for {path}: a folder has its name, or a file that of its folder; remove it")
    for target, name in targets.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, folder / target)


def extract(archive: Path, folder: Path, *, nested: bool = False, strip: int = 0) -> list[str]:
    """Unpack an archive among what a folder holds; files of the same name are replaced.

    Files get their names once all are unpacked and checked; a note in ``.extracted`` then lets a second call return at
    once. ``nested`` unpacks the archives among the members too (by :data:`ENDINGS`; one level), in their places;
    ``strip`` drops so many leading folders. Returns the paths written: none where the note says all has been done.

    Raises:
        ArchiveError: as :func:`members`; no program unpacks it in full; no room on the disk or for a member's name.
    """
    with _locate(archive):
        info = archive.stat()
        facts = {"size": info.st_size, "mtime_ns": info.st_mtime_ns, "nested": nested, "strip": strip}
        note = folder / ".extracted" / f"{archive.name}.json"
        if note.is_file() and note.read_text(errors="replace").startswith(json.dumps(facts)[:-1] + ","):
            return []
        listing = _scan(archive)
        inner = [member.name for member in listing if nested and member.name.lower().endswith(ENDINGS)]
        names = [member.name for member in listing if member.name not in inner]
        _aim(names, strip)
        hidden = folder / f".{archive.name}.extracting"
        shutil.rmtree(hidden, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _unpack(archive, listing, hidden)
            for outer in inner:
                beside = PurePosixPath(outer).parent
                names += [str(beside / name) for name in extract(hidden / outer, hidden / beside)]
                (hidden / outer).unlink()
            targets = _aim(names, strip)
            note.unlink(missing_ok=True)
            _move(targets, hidden, folder)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        note.parent.mkdir(exist_ok=True)
        partial_note = note.with_name(f".{note.name}.partial")
        partial_note.write_text(json.dumps({**facts, "members": len(targets)}))
        partial_note.replace(note)
    return sorted(targets)
