"""Data-set archives (zip, tar, tar.gz, RAR): a member gets its name once the whole archive is unpacked and checked.

Compressed RARs need another program: those in :data:`TOOLS` are tried in this order. Each can unpack only some of them,
and some end without an error although files are missing, so every result is compared with the archive's own listing.
"""

import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_IFMT, S_IFREG
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
_BROKEN = (rarfile.Error, BadZipFile, tarfile.TarError, BadGzipFile, zlib.error, EOFError, ValueError, RuntimeError)


class ArchiveError(Exception):
    """An archive can't be unpacked; the message names the archive, the member where there is one, and the reason."""


class Member(NamedTuple):
    """An entry of an archive: its name (with ``/``), size in bytes and CRC-32 (None: not known).

    ``kind`` is "file", "folder", or "other" for what is not unpacked: a link, a device, an encrypted file.
    """

    name: str
    kind: str
    size: int
    crc: int | None


def _list_zip(archive: Path) -> list[Member]:
    members = []
    with ZipFile(archive) as file, archive.open("rb") as stream:
        for info in file.infolist():
            plain = S_IFMT(info.external_attr >> 16) in (0, S_IFREG) and not info.flag_bits & 1  # 1: encrypted
            kind = "folder" if info.is_dir() else "file" if plain else "other"
            members.append(Member(info.filename, kind, info.file_size, info.CRC))
        # zipfile doesn't compare: a damaged length in the list hides the entries behind it.
        promised = zipfile._EndRecData(stream)[zipfile._ECD_ENTRIES_TOTAL]
    if (len(members) - promised) % 65536:  # old programs write only the last 16 bits of the number
        found = f"its list names {len(members)} members, its end record {promised}"
        raise ArchiveError(f"damaged, {found}; download it again")
    return members


def _list_tar(archive: Path) -> list[Member]:
    with tarfile.open(archive) as file:
        kinds = [(info, "file" if info.isreg() else "folder" if info.isdir() else "other") for info in file]
        # tarfile takes a damaged header for the end, and leaves the checksum at the end of a tar.gz unread.
        file.fileobj.seek(file.offset)
        if file.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ArchiveError("damaged or cut off, no end mark after the last readable member; download it again")
        while file.fileobj.read(1 << 20):
            pass
        return [Member(info.name, kind, info.size, None) for info, kind in kinds]


def _list_rar(archive: Path) -> list[Member]:
    length, blocks, members = archive.stat().st_size, [], []
    with rarfile.RarFile(archive, errors="strict", part_only=True, info_callback=blocks.append) as file:
        if file.needs_password():
            raise ArchiveError("encrypted; only archives without password are unpacked")
        if any(block.type == rarfile.RAR_BLOCK_MAIN and block.flags & rarfile.RAR_MAIN_VOLUME for block in blocks):
            raise ArchiveError("one part of a multi-volume archive; join the parts into one archive first")
        short = rarfile.get_rar_version(archive) == 5 and blocks[-1].type != rarfile.RAR_BLOCK_ENDARC
        if short or any(block.data_offset + block.add_size > length for block in blocks):
            raise ArchiveError(f"cut off after {length} bytes; download it again")
        for info in file.infolist():
            plain = info.is_file() and not info.file_redir  # file_redir: a link or a copy of another member
            kind = "folder" if info.is_dir() else "file" if plain else "other"
            members.append(Member(info.filename, kind, info.file_size, info.CRC))
    return members


def _recognise(archive: Path) -> str:
    with archive.open("rb") as stream:
        head = stream.read(tarfile.BLOCKSIZE)
    kinds = {b"PK\3\4": "zip", b"PK\5\6": "zip", b"Rar!\x1a\7": "rar", b"\x1f\x8b": "tar", head[:257] + b"ustar": "tar"}
    if kind := next((kind for magic, kind in kinds.items() if head.startswith(magic)), None):
        return kind
    raise ArchiveError(f"it begins with {head[:40]!r}; zip, tar, tar.gz and RAR in one part are unpacked: get it again")


def _list(archive: Path, kind: str) -> list[Member]:
    """List an archive's files and refuse what must not be unpacked."""
    entries = {"zip": _list_zip, "tar": _list_tar, "rar": _list_rar}[kind](archive)
    for entry in entries:
        if PureWindowsPath(entry.name).anchor or "\\" in entry.name or ".." in entry.name.split("/"):
            raise ArchiveError(f"member {entry.name!r} could leave the target folder; only relative names are unpacked")
        if entry.kind == "other":
            raise ArchiveError(f"member {entry.name!r} is encrypted, a link or a device; only plain files are unpacked")
    files = [entry._replace(name=str(PurePosixPath(entry.name))) for entry in entries if entry.kind == "file"]
    _aim([file.name for file in files], 0)
    return files


