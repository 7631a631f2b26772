"""Data sets brought from nothing, or from what a user has, by a server on this machine that answers like the real ones.

The entries are those of config/catalog.yaml, with this server's addresses and this content's checksums; the archives
are built as the real ones are.
"""

import gzip
import hashlib
import io
import json
import queue
import shutil
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
import rar
import yaml

from mac.cli import main
from mac.data import archives, catalog, fetch, index
from mac.data.archives import ArchiveError
from mac.data.download import DownloadError
from mac.data.fetch import MissingDataError

SETS = {"ucf101": "ucf101", "hmdb51": "hmdb51", "kinetics400": "kinetics"}  # name: layout
UCF_LISTS, UCF_ZIP, UCF_RAR = "UCF101TrainTestSplits-RecognitionTask.zip", "UCF101_videos.zip", "UCF101.rar"
KINETICS_PARTS = ["train_part_0.tar.gz", "train_part_1.tar.gz", "val_part_0.tar.gz"]
REPLACEMENT = "replacement_for_corrupted_k400.tgz"
ARCHIVES = {
    "ucf101": {"split lists": [UCF_LISTS], "videos": [UCF_ZIP]},
    "hmdb51": {"split lists": ["test_train_splits.rar"], "videos": ["hmdb51_org.rar"]},
    "kinetics400": {"annotations": ["train.csv", "val.csv"], "videos": [*KINETICS_PARTS, REPLACEMENT]},
}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, name = self.server, self.path.removeprefix("/")
        with server.guard:
            server.requests.append(name)
        server.open.wait(20)
        content = server.files.get(name)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")


