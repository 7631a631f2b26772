import base64
import gzip
import io
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from types import SimpleNamespace

import pytest
import rar

from mac.data import archives
from mac.data.archives import ArchiveError, extract

FILES = {"d/a.txt": b"hello " * 50, "d/e/b.bin": bytes(range(256)) * 9, "empty": b""}
KINDS = ("zip", "tar", "tgz", "rar4", "rar5")
INSTALLED = [tool for tool in archives.TOOLS if shutil.which(tool)]

# Solid, compressed RARs of two files of 2048 bytes each, from the test files of rarfile 4.5 (Marko Kreen, ISC licence).
SOLID = {
    "rar3-solid": "UmFyIRoHADvQcwgADQAAAAAAAAArNHSAkCwAXAAAAAAIAAADoua3xbBmzD4dMwoApIEAAHN0ZXN0MS50eHQAwBEMzP6MnrD+MYGr"
    "rLG7QHeoCmTWSzeDwQe8AeCFku77th0ACCAACIjpeAzSDAdhOkF4S7Nun1IK2sonQLrnC2SKYnH7uACRnlAv2FX/+sZY6+vE14h+VJaHH03s2RZ0kJAs"
    "AA4AAAAACAAAA6Lmt8WwZsw+HTMKAKSBAABzdGVzdDIudHh0AMCxIACIB+vyCmn6/JTe0MQ9ewBABwA=",
    "rar5-solid": "UmFyIRoHAQAJ78hvCwEFBwQGAQGAgIAA3vVwchwCAroABIAQtoMCoua3xYAbAQpzdGVzdDEudHh0waw3REQj+iP2l/1iU1G+TJGB"
    "QQKMwQN5XL9Ho6otoDaT3aBYAEACANRQBHb2xH8y6p8ypcTM14PfABDoLYkcAgKNAASAELaDAqLmt8XAGwEKc3Rlc3QyLnR4dEUVCmABAAgD37f79vwd"
    "d1ZRAwUEAA==",
}
SOLID_CRC = 3317163682


def pack(kind, path, files, links=None):
    """Write an archive of stored members; ``links`` maps names to targets."""
    if kind.startswith("rar"):
        return rar.write(path, int(kind[3]), files, links)
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in files.items():
                file.writestr(zipfile.ZipInfo(name), content)
            for name, target in (links or {}).items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                file.writestr(info, target)
        return path
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            file.addfile(info)
    path.write_bytes(gzip.compress(raw.getvalue(), 0) if kind == "tgz" else raw.getvalue())
    return path