def _aim(names: list[str], strip: int) -> dict[str, str]:
    """Map final names to member names; no two may be equal, and none may be the folder of another."""
    targets: dict[str, str] = {}
    for name in names:
        target = "/".join(name.split("/")[strip:])
        if target in ("", ".") or target in targets:
            reason = f"as {targets[target]!r} does" if target in targets else "strip fewer folders than it has"
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
            if plain := not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)  # an archive can hold files without permission to read
            if not plain or not path.is_dir():
                found.add((path.relative_to(folder).as_posix(), path.lstat().st_size, plain and path.is_file()))
    if wrong := found ^ {(member.name, member.size, True) for member in listing}:
        raise ArchiveError(f"member {min(wrong)[0]!r} is missing, of a wrong size or not in the archive's listing")
    for member in (member for member in listing if member.crc is not None):
        crc = 0
        with (folder / member.name).open("rb") as stream:
            while chunk := stream.read(1 << 20):
                crc = zlib.crc32(chunk, crc)
        if crc != member.crc:
            raise ArchiveError(f"member {member.name!r} has another CRC than the archive says")


def _write(archive: Path, kind: str, folder: Path) -> None:
    opened = {"zip": ZipFile, "tar": tarfile.open, "rar": rarfile.RarFile}[kind](archive)
    with opened as file:
        if kind == "tar":
            file.extractall(folder, filter="data")
        elif kind == "rar" and any(info.compress_type != rarfile.RAR_M0 for info in file.infolist()):
            raise ArchiveError("a member is compressed")
        else:
            file.extractall(folder)  # noqa: S202 (names are checked)


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


def _unpack(archive: Path, kind: str, listing: list[Member], folder: Path) -> None:
    """Unpack an archive into a folder of its own and verify it."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes, needed, free = [], sum(member.size for member in listing), shutil.disk_usage(folder).free
    if needed > free:
        raise ArchiveError(f"needs {needed:,} bytes, {folder.parent} has {free:,} free; make room")
    for tool in (*TOOLS, "Python") if kind == "rar" else ("Python",):
        shutil.rmtree(folder)
        folder.mkdir()
        try:
            _write(archive, kind, folder) if tool == "Python" else _run(tool, archive, folder)
            return _verify(listing, folder)
        except (ArchiveError, OSError, *_BROKEN) as error:
            outcomes.append(f"{tool}: {error}")
    unar = "install unar (apt-get install unar, brew install unar) or, where it failed, " if kind == "rar" else ""
    raise ArchiveError(f"not unpacked — {'; '.join(outcomes)} — {unar}download it again")


def extract(
    archive: Path, folder: Path, *, nested: bool = False, strip: int = 0, begin: Callable[[], object] = lambda: None
) -> list[str]:
    """Unpack an archive into a folder; other files there stay, files of the same name are replaced.

    All members are unpacked into a hidden folder and checked; only then are they moved to their places.

    Args:
        archive: recognised by its content, not by its name.
        folder: made if it is missing.
        nested: unpack archives among the members too (those with :data:`ENDINGS`, one level), beside themselves.
        strip: so many leading folders of each member's name are dropped.
        begin: is called before the first member is moved.

    Returns:
        The members' final paths, relative to ``folder``, sorted.

    Raises:
        ArchiveError: the archive is not readable or one part of several; a member can't be unpacked safely, or a file
            or folder is in its way; no program unpacks all members; the disk is too full.
    """
    hidden = folder / f".{archive.name}.extracting"
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        listing = _list(archive, kind := _recognise(archive))
        inner = [member.name for member in listing if nested and member.name.lower().endswith(ENDINGS)]
        names = [member.name for member in listing if member.name not in inner]
        _aim(names, strip)
        _unpack(archive, kind, listing, hidden)
        for outer in inner:
            beside = PurePosixPath(outer).parent
            names += [str(beside / name) for name in extract(hidden / outer, hidden / beside)]
            (hidden / outer).unlink()
        targets = _aim(names, strip)
        for path in (folder / target for target in targets):
            if path.is_dir() or any(parent.is_file() for parent in path.parents):
                raise ArchiveError(f"no place for {path}: a folder has this name, or a file is in the way; remove it")
        begin()
        for target, name in targets.items():
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            os.replace(hidden / name, folder / target)
    except ArchiveError as error:
        raise ArchiveError(f"{archive}: {error}") from error
    except (FileNotFoundError, *_BROKEN) as error:
        raise ArchiveError(f"{archive}: missing, damaged, cut off or unreadable ({error}); get it again") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return sorted(targets)