@pytest.fixture
def server():
    """A server of ``files`` (name → bytes) that writes down ``requests``; it answers while ``open`` is set."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.requests, running.guard, running.open = {}, [], threading.Lock(), threading.Event()
        running.open.set()
        running.url = f"http://127.0.0.1:{running.server_port}"
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.open.set()
        running.shutdown()


def zipped(files):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return raw.getvalue()


def tarred(files):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), 0)


def rarred(path, version, files):
    return rar.write(path, version, files).read_bytes()


def below(folder, pattern):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.glob(pattern))}


@pytest.fixture(scope="session")
def served(synthetic_data, tmp_path_factory):
    """What the servers of each set hold, by file name: the drawn videos, packed as the real archives are."""
    scratch = tmp_path_factory.mktemp("served") / "x.rar"
    ucf, hmdb, kinetics = (synthetic_data / layout for layout in SETS.values())
    videos = below(ucf, "UCF-101/*/*.avi")
    lists = below(hmdb, "test_train_splits/*.txt")
    by_class = {}
    for name, content in below(hmdb / "videos", "*/*.avi").items():
        by_class.setdefault(name.split("/")[0], {})[name] = content
    train, val = (
        {Path(name).name: content for name, content in below(kinetics, f"{part}/*/*.mp4").items()}
        for part in ("train", "val")
    )
    damaged = sorted(train)[3]
    half = len(train) // 2
    parts = [dict(list(train.items())[:half]), dict(list(train.items())[half:]), val]
    parts[0][damaged] = b"no video at all"
    return {
        "ucf101": {
            UCF_LISTS: zipped(below(ucf, "ucfTrainTestlist/*.txt")),
            UCF_ZIP: zipped({f"UCF101/{Path(name).name}": content for name, content in videos.items()}),
            UCF_RAR: rarred(scratch, 4, videos),
        },
        "hmdb51": {
            "test_train_splits.rar": rarred(
                scratch, 4, {n.replace("test_train_splits", "testTrainMulti_7030_splits"): c for n, c in lists.items()}
            ),
            "hmdb51_org.rar": rarred(
                scratch, 4, {f"{label}.rar": rarred(scratch, 5, files) for label, files in by_class.items()}
            ),
        },
        "kinetics400": {
            **{name: (kinetics / "annotations" / name).read_bytes() for name in ("train.csv", "val.csv")},
            **{name: tarred(files) for name, files in zip(KINETICS_PARTS, parts, strict=True)},
            REPLACEMENT: tarred({f"replacement_for_corrupted_k400/{damaged}": train[damaged]}),
        },
    }


@pytest.fixture
def sources(root, server, served, tmp_path):
    """A function that writes a catalog of one set in ``tmp_path`` and has the server hold its files."""

    def write(name):
        server.files = dict(served[name])
        if name == "kinetics400":
            for part in ("train", "val"):
                paths = [file for file in KINETICS_PARTS if file.startswith(part)]
                text = "".join(f"{server.url}/{part}/{file.removeprefix(f'{part}_')}\n" for file in paths)
                server.files[f"k400_{part}_path.txt"] = text.encode()
                for file in paths:
                    server.files[f"{part}/{file.removeprefix(f'{part}_')}"] = server.files.pop(file)
        entry = yaml.safe_load((root / "config" / "catalog.yaml").read_text())[name]
        for part in entry["parts"]:
            part["present"] = [file.replace("smile", "clap") for file in part.get("present", [])]  # a class of ours
            for kind in ("any_of", "all_of", "lists"):
                for listed in part.get(kind, []):
                    listed["urls"] = [f"{server.url}/{url.rsplit('/', 1)[-1]}" for url in listed["urls"]]
                    content = server.files.get(listed.get("file"), b"")
                    if "sha256" in listed:
                        listed |= {"size": max(len(content), 1), "sha256": hashlib.sha256(content).hexdigest()}
        path = tmp_path / "config" / "catalog.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({name: entry}))
        return catalog.load(path)[name]

    return write


def snapshot(folder):
    """Every path but the lock, hidden ones too, with its time of change and its content."""
    paths = [path for path in folder.rglob("*") if not path.name.endswith(".lock")]
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in paths}


def assert_same_videos(folder, original, layout, kept=None):
    """Every listed video has a file with the original's content, and no other video is there."""
    wanted, found = index.take(original, layout), index.take(folder, layout)
    pd.testing.assert_frame_equal(found.drop(columns="file"), wanted.drop(columns="file"))
    for there, here in zip(wanted.itertuples(), found.itertuples(), strict=True):
        if kept is None or there.label in kept:
            assert here.file, f"{here.path} has no file"
            assert (folder / here.file).read_bytes() == (original / there.file).read_bytes()
        else:
            assert here.file == ""


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_fetched_from_nothing_and_once(name, sources, server, synthetic_data, tmp_path):
    source, folder, layout = sources(name), tmp_path / "data" / name, SETS[name]
    done = fetch.complete(name, source, folder, say=lambda _: None)
    assert done == ARCHIVES[name]
    assert_same_videos(folder, synthetic_data / layout, layout)
    wanted = set(server.files) - {UCF_RAR}  # a second choice that was not needed
    assert sorted(server.requests) == sorted(wanted)
    before = snapshot(folder)
    server.requests.clear()
    server.files.clear()
    for offline in (False, True):
        assert fetch.complete(name, source, folder, offline, say=lambda _: None) == done
    assert (snapshot(folder), server.requests) == (before, [])


def test_kinetics_archives_are_discarded_and_mended_videos_win(sources, server, synthetic_data, tmp_path):
    folder = tmp_path / "kinetics400"
    fetch.complete("kinetics400", sources("kinetics400"), folder, say=lambda _: None)
    assert not [path for path in folder.rglob("*") if path.name.endswith((".gz", ".tgz"))]
    (bad,) = (path for path in folder.rglob("*.mp4") if path.read_bytes() == b"no video at all")
    table = index.take(folder, "kinetics")
    (mended,) = table.loc[table["file"].str.endswith(bad.name), "file"]
    assert mended.startswith("replacement/")
    assert set(table["file"].str.split("/").str[0]) == {"train", "val", "replacement"}
    official = folder / table.loc[table["file"] == mended, "path"].item()
    official.parent.mkdir()
    bad.rename(official)  # no place is better than that of the mended ones
    assert index.take(folder, "kinetics").equals(table)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("offline", [False, True])
