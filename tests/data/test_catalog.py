"""The catalog of data sets: what config/catalog.yaml says, and what is said of a malformed one."""

import csv
from collections import Counter

import pytest
import yaml

from mac.data import catalog
from mac.validation import ConfigError

DIGEST = "0" * 64


@pytest.fixture(scope="module")
def real(root):
    return catalog.load(root / "config" / "catalog.yaml")


@pytest.fixture
def problems_of(tmp_path):
    """A function that loads a catalog of the given entries and returns what it is refused for."""

    def load(entries):
        path = tmp_path / "catalog.yaml"
        path.write_text(yaml.safe_dump(entries))
        with pytest.raises(ConfigError) as error:
            catalog.load(path)
        assert all(problem.startswith(f"{path}: ") for problem in error.value.problems)
        return [problem.removeprefix(f"{path}: ") for problem in error.value.problems]

    return load


def archive(**changes):
    return {"file": "x.zip", "urls": ["https://example.org/x.zip"]} | changes


def entry(*parts, **changes):
    return {
        "about": "whose",
        "videos": 3,
        "parts": [{"name": "videos", "into": "."} | part for part in parts],
    } | changes


def test_the_catalog_holds_the_data_sets_of_the_experiments(real, root):
    defaults = yaml.safe_load((root / "config" / "default.yaml").read_text())
    assert set(real) == set(defaults["datasets"])
    for source in real.values():
        assert source.choice is None or source.choice.of in real


def test_the_catalog_knows_how_many_videos_the_official_lists_name(real):
    assert (real["ucf101"].videos, real["hmdb51"].videos) == (13320, 6766)  # as their authors publish them
    drawn = real["minikinetics100"]
    assert (drawn.choice.classes, drawn.choice.train, drawn.choice.val) == (100, 13000, 1700)
    assert drawn.videos == drawn.choice.train + drawn.choice.val


def test_every_archive_is_a_file_of_its_own_and_whoever_pins_a_checksum_says_the_size(real):
    for name, source in real.items():
        archives = [archive for part in source.parts for archive in [*part.any_of, *part.all_of]]
        pinned = [archive for archive in archives if archive.sha256]
        assert pinned or not name.startswith(("ucf101", "hmdb51")), name
        assert all(archive.size for archive in pinned), name
        for names in ([archive.file for archive in archives], [part.name for part in source.parts]):
            assert len(names) == len(set(names)), name


def test_an_entry_at_its_shortest_is_accepted(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump({"mine": entry({"any_of": [archive()]})}))
    (found,) = catalog.load(path)["mine"].parts[0].any_of
    assert (found.size, found.sha256, found.unpack, found.nested, found.strip, found.discard) == (
        None, None, True, False, 0, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"striip": 1}, "striip: unknown key — did you mean 'strip'? Allowed: file,"),
        ({"sha256": DIGEST[1:]}, "sha256: found '000"),
        ({"sha256": DIGEST[1:] + "A"}, "sha256: found '000"),
        ({"urls": []}, "urls: found [] — list should have at least 1 item"),
        ({"urls": ["ftp://example.org/x"]}, "urls.0: found 'ftp://example.org/x' — "),
        ({"file": "../x.zip"}, "file: found '../x.zip' — "),
        ({"file": "d\\x.zip"}, "file: found 'd"),
        ({"size": 0}, "size: found 0 — "),
        ({"strip": -1}, "strip: found -1 — "),
        ({"unpack": "no"}, "unpack: found 'no' — "),
    ],
)
def test_a_malformed_archive_is_named_with_its_place_and_what_is_allowed(changes, problem, problems_of):
    for kind in ("any_of", "all_of"):
        (found,) = problems_of({"mine": entry({kind: [archive(**changes)]})})
        assert found.startswith(f"mine: parts.0.{kind}.0.{problem}")


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"any_of": [archive()], "presnt": []}, ".presnt: unknown key — did you mean 'present'? Allowed: name,"),
        ({"all_of": [{"file": "x.zip"}]}, ".all_of.0.urls: missing"),
        ({}, ": a part has either `any_of`, or `all_of` and `lists`"),
        ({"any_of": [archive()], "all_of": [archive()]}, ": a part has either `any_of`, or `all_of`"),
        ({"lists": [{"urls": ["https://example.org/x"]}]}, ".lists.0.into: missing"),
    ],
)
def test_a_malformed_part_is_named_with_its_place_and_what_is_allowed(part, problem, problems_of):
    (found,) = problems_of({"mine": entry(part)})
    assert found.startswith(f"mine: parts.0{problem}")


def test_a_choice_is_checked_too(problems_of):
    choice = {"of": "larger", "classes": 0, "train": 1, "vall": 1, "seed": 1}
    found = problems_of({"mine": entry({"any_of": [archive()]}, choice=choice)})
    assert {problem.split(" ")[1] for problem in found} == {"choice.classes:", "choice.val:", "choice.vall:"}


def test_all_problems_of_all_entries_are_told_at_once(problems_of):
    entries = {
        "good": entry({"any_of": [archive()]}),
        "one": entry({"any_of": [archive(sha256="0", urls=[])]}, {}),
        "two": entry({"any_of": [archive()]}, terms="free"),
        "three": None,
    }
    assert Counter(problem.split(":")[0] for problem in problems_of(entries)) == {"one": 3, "two": 1, "three": 1}


def test_a_missing_catalog_and_an_unknown_name_are_named(real, tmp_path):
    with pytest.raises(ConfigError, match=r"catalog\.yaml: no such file"):
        catalog.load(tmp_path / "catalog.yaml")
    with pytest.raises(ConfigError, match=r"c\.yaml: no data set 'ufc101' — did you mean 'ucf101'\? Allowed: ucf101, "):
        catalog.find(real, "ufc101", tmp_path / "c.yaml")
    assert catalog.find(real, "hmdb51", tmp_path / "c.yaml") is real["hmdb51"]


def test_videos_are_counted_by_the_catalog_or_by_a_subsets_manifest(root, real):
    for name, source in real.items():
        assert catalog.count_videos(name, None, root / "config") == source.videos
    manifests = sorted((root / "config" / "subsets").glob("*.csv"))
    assert manifests
    for manifest in manifests:
        with manifest.open(newline="") as file:
            paths = [row["path"] for row in csv.DictReader(file)]
        assert catalog.count_videos("ucf101", manifest.stem, root / "config") == len(paths) == len(set(paths))
    assert catalog.count_videos("a set of my own", None, root / "config") == 1