def contents(folder):
    """Every file under a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def solid(path, name):
    path.write_bytes(base64.b64decode(SOLID[name]))
    return path


@pytest.fixture
def only(tmp_path, monkeypatch):
    """A function that leaves the named tools on PATH, and those given as scripts."""

    def choose(*tools, **scripts):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for tool in tools:
            (folder / tool).symlink_to(shutil.which(tool))
        for tool, script in scripts.items():
            (folder / tool).write_text(f"#!/bin/sh\n{script}\n")
            (folder / tool).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return choose


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_known_by_its_content(kind, tmp_path):
    archive = pack(kind, tmp_path / "x.bin", FILES)
    assert extract(archive, tmp_path / "out") == sorted(FILES)
    assert contents(tmp_path / "out") == FILES
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"d", "empty"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../x", "d/../../x", "/abs", "C:\\x", "C:x", "..\\x"])
def test_names_that_lead_out_are_refused_before_anything_is_written(kind, name, tmp_path):
    archive = pack(kind, tmp_path / "evil", {"good": b"1", name: b"2"})
    shown = name.replace("\\", "/") if kind == "rar4" else name
    with pytest.raises(ArchiveError) as error:
        extract(archive, tmp_path / "out")
    assert str(archive) in str(error.value)
    assert repr(shown) in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"evil"}


@pytest.mark.parametrize("kind", KINDS)
def test_links_are_refused(kind, tmp_path):
    archive = pack(kind, tmp_path / "evil", {"good": b"1"}, {"up": ".."})
    with pytest.raises(ArchiveError, match="evil: member 'up' is encrypted, a link or a device"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", [tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_hard_links_and_devices_are_refused(form, tmp_path):
    info = tarfile.TarInfo("odd")
    info.type, info.linkname = form, "/etc/passwd"
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        file.addfile(info)
    with pytest.raises(ArchiveError, match="'odd' is encrypted, a link or a device"):
        extract(tmp_path / "x.tar", tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.03, 0.2, 0.5, 0.6])
def test_a_cut_archive_gives_nothing(kind, part, tmp_path):
    archive = pack(kind, tmp_path / "cut", {"a": b"1" * 4000, "b": os.urandom(16000)})
    os.truncate(archive, int(archive.stat().st_size * part))
    with pytest.raises(ArchiveError, match="/cut: "):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists() or contents(tmp_path / "out") == {}


@pytest.mark.parametrize(("kind", "lost"), [("rar5", 8), ("tgz", 8), ("tar", 10240)])
def test_a_missing_end_mark_is_noticed(kind, lost, tmp_path):
    archive = pack(kind, tmp_path / "cut", {"a": b"1" * 9728} if kind == "tar" else FILES)
    os.truncate(archive, archive.stat().st_size - lost)
    with pytest.raises(ArchiveError, match="cut off"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize("tools", [[], *([tool] for tool in INSTALLED)])
@pytest.mark.parametrize("kind", ["zip", "tgz", "rar4", "rar5"])
def test_a_flipped_bit_in_a_member_gives_nothing(kind, tools, tmp_path, only):
    only(*tools)
    archive = pack(kind, tmp_path / "flipped", {"a": b"1" * 400, "b": b"needle" * 500})
    data = bytearray(archive.read_bytes())
    data[data.index(b"needle")] ^= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="/flipped: "):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists() or contents(tmp_path / "out") == {}


@pytest.mark.parametrize("kind", ["tar", "rar4", "rar5"])
def test_a_damaged_header_is_not_taken_for_the_end(kind, tmp_path):
    archive = pack(kind, tmp_path / "damaged", {"first": b"1", "second": b"2"})
    archive.write_bytes(archive.read_bytes().replace(b"second", b"sEcond"))
    with pytest.raises(ArchiveError, match="damaged"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize("bit", range(8))
def test_a_zip_whose_list_of_members_hides_some_is_refused(bit, tmp_path):
    archive = pack("zip", tmp_path / "x.zip", {"a": b"1", "b": b"2", "c": b"3"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 33] ^= 1 << bit  # the high byte of the length of the first member's comment
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"x\.zip: damaged, its list names 1 members, its end record 3; "):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_listing_does_not_end_early(tmp_path):
    archive = rar.write(tmp_path / "x.rar", 4, {"a": b"1" * 999})
    os.truncate(archive, 500)
    with pytest.raises(ArchiveError, match="cut off after 500 bytes"):
        extract(archive, tmp_path / "out")
    data = rar.write(archive, 5, {"a": b"1", "second": b"2"}).read_bytes()
    start = data.index(b"second") - 16  # where its header's length stands
    archive.write_bytes(data[:start] + b"\xff\xff\xff\x7f" + data[start + 4 :])
    with pytest.raises(ArchiveError, match="cut off"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\n<!DOCTYPE html><title>Sign in</title>", "<!DOCTYPE html>"),
        (b"", "begins with b''"),
        (b"BZh9junk", "BZh9junk"),
    ],
)
def test_what_is_no_archive_is_named(content, found, tmp_path):
    (tmp_path / "x.rar").write_bytes(content)
    with pytest.raises(ArchiveError, match=rf"x\.rar: .*{found}.*zip, tar, tar\.gz and RAR in one part"):
        extract(tmp_path / "x.rar", tmp_path / "out")
    with pytest.raises(ArchiveError, match="none: missing"):
        extract(tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize("version", [4, 5])
def test_encrypted_and_split_rars_are_refused(version, tmp_path):
    with pytest.raises(ArchiveError, match="encrypted"):
        extract(rar.write(tmp_path / "x.rar", version, FILES, encrypted=True), tmp_path / "out")
    with pytest.raises(ArchiveError, match="multi-volume"):
        extract(rar.write(tmp_path / "x.rar", version, FILES, volume=True), tmp_path / "out")


def test_encrypted_zips_are_refused(tmp_path):
    archive = pack("zip", tmp_path / "x.zip", {"a": b"1"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="'a' is encrypted,"):
        extract(archive, tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("pair", [("a", "./a"), ("a", "a/b")])
def test_two_members_cant_share_a_name(pair, tmp_path):
    archive = pack("tar", tmp_path / "x.tar", dict.fromkeys(pair, b"1"))
    with pytest.raises(ArchiveError, match="member 'a'"):
        extract(archive, tmp_path / "out")


def test_a_killed_run_is_wiped_and_redone(tmp_path, monkeypatch):
    archive, out = pack("zip", tmp_path / "x.zip", FILES), tmp_path / "out"
    remains = out / ".x.zip.extracting" / "d"
    remains.mkdir(parents=True)
    (remains / "a.txt").write_bytes(b"half")
    (remains / "stranger").write_bytes(b"?")
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_verify", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extract(archive, out)
    assert contents(out) == {}
    remains.mkdir(parents=True)
    free = lambda _: SimpleNamespace(free=0 if remains.exists() else 1 << 40)  # noqa: E731
    monkeypatch.setattr(archives.shutil, "disk_usage", free)
    assert extract(archive, out) == sorted(FILES)
    assert contents(out) == FILES


def test_parts_merge_into_one_folder_and_replace_files(tmp_path):
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d" / "mine").write_bytes(b"stays")
    extract(pack("tgz", tmp_path / "part_0.tar.gz", {"d/a": b"0", "d/both": b"0"}), out)
    extract(pack("tgz", tmp_path / "part_1.tar.gz", {"d/b": b"1", "d/both": b"1"}), out)
    assert contents(out) == {"d/mine": b"stays", "d/a": b"0", "d/b": b"1", "d/both": b"1"}


@pytest.mark.parametrize("standing", ["b/x", "d"])
def test_a_folder_in_the_way_stops_before_the_first_file(standing, tmp_path):
    out = tmp_path / "out"
    (out / standing).parent.mkdir(parents=True)
    (out / standing).write_bytes(b"mine")
    archive = pack("zip", tmp_path / "x.zip", {"a": b"1", "b": b"1", "d/c": b"1"})
    with pytest.raises(ArchiveError, match=r"x\.zip: no place for .*/out/"):
        extract(archive, out)
    assert contents(out) == {standing: b"mine"}


@pytest.mark.parametrize("kind", KINDS)
def test_leading_folders_are_stripped(kind, tmp_path):
    archive = pack(kind, tmp_path / "x", {"top/d/a": b"1", "top/b": b"2"})
    extract(archive, tmp_path / "out", strip=1)
    assert contents(tmp_path / "out") == {"d/a": b"1", "b": b"2"}
    with pytest.raises(ArchiveError, match="'top/b'.*strip=2"):
        extract(archive, tmp_path / "out", strip=2)
    archive = pack(kind, tmp_path / "x", {"one/a": b"1", "two/a": b"2"})
    with pytest.raises(ArchiveError, match="'two/a'.*'one/a'"):
        extract(archive, tmp_path / "other", strip=1)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("version", [4, 5])
def test_archives_in_an_archive(version, tmp_path):
    inner = {}
    for label in ("wave", "walk"):
        path = rar.write(tmp_path / "inner", version, {f"{label}/1.avi": label.encode() * 99, f"{label}/2.avi": b"2"})
        inner[f"set/{label}.rar"] = path.read_bytes()
    outer = rar.write(tmp_path / "outer.rar", version, {"set/readme": b"r", **inner})
    assert extract(outer, tmp_path / "flat") == ["set/readme", "set/walk.rar", "set/wave.rar"]
    extract(outer, tmp_path / "deep", nested=True)
    assert contents(tmp_path / "deep") == {
        "set/readme": b"r",
        "set/wave/1.avi": b"wave" * 99,
        "set/walk/1.avi": b"walk" * 99,
        "set/wave/2.avi": b"2",
        "set/walk/2.avi": b"2",
    }
    assert extract(outer, tmp_path / "strip", nested=True, strip=1)[0] == "readme"
    assert contents(tmp_path / "strip") == {n.removeprefix("set/"): c for n, c in contents(tmp_path / "deep").items()}
    with pytest.raises(ArchiveError, match="'set/readme'.*strip=2"):
        extract(outer, tmp_path / "none", nested=True, strip=2)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("damage", [lambda d: d[:-400], lambda d: d.replace(b"needle", b"noodle"), lambda d: b"<html>"])
def test_a_damaged_inner_archive_is_named_with_its_outer_one(damage, tmp_path):
    good = rar.write(tmp_path / "inner", 4, {"wave/1.avi": b"1"}).read_bytes()
    bad = damage(rar.write(tmp_path / "inner", 4, {"walk/1.avi": b"needle" * 99}).read_bytes())
    outer = rar.write(tmp_path / "outer.rar", 4, {"wave.rar": good, "walk.rar": bad})
    with pytest.raises(ArchiveError, match=r"/outer\.rar: .*/walk\.rar: "):
        extract(outer, tmp_path / "out", nested=True)
    assert contents(tmp_path / "out") == {}


def test_a_full_disk_is_noticed_before(tmp_path, monkeypatch):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: SimpleNamespace(free=299))
    with pytest.raises(ArchiveError, match=r"needs 2,604 bytes, .* has 299 free"):
        extract(pack("zip", tmp_path / "x.zip", FILES), tmp_path / "out")
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("version", [4, 5])
def test_stored_rars_need_no_tool(version, tmp_path, only):
    only()
    extract(rar.write(tmp_path / "x.rar", version, FILES), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("name", SOLID)
def test_compressed_rars_without_a_tool_say_what_to_install(name, tmp_path, only):
    only()
    with pytest.raises(
        ArchiveError, match=r"x\.rar: .*unar: not installed.*bsdtar: not installed.*apt-get install unar"
    ):
        extract(solid(tmp_path / "x.rar", name), tmp_path / "out")
    assert contents(tmp_path / "out") == {}


@pytest.mark.skipif("unar" not in INSTALLED, reason="unar is not installed: no compressed RAR can be unpacked")
@pytest.mark.parametrize("name", SOLID)
@pytest.mark.parametrize(
    ("lie", "outcome"),
    [
        ("exit 0", "member 'stest1.txt' is missing"),
        ("echo 1 > $6/stest1.txt; echo 1 > $6/stest2.txt", "member 'stest1.txt' is missing, of a wrong size"),
        ("printf %2048s > $6/stest1.txt; printf %2048s > $6/stest2.txt", "member 'stest1.txt' has another CRC"),
        ("echo so sorry >&2; exit 3", r"exit code 3 \(so sorry\)"),
    ],
)
def test_a_tool_that_fails_or_lies_makes_room_for_the_next(name, lie, outcome, tmp_path, only):
    real, archive = shutil.which("unar"), solid(tmp_path / "x.rar", name)
    only(unar=lie)
    with pytest.raises(ArchiveError, match=rf"x\.rar: .*unar: {outcome}.*unrar: not installed"):
        extract(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    only(unrar=f'exec {real} -q -f -D -o "$7" "$6"')
    assert extract(archive, tmp_path / "out") == ["stest1.txt", "stest2.txt"]
    assert {zlib.crc32(content) for content in contents(tmp_path / "out").values()} == {SOLID_CRC}


def test_a_tool_that_does_not_start_is_passed_over(tmp_path, only):
    only(unar="")
    (tmp_path / "bin" / "unar").write_text("#!/no/such/interpreter\n")
    extract(rar.write(tmp_path / "x.rar", 5, FILES), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_a_tool_that_locks_what_it_writes_does_no_harm(tmp_path, only):
    only(unar=f"{shutil.which('mkdir')} $6/d; : > $6/d/a; {shutil.which('chmod')} 0 $6/d/a $6/d")
    archive = rar.write(tmp_path / "x.rar", 4, {"d/a": b""})
    extract(archive, tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out" / "d" / "a").stat().st_mode) == 0o644


def test_a_tool_that_adds_a_file_or_a_link_is_not_believed(tmp_path, only):
    archive = rar.write(tmp_path / "x.rar", 4, {"a": b""})
    for extra in (": > $6/extra", f"{shutil.which('ln')} -s /etc/passwd $6/extra"):
        only(unar=f": > $6/a; {extra}")
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        extract(archive, tmp_path / "out")
        assert contents(tmp_path / "out") == {"a": b""}


@pytest.mark.skipif(not INSTALLED, reason="no program that unpacks RAR is installed")
@pytest.mark.parametrize("tool", INSTALLED)
@pytest.mark.parametrize("name", SOLID)
def test_every_installed_tool_unpacks_in_full_or_not_at_all(name, tool, tmp_path, only):
    only(tool)
    archive = solid(tmp_path / "x.rar", name)
    problem = ""
    try:
        extract(archive, tmp_path / "out")
    except ArchiveError as error:
        problem = str(error)
    assert [zlib.crc32(content) for content in contents(tmp_path / "out").values()] == [SOLID_CRC] * (
        0 if problem else 2
    )
    assert not problem or f"{tool}: exit code" in problem
    assert not problem or tool != "unar"


@pytest.mark.skipif("unar" not in INSTALLED, reason="unar is not installed")
def test_a_neighbour_of_a_similar_name_is_no_second_volume(tmp_path, only):
    only("unar")
    solid(tmp_path / "rar3-solid.rar", "rar3-solid")
    assert extract(solid(tmp_path / "rar5-solid.rar", "rar5-solid"), tmp_path / "out") == ["stest1.txt", "stest2.txt"]


@pytest.mark.skipif(not INSTALLED, reason="no program that unpacks RAR is installed")
@pytest.mark.parametrize("tool", INSTALLED)
@pytest.mark.parametrize("version", [4, 5])
def test_odd_names_survive_every_tool(version, tool, tmp_path, only, monkeypatch):
    only(tool)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setattr(archives, "TOOLS", {tool: archives.TOOLS[tool]})
    monkeypatch.setattr(archives, "_write", None)
    names = {"a b/#1 (x)_&!.avi": b"1", "-q": b"2", "{x}": b"3", "[a]*": b"4", "ü/日本.avi": b"5"}
    extract(rar.write(tmp_path / "-x {y}.rar", version, names), tmp_path / "out {z}")
    assert contents(tmp_path / "out {z}") == names