def test_a_folder_that_the_user_extracted_is_used_as_it_is(name, offline, sources, server, synthetic_data, tmp_path):
    folder = shutil.copytree(synthetic_data / SETS[name], tmp_path / name)
    before = snapshot(folder)
    done = fetch.complete(name, sources(name), folder, offline, say=lambda _: None)
    assert set(done.values()) == {"found"}
    assert (snapshot(folder), server.requests) == (before, [])
    assert not (folder / ".fetch.lock").exists()  # nothing at all is written: the folder may be another's


def test_a_part_of_the_classes_with_another_ending_in_another_folder_is_used(sources, server, synthetic_data, tmp_path):
    original, folder = synthetic_data / "ucf101", tmp_path / "ucf101"
    shutil.copytree(original / "ucfTrainTestlist", folder / "my lists")
    kept = sorted(index.take(original, "ucf101")["label"].unique())[:2]
    for label in kept:
        for path in (original / "UCF-101" / label).iterdir():
            target = folder / "mine" / label / path.with_suffix(".MKV").name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    before = snapshot(folder)
    assert set(fetch.complete("ucf101", sources("ucf101"), folder, say=lambda _: None).values()) == {"found"}
    assert (snapshot(folder), server.requests) == (before, [])
    assert_same_videos(folder, original, "ucf101", kept)


@pytest.mark.parametrize("name", ["validate.csv", "validation.csv"])
def test_annotations_under_another_name_that_the_index_reads_are_used(name, sources, server, synthetic_data, tmp_path):
    folder = shutil.copytree(synthetic_data / "kinetics", tmp_path / "kinetics400")
    (folder / "annotations" / "val.csv").rename(folder / "annotations" / name)
    assert_same_videos(folder, synthetic_data / "kinetics", "kinetics")
    done = fetch.complete("kinetics400", sources("kinetics400"), folder, offline=True, say=lambda _: None)
    assert set(done.values()) == {"found"}


@pytest.mark.parametrize("lacking", ["ucfTrainTestlist", "ucfTrainTestlist/testlist03.txt"])
def test_only_the_missing_part_is_fetched_and_some_lists_are_not_all(
    lacking, sources, server, synthetic_data, tmp_path
):
    folder = shutil.copytree(synthetic_data / "ucf101", tmp_path / "ucf101")
    (folder / lacking).unlink() if lacking.endswith("txt") else shutil.rmtree(folder / lacking)
    done = fetch.complete("ucf101", sources("ucf101"), folder, say=lambda _: None)
    assert done == {"split lists": [UCF_LISTS], "videos": "found"}
    assert server.requests == [UCF_LISTS]
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("chosen", [UCF_ZIP, UCF_RAR])
def test_archives_dropped_into_the_folder_are_unpacked_without_a_request(
    offline, chosen, sources, server, served, synthetic_data, tmp_path
):
    source, folder = sources("ucf101"), tmp_path / "ucf101"
    folder.mkdir()
    for name in (UCF_LISTS, chosen):
        (folder / name).write_bytes(served["ucf101"][name])
    done = fetch.complete("ucf101", source, folder, offline, say=lambda _: None)
    assert done == {"split lists": [UCF_LISTS], "videos": [chosen]}
    assert server.requests == []
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_offline_says_what_is_missing_from_where_and_where_it_goes(sources, server, synthetic_data, tmp_path):
    source, folder = sources("ucf101"), tmp_path / "ucf101"
    with pytest.raises(MissingDataError) as error:
        fetch.complete("ucf101", source, folder, offline=True, say=lambda _: None)
    for told in (str(folder / UCF_LISTS), f"{server.url}/{UCF_LISTS}", "`download: false`", f"into {folder}"):
        assert told in str(error.value)
    shutil.copytree(synthetic_data / "ucf101" / "ucfTrainTestlist", folder / "ucfTrainTestlist")
    with pytest.raises(MissingDataError) as error:
        fetch.complete("ucf101", source, folder, offline=True, say=lambda _: None)
    for name in (UCF_ZIP, UCF_RAR):
        assert str(folder / name) in str(error.value)
        assert f"{server.url}/{name}" in str(error.value)
    assert UCF_LISTS not in str(error.value)
    shutil.copytree(synthetic_data / "ucf101" / "UCF-101", folder, dirs_exist_ok=True)
    done = fetch.complete("ucf101", source, folder, offline=True, say=lambda _: None)
    assert done == {"split lists": "found", "videos": "found"}
    assert server.requests == []
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_offline_sends_videos_of_listed_archives_where_they_are_found(sources, synthetic_data, tmp_path):
    folder = tmp_path / "kinetics400"
    shutil.copytree(synthetic_data / "kinetics" / "annotations", folder / "annotations")
    source = sources("kinetics400")
    with pytest.raises(MissingDataError) as error:
        fetch.complete("kinetics400", source, folder, offline=True, say=lambda _: None)
    told = Path(str(error.value).rpartition("put the unpacked files into ")[2])
    for part in ("train", "val"):
        shutil.copytree(synthetic_data / "kinetics" / part, told / part)
    assert fetch.complete("kinetics400", source, folder, offline=True, say=lambda _: None)["videos"] == "found"


