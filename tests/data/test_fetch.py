"""Data sets brought from nothing, or from what a user has, by a server on this machine that answers like the real ones.

The entries are those of config/catalog.yaml, with this server's addresses and this content's checksums; the archives
are built as the real ones are.
"""

import hashlib
import json
import queue
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml
from packing import packed

from mac.cli import main
from mac.data import archives, catalog, fetch, inventory
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


def below(folder, pattern):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.glob(pattern))}


@pytest.fixture(scope="session")
def served(synthetic_data, tmp_path_factory):
    """What the servers of each set hold, by file name: the drawn videos, packed as the real archives are."""
    pack = partial(packed, scratch=tmp_path_factory.mktemp("served") / "x")
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
    damaged, half = sorted(train)[3], len(train) // 2
    parts = [dict(list(train.items())[:half]), dict(list(train.items())[half:]), val]
    parts[0][damaged] = b"no video at all"
    return {
        "ucf101": {
            UCF_LISTS: pack("zip", files=below(ucf, "ucfTrainTestlist/*.txt")),
            UCF_ZIP: pack("zip", files={f"UCF101/{Path(name).name}": content for name, content in videos.items()}),
            UCF_RAR: pack("rar4", files=videos),
        },
        "hmdb51": {
            "test_train_splits.rar": pack(
                "rar4", files={f"testTrainMulti_7030_splits/{Path(name).name}": text for name, text in lists.items()}
            ),
            "hmdb51_org.rar": pack(
                "rar4", files={f"{label}.rar": pack("rar5", files=files) for label, files in by_class.items()}
            ),
        },
        "kinetics400": {
            **{name: (kinetics / "annotations" / name).read_bytes() for name in ("train.csv", "val.csv")},
            **{name: pack("tgz", files=files) for name, files in zip(KINETICS_PARTS, parts, strict=True)},
            REPLACEMENT: pack("tgz", files={f"replacement_for_corrupted_k400/{damaged}": train[damaged]}),
        },
    }


@pytest.fixture
def sources(root, server, served, tmp_path):
    """A function that writes a catalog of one set in ``tmp_path`` and has the server hold its files."""

    def write(name):
        server.files = dict(served[name])
        if name == "kinetics400":
            for part in ("train", "val"):
                files = {file: f"{part}/{file.removeprefix(f'{part}_')}" for file in KINETICS_PARTS if part in file}
                server.files |= {place: server.files.pop(file) for file, place in files.items()}
                text = "".join(f"{server.url(f'/{place}')}\n" for place in files.values())
                server.files[f"k400_{part}_path.txt"] = text.encode()
        entry = yaml.safe_load((root / "config" / "catalog.yaml").read_text())[name]
        for part in entry["parts"]:
            part["present"] = [file.replace("smile", "clap") for file in part.get("present", [])]  # a class of ours
            for listed in (listed for kind in ("any_of", "all_of", "lists") for listed in part.get(kind, [])):
                listed["urls"] = [server.url(f"/{url.rsplit('/', 1)[-1]}") for url in listed["urls"]]
                content = server.files.get(listed.get("file"), b"")
                if "sha256" in listed:
                    listed |= {"size": max(len(content), 1), "sha256": hashlib.sha256(content).hexdigest()}
        path = tmp_path / "config" / "catalog.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({name: entry}))
        return catalog.load(path)[name]

    return write


@pytest.fixture
def ucf(sources, tmp_path):
    """A function that brings the UCF101-like set into its folder, and the folder."""
    source, folder = sources("ucf101"), tmp_path / "ucf101"
    return partial(bring, "ucf101", source, folder), folder


@pytest.fixture
def kinetics(sources, tmp_path):
    """The same of the Kinetics-like set."""
    source, folder = sources("kinetics400"), tmp_path / "kinetics400"
    return partial(bring, "kinetics400", source, folder), folder


bring = partial(fetch.complete, say=lambda _: None)


def snapshot(folder):
    """Every path but the lock, hidden ones too, with its time of change and its content."""
    paths = [path for path in folder.rglob("*") if not path.name.endswith(".lock")]
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in paths}


def assert_same_videos(folder, original, layout, kept=None):
    """Every listed video has a file with the original's content, and no other video is there."""
    wanted, found = inventory.take(original, layout), inventory.take(folder, layout)
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
    assert bring(name, source, folder) == ARCHIVES[name]
    assert_same_videos(folder, synthetic_data / layout, layout)
    assert sorted(server.names()) == sorted(set(server.files) - {UCF_RAR})  # a second choice that was not needed
    before = snapshot(folder)
    server.requests.clear()
    server.files.clear()
    for offline in (False, True):
        assert bring(name, source, folder, offline) == ARCHIVES[name]
    assert (snapshot(folder), server.requests) == (before, [])