def test_a_run_killed_while_unpacking_is_taken_up_again(sources, server, synthetic_data, tmp_path, monkeypatch):
    source, folder = sources("ucf101"), tmp_path / "ucf101"
    real = archives.os.replace

    def killed_at_the_tenth_video(source, target):
        if len(list((folder / "UCF-101").glob("*.avi"))) >= 10:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(archives.os, "replace", killed_at_the_tenth_video)
        with pytest.raises(KeyboardInterrupt):
            fetch.complete("ucf101", source, folder, say=lambda _: None)
    assert len(list(folder.rglob("*.avi"))) == 10
    server.requests.clear()
    assert fetch.complete("ucf101", source, folder, offline=True, say=lambda _: None) == ARCHIVES["ucf101"]
    assert server.requests == []
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_a_run_stopped_between_two_archives_fetches_the_rest_only(sources, server, synthetic_data, tmp_path):
    source, folder = sources("kinetics400"), tmp_path / "kinetics400"
    withheld = {name: server.files.pop(name) for name in ("val/part_0.tar.gz", REPLACEMENT)}
    for _ in range(2):
        with pytest.raises(DownloadError, match=r"val/part_0\.tar\.gz: HTTP 404"):
            fetch.complete("kinetics400", source, folder, say=lambda _: None)
    assert server.requests.count("train/part_0.tar.gz") == server.requests.count("train/part_1.tar.gz") == 1
    with pytest.raises(MissingDataError, match=r"/val_part_0\.tar\.gz: missing"):
        fetch.complete("kinetics400", source, folder, offline=True, say=lambda _: None)
    server.files |= withheld
    server.requests.clear()
    assert fetch.complete("kinetics400", source, folder, say=lambda _: None) == ARCHIVES["kinetics400"]
    assert server.requests == list(withheld)
    assert_same_videos(folder, synthetic_data / "kinetics", "kinetics")


def test_a_part_whose_second_archive_is_damaged_is_not_taken_for_complete(sources, server, synthetic_data, tmp_path):
    source, folder = sources("kinetics400"), tmp_path / "kinetics400"
    whole = server.files["train/part_1.tar.gz"]
    server.files["train/part_1.tar.gz"] = whole[:-5000]
    for _ in range(2):
        with pytest.raises(ArchiveError, match=r"/train_part_1\.tar\.gz: "):
            fetch.complete("kinetics400", source, folder, offline=False, say=lambda _: None)
    for path in folder.glob("train_part_1.tar.gz*"):  # as the message says: delete it and download it again
        path.unlink()
    server.files["train/part_1.tar.gz"] = whole
    assert fetch.complete("kinetics400", source, folder, say=lambda _: None) == ARCHIVES["kinetics400"]
    assert_same_videos(folder, synthetic_data / "kinetics", "kinetics")


@pytest.mark.parametrize("answer", ["none", "a page", "cut", "another date"])
def test_a_bad_first_archive_gives_way_to_the_second(answer, sources, server, synthetic_data, tmp_path):
    source, folder, said = sources("ucf101"), tmp_path / "ucf101", []
    whole = server.files.pop(UCF_ZIP)
    dated = whole[:12] + bytes([whole[12] ^ 1]) + whole[13:]  # could be unpacked, but isn't what is pinned
    others = {"a page": b"<html>", "cut": whole[:-100], "another date": dated}
    server.files |= {UCF_ZIP: others[answer]} if answer in others else {}
    done = fetch.complete("ucf101", source, folder, say=said.append)
    assert done == {"split lists": [UCF_LISTS], "videos": [UCF_RAR]}
    assert any(f"/{UCF_ZIP}: " in text and "trying another archive" in text for text in said)
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")
    assert not (folder / UCF_ZIP).exists()


def test_an_error_names_every_archive_that_was_tried(sources, server, tmp_path):
    source, folder = sources("ucf101"), tmp_path / "ucf101"
    del server.files[UCF_ZIP]
    server.files[UCF_RAR] = server.files[UCF_RAR][:-300]
    with pytest.raises((DownloadError, ArchiveError)) as error:
        fetch.complete("ucf101", source, folder, say=lambda _: None)
    assert f"{server.url}/{UCF_ZIP}: HTTP 404" in str(error.value)
    assert f"{folder / UCF_RAR}: " in str(error.value)
    assert not list(folder.rglob("*.avi"))


@pytest.mark.parametrize(("dropped", "taken"), [(UCF_RAR, UCF_ZIP), (UCF_ZIP, UCF_RAR)])
def test_a_dropped_archive_that_is_damaged_gives_way_to_a_download(
    dropped, taken, sources, server, served, synthetic_data, tmp_path
):
    source, folder = sources("ucf101"), tmp_path / "ucf101"
    folder.mkdir()
    (folder / dropped).write_bytes(served["ucf101"][dropped][:-300])
    assert fetch.complete("ucf101", source, folder, say=lambda _: None)["videos"] == [taken]
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_files_unpacked_by_hand_are_found_after_an_archive_could_not_be_unpacked(
    sources, server, synthetic_data, tmp_path
):
    source, folder = sources("ucf101"), tmp_path / "ucf101"
    del server.files[UCF_ZIP]
    server.files[UCF_RAR] = server.files[UCF_RAR][:-300]
    with pytest.raises((DownloadError, ArchiveError)):
        fetch.complete("ucf101", source, folder, say=lambda _: None)
    shutil.copytree(synthetic_data / "ucf101" / "UCF-101", folder / "UCF-101", dirs_exist_ok=True)
    assert fetch.complete("ucf101", source, folder, say=lambda _: None)["videos"] == "found"


def test_two_fetches_at_once_download_once(sources, server, synthetic_data, tmp_path):
    source, folder, said = sources("ucf101"), tmp_path / "ucf101", queue.Queue()
    server.open.clear()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(fetch.complete, "ucf101", source, folder, say=said.put) for _ in "ab"]
        while "waiting for another process" not in said.get(timeout=20):  # both have begun, neither has been answered
            pass
        server.open.set()
        assert [future.result(60) for future in running] == [ARCHIVES["ucf101"]] * 2
    assert sorted(server.requests) == sorted([UCF_LISTS, UCF_ZIP])
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_the_command_writes_where_each_part_is_from(sources, server, tmp_path, capsys):
    sources("hmdb51")
    folder, out = tmp_path / "hmdb51", tmp_path / "record.json"
    call = ["fetch", "hmdb51", "--root", str(folder), "--config-dir", str(tmp_path / "config"), "--out", str(out)]
    main(call)
    assert json.loads(out.read_text()) == ARCHIVES["hmdb51"]
    assert "CC BY 4.0" in capsys.readouterr().out  # the terms are told
    shutil.rmtree(folder)
    with pytest.raises(SystemExit) as exited:
        main([*call, "--offline"])
    assert "test_train_splits.rar: missing" in str(exited.value)
    with pytest.raises(SystemExit, match="no data set 'hmdb15' — did you mean 'hmdb51'"):
        main(["fetch", "hmdb15", "--root", str(tmp_path / "none"), *call[4:]])