def test_kinetics_archives_are_discarded_and_mended_videos_win(kinetics):
    complete, folder = kinetics
    complete()
    assert not [path for path in folder.rglob("*") if path.name.endswith((".gz", ".tgz"))]
    (bad,) = (path for path in folder.rglob("*.mp4") if path.read_bytes() == b"no video at all")
    table = inventory.take(folder, "kinetics")
    (mended,) = table.loc[table["file"].str.endswith(bad.name), "file"]
    assert mended.startswith("replacement/")
    assert set(table["file"].str.split("/").str[0]) == {"train", "val", "replacement"}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("offline", [False, True])
def test_a_folder_that_the_user_extracted_is_used_as_it_is(name, offline, sources, server, copied):
    folder = copied(SETS[name])
    before = snapshot(folder)
    assert set(bring(name, sources(name), folder, offline).values()) == {"found"}
    assert (snapshot(folder), server.requests) == (before, [])
    assert not (folder / ".fetch.lock").exists()  # nothing at all is written: the folder may be another's


def test_a_part_of_the_classes_with_another_ending_in_another_folder_is_used(ucf, server, synthetic_data):
    (complete, folder), original = ucf, synthetic_data / "ucf101"
    shutil.copytree(original / "ucfTrainTestlist", folder / "my lists")
    kept = sorted(inventory.take(original, "ucf101")["label"].unique())[:2]
    for label in kept:
        for path in shutil.copytree(original / "UCF-101" / label, folder / "mine" / label).iterdir():
            path.rename(path.with_suffix(".MKV"))
    assert set(complete().values()) == {"found"}
    assert server.requests == []
    assert_same_videos(folder, original, "ucf101", kept)


@pytest.mark.parametrize("name", ["validate.csv", "validation.csv"])
def test_annotations_under_another_name_that_the_index_reads_are_used(name, kinetics, synthetic_data):
    complete, folder = kinetics
    shutil.copytree(synthetic_data / "kinetics", folder)
    (folder / "annotations" / "val.csv").rename(folder / "annotations" / name)
    assert_same_videos(folder, synthetic_data / "kinetics", "kinetics")
    assert set(complete(offline=True).values()) == {"found"}


@pytest.mark.parametrize("lacking", ["ucfTrainTestlist", "ucfTrainTestlist/testlist03.txt"])
def test_only_the_missing_part_is_fetched_and_some_lists_are_not_all(lacking, ucf, server, synthetic_data):
    complete, folder = ucf
    shutil.copytree(synthetic_data / "ucf101", folder)
    (folder / lacking).unlink() if lacking.endswith("txt") else shutil.rmtree(folder / lacking)
    assert complete() == {"split lists": [UCF_LISTS], "videos": "found"}
    assert server.names() == [UCF_LISTS]
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("chosen", [UCF_ZIP, UCF_RAR])
def test_archives_dropped_into_the_folder_are_unpacked_without_a_request(offline, chosen, ucf, server, synthetic_data):
    complete, folder = ucf
    folder.mkdir()
    for name in (UCF_LISTS, chosen):
        (folder / name).write_bytes(server.files[name])
    assert complete(offline) == {"split lists": [UCF_LISTS], "videos": [chosen]}
    assert server.requests == []
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_offline_says_what_is_missing_from_where_and_where_it_goes(ucf, server, synthetic_data):
    complete, folder = ucf
    original = synthetic_data / "ucf101"
    steps = [
        ([UCF_LISTS], original / "ucfTrainTestlist", folder / "ucfTrainTestlist"),
        ([UCF_ZIP, UCF_RAR], original / "UCF-101", folder),
    ]
    for missing, source, target in steps:
        with pytest.raises(MissingDataError) as error:
            complete(offline=True)
        named = [part for name in missing for part in (str(folder / name), server.url(f"/{name}"))]
        for told in (*named, "`download: false`", f"into {folder}"):
            assert told in str(error.value)
        assert (UCF_LISTS in str(error.value)) == (missing == [UCF_LISTS])
        shutil.copytree(source, target, dirs_exist_ok=True)
    assert complete(offline=True) == {"split lists": "found", "videos": "found"}
    assert server.requests == []
    assert_same_videos(folder, original, "ucf101")


def test_offline_sends_videos_of_listed_archives_where_they_are_found(kinetics, synthetic_data):
    complete, folder = kinetics
    shutil.copytree(synthetic_data / "kinetics" / "annotations", folder / "annotations")
    with pytest.raises(MissingDataError) as error:
        complete(offline=True)
    told = Path(str(error.value).rpartition("put the unpacked files into ")[2])
    for part in ("train", "val"):
        shutil.copytree(synthetic_data / "kinetics" / part, told / part)
    assert complete(offline=True)["videos"] == "found"


def test_a_run_killed_while_unpacking_is_taken_up_again(ucf, server, synthetic_data, monkeypatch):
    complete, folder = ucf
    real = archives.os.replace

    def killed_at_the_tenth_video(source, target):
        if len(list((folder / "UCF-101").glob("*.avi"))) >= 10:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(archives.os, "replace", killed_at_the_tenth_video)
        with pytest.raises(KeyboardInterrupt):
            complete()
    assert len(list(folder.rglob("*.avi"))) == 10
    server.requests.clear()
    assert complete(offline=True) == ARCHIVES["ucf101"]
    assert server.requests == []
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_a_run_stopped_between_two_archives_fetches_the_rest_only(kinetics, server, synthetic_data):
    complete, folder = kinetics
    withheld = {name: server.files.pop(name) for name in ("val/part_0.tar.gz", REPLACEMENT)}
    for _ in range(2):
        with pytest.raises(DownloadError, match=r"val/part_0\.tar\.gz: HTTP 404"):
            complete()
    assert [server.names().count(f"train/part_{part}.tar.gz") for part in (0, 1)] == [1, 1]
    with pytest.raises(MissingDataError, match=r"/val_part_0\.tar\.gz: missing"):
        complete(offline=True)
    server.files |= withheld
    server.requests.clear()
    assert complete() == ARCHIVES["kinetics400"]
    assert server.names() == list(withheld)
    assert_same_videos(folder, synthetic_data / "kinetics", "kinetics")


def test_a_part_whose_second_archive_is_damaged_is_not_taken_for_complete(kinetics, server, synthetic_data):
    complete, folder = kinetics
    whole = server.files["train/part_1.tar.gz"]
    server.files["train/part_1.tar.gz"] = whole[:-5000]
    for _ in range(2):
        with pytest.raises(ArchiveError, match=r"/train_part_1\.tar\.gz: "):
            complete()
    for path in folder.glob("train_part_1.tar.gz*"):  # as the message says: delete it and download it again
        path.unlink()
    server.files["train/part_1.tar.gz"] = whole
    assert complete() == ARCHIVES["kinetics400"]
    assert_same_videos(folder, synthetic_data / "kinetics", "kinetics")


SPOILED = {
    "none": None,
    "a page": lambda whole: b"<html>",
    "cut": lambda whole: whole[:-100],
    "another date": lambda whole: whole[:12] + bytes([whole[12] ^ 1]) + whole[13:],  # unpacks, but isn't what is pinned
}


@pytest.mark.parametrize("answer", SPOILED)
def test_a_bad_first_archive_gives_way_to_the_second(answer, ucf, server, synthetic_data):
    (complete, folder), said = ucf, []
    whole, spoil = server.files.pop(UCF_ZIP), SPOILED[answer]
    server.files |= {UCF_ZIP: spoil(whole)} if spoil else {}
    assert complete(say=said.append) == {"split lists": [UCF_LISTS], "videos": [UCF_RAR]}
    assert any(f"/{UCF_ZIP}: " in text and "trying another archive" in text for text in said)
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")
    assert not (folder / UCF_ZIP).exists()


def test_an_error_names_every_archive_that_was_tried_and_files_unpacked_by_hand_are_found_then(
    ucf, server, synthetic_data
):
    complete, folder = ucf
    del server.files[UCF_ZIP]
    server.files[UCF_RAR] = server.files[UCF_RAR][:-300]
    with pytest.raises((DownloadError, ArchiveError)) as error:
        complete()
    assert f"{server.url(f'/{UCF_ZIP}')}: HTTP 404" in str(error.value)
    assert f"{folder / UCF_RAR}: " in str(error.value)
    assert not list(folder.rglob("*.avi"))
    shutil.copytree(synthetic_data / "ucf101" / "UCF-101", folder / "UCF-101")
    assert complete()["videos"] == "found"


@pytest.mark.parametrize(("dropped", "taken"), [(UCF_RAR, UCF_ZIP), (UCF_ZIP, UCF_RAR)])
def test_a_dropped_archive_that_is_damaged_gives_way_to_a_download(dropped, taken, ucf, server, synthetic_data):
    complete, folder = ucf
    folder.mkdir()
    (folder / dropped).write_bytes(server.files[dropped][:-300])
    assert complete()["videos"] == [taken]
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_two_fetches_at_once_download_once(ucf, server, synthetic_data):
    (complete, folder), said = ucf, queue.Queue()
    server.open.clear()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(complete, say=said.put) for _ in "ab"]
        while "waiting for another process" not in said.get(timeout=20):  # both have begun, neither has been answered
            pass
        server.open.set()
        assert [future.result(60) for future in running] == [ARCHIVES["ucf101"]] * 2
    assert sorted(server.names()) == sorted([UCF_LISTS, UCF_ZIP])
    assert_same_videos(folder, synthetic_data / "ucf101", "ucf101")


def test_the_command_writes_where_each_part_is_from(sources, tmp_path, capsys):
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
