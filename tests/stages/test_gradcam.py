"""Figures 2–4: who is chosen, what is shown, and that maps of a trained network lie where things move."""

import json
import shutil
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from kinds import CPU, experiment, start_readers_by_fork

from mac.augment.colour import normalise
from mac.augment.spatial import centre_crops, crop
from mac.cli import main
from mac.config import write_config
from mac.data import clips, index, synthetic
from mac.data.store import FrameStore, extract
from mac.masks.frame_difference import foreground_masks
from mac.masks.overlap import compare
from mac.masks.person_boxes import box_masks
from mac.models.backbones import build
from mac.models.cam import class_activation_maps
from mac.models.cam_figure import Row, choose_rows, draw, group
from mac.models.heads import ActionClassifier
from mac.stages import finetune, gradcam
from mac.training import checkpoint
from mac.training.processor import seeded
from mac.training.run_folder import RunFolder

KERNEL = np.array([[0, 1], [1, 1]], np.uint8)


def predictions_of(store, right):
    """What an evaluation would have written: ``right`` says of each test video whether its class is predicted."""
    rows = store.videos.iloc[store.select(1, "test")]
    label = rows["label_index"].to_numpy()
    return pd.DataFrame(
        {
            "path": rows["path"].to_numpy(),
            "group": rows["group"].to_numpy(),
            "label": label,
            "predicted": np.where(right, label, (label + 1) % len(store.labels)),
        }
    )


def leave(folder, config, store, right, facts=None):
    """Leave a finetuning's files behind in a folder of its own; its network is random, but has seen some data."""
    own = folder / config.identify()
    own.mkdir(parents=True)
    write_config(own / "config.yaml", config)
    with seeded((config.seed, config.initial)):
        network = ActionClassifier(build(*config.model.network), len(store.labels))
        network(torch.randn(4, 3, 8, 16, 16))
        torch.nn.init.normal_(network.head.weight)
    known = {"finetune_id": config.identify(), "classes": store.labels, "index_digest": store.digest}
    checkpoint.save_weights(own / "classifier.safetensors", network, known | (facts or {}))
    predictions_of(store, right).to_parquet(own / "predictions.parquet", index=False)
    return own


def read(name, config, own):
    return gradcam.load(name, config, own / "classifier.safetensors", own / "predictions.parquet", CPU)


@pytest.fixture(scope="module")
def pair(frame_store, tmp_path_factory):
    """Configurations and folders of two finetunings; of four test videos one is right by both, by each, by none."""
    planned = experiment(**{"pretrain.mask.threshold": 12.0})
    pretraining = planned.pretraining(1, 1)
    configs = [planned.finetuning(1, 1, "pretrained", pretraining.identify(), 2), planned.finetuning(1, 1, "random")]
    kind = np.arange(len(frame_store.select(1, "test"))) % 4
    folders = [
        leave(tmp_path_factory.mktemp("pair"), config, frame_store, (kind == 0) | (kind == own + 1))
        for own, config in enumerate(configs)
    ]
    return pretraining, configs, folders


@pytest.fixture
def spoilt(pair, tmp_path):
    """The pair in folders that a test may change."""
    pretraining, configs, folders = pair
    return pretraining, configs, [shutil.copytree(own, tmp_path / own.name) for own in folders]


def run(pair, store, folder, **options):
    pretraining, configs, folders = pair
    models = tuple(read(name, config, own) for name, config, own in zip("AB", configs, folders, strict=True))
    folder.mkdir(exist_ok=True)
    paths = {figure: [folder / f"{figure}.png", folder / f"{figure}.svg"] for figure in gradcam.FIGURES}
    return gradcam.run(models, pretraining.mask, store, paths, CPU, **options)


@pytest.fixture(scope="module")
def drawn(pair, frame_store, tmp_path_factory):
    """The figures of the pair with all their rows: what is said of them, and their folder."""
    folder = tmp_path_factory.mktemp("drawn")
    return run(pair, frame_store, folder, rows=9), folder


def test_figures_show_videos_of_their_group(drawn):
    found, folder = drawn
    right = {"F2": (True, False), "F3": (False, True), "F4": (False, False)}
    both = 0
    assert "too small for the 9 rows" in " ".join(found["figures"]["F4"]["notes"])
    for figure, wanted in right.items():
        content = found["figures"][figure]
        assert len(content["rows"]) == content["size"] == 2
        for row in content["rows"]:
            assert tuple(name == row["class"] for name in row["predicted"]) == wanted
            assert row["class"] in row["video"]
        both += content["size"]
        for name in content["files"]:
            assert (folder / name).stat().st_size > 5000
    assert found["videos"] - both == sum(np.arange(found["videos"]) % 4 == 0)
    assert found["overlap"]["sample"] == found["videos"]
    assert len(found["overlap"]["each"]["path"]) == found["overlap"]["videos"]
    assert json.loads(json.dumps(found)) == found


def test_the_frame_shown_has_the_largest_foreground_of_the_middle_test_clip(pair, frame_store, drawn):
    found, (pretraining, (config, _), _) = drawn[0], pair
    mask, e = pretraining.mask, config.evaluate
    paths = frame_store.videos["path"].tolist()
    for row in [row for figure in found["figures"].values() for row in figure["rows"]]:
        video = np.array([paths.index(row["video"])])
        numbers = clips.test_frames(frame_store.lengths[video], config.clip.num_frames, e.stride, e.num_clips, "ends")
        (frames,) = frame_store.clips(video, numbers[:, e.num_clips // 2])
        left, top = (e.scale[0] - config.clip.size) // 2, (e.scale[1] - config.clip.size) // 2
        wide = [cv2.resize(frame.astype(np.float32), e.scale) for frame in frames]
        gray = np.stack(wide)[:, top : top + config.clip.size, left : left + config.clip.size] @ [0.299, 0.587, 0.114]
        background, shares = gray[0], []
        for image in gray[1:]:
            changed = (np.abs(image - background) > mask.threshold).astype(np.uint8)
            shares.append(cv2.dilate(changed, KERNEL, anchor=(1, 1)).mean())
            background = (1 - mask.momentum) * image + mask.momentum * background
        shares = [shares[0], *shares]
        assert shares[row["frame"]] == pytest.approx(max(shares), abs=2 / 256)  # a pixel at the threshold may differ


def test_the_same_files_give_the_same_bytes(pair, frame_store, drawn, tmp_path, monkeypatch):
    start_readers_by_fork(monkeypatch)
    assert run(pair, frame_store, tmp_path, rows=9, loader_workers=1) == drawn[0]
    for path in drawn[1].iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_the_numbers_of_single_videos_are_those_of_their_clips(pair, frame_store, drawn, tmp_path):
    found, (pretraining, configs, folders) = drawn[0]["overlap"], pair
    each, e, clip = found["each"], configs[0].evaluate, configs[0].clip
    videos = np.array([frame_store.videos["path"].tolist().index(path) for path in each["path"]])
    numbers = clips.test_frames(frame_store.lengths[videos], clip.num_frames, e.stride, e.num_clips, "ends")[
        :, e.num_clips // 2
    ]
    plain = crop(
        torch.from_numpy(frame_store.clips(videos, numbers)), centre_crops(len(videos), e.scale, clip.size), clip.size
    )
    mask = pretraining.mask
    masks = foreground_masks(plain, mask.momentum, mask.threshold, mask.preset)[:, 0].numpy()
    np.testing.assert_allclose(each["mask_area"], masks.mean((1, 2, 3)), atol=1e-6)
    for own, config, folder in zip(each["share_inside"], configs, folders, strict=True):
        model = read("A", config, folder)
        predicted = model.predictions.set_index("path")["predicted"].loc[each["path"]]
        maps = class_activation_maps(model.network, normalise(plain), torch.tensor(predicted.to_numpy())).numpy()
        shares = (maps * masks).sum((1, 2, 3)) / maps.sum((1, 2, 3))
        np.testing.assert_allclose(own, shares, atol=1e-5)
    part = run(pair, frame_store, tmp_path, sample=4)["overlap"]
    assert part["sample"] == 4 > part["videos"] - 1
    assert set(part["each"]["path"]) <= set(each["path"])


def test_an_empty_group_is_said_and_drawn(spoilt, frame_store, tmp_path):
    for own in spoilt[2]:
        right = np.arange(len(frame_store.select(1, "test"))) < 3
        predictions_of(frame_store, right).to_parquet(own / "predictions.parquet")
    found = run(spoilt, frame_store, tmp_path / "out", rows=4)
    assert (found["figures"]["F4"]["size"], len(found["figures"]["F4"]["rows"])) == (6, 4)
    for figure in ("F2", "F3"):
        assert found["figures"][figure]["size"] == 0
        assert "It is empty: no row to show." in found["figures"][figure]["notes"]
        assert (tmp_path / "out" / f"{figure}.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("settings", "facts", "message"),
    [
        ({"finetune.evaluate.num_clips": 5}, {}, r"differ in test clips: .*'num_clips': 2.*'num_clips': 5"),
        ({"finetune.clip.num_frames": 6}, {}, "differ in frames in a clip: 8 and 6"),
        ({"finetune.clip.size": 12}, {}, "differ in clip size: 16 and 12"),
        ({}, {"classes": ["Bounce", "Clap", "Kick"]}, "classes: 3: Bounce, Clap, Drum and 3: Bounce, Clap, Kick"),
        ({}, {"index_digest": "ffffffffff"}, r"differ in data \(index digest\): \w+ and ffffffffff"),
    ],
)
def test_models_of_other_tests_classes_or_data_are_refused(settings, facts, message, pair, frame_store, tmp_path):
    pretraining, (first, _), (folder, _) = pair
    other = experiment(**settings).finetuning(1, 1, "random")
    own = leave(tmp_path / "other", other, frame_store, True, facts)
    with pytest.raises(gradcam.ComparisonError, match=message):
        run((pretraining, [first, other], [folder, own]), frame_store, tmp_path / "out")


def test_other_test_videos_and_mixed_up_files_are_refused(spoilt, frame_store, tmp_path):
    _, configs, folders = spoilt
    with pytest.raises(checkpoint.CheckpointError, match=f"written for finetune_id {configs[0].identify()}"):
        read("B", configs[1], folders[0])
    predictions_of(frame_store, True)[1:].to_parquet(folders[1] / "predictions.parquet")
    with pytest.raises(gradcam.ComparisonError, match=r"differ in test videos: 9: UCF-101.* and 8: UCF-101"):
        run(spoilt, frame_store, tmp_path / "out")
    predictions_of(frame_store, True)[1:].to_parquet(folders[0] / "predictions.parquet")
    with pytest.raises(gradcam.ComparisonError, match="and the frame store differ in test videos"):
        run(spoilt, frame_store, tmp_path / "out")


def test_groups_part_the_videos():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 50)) < 0.5
    parts = list(group(("A", "B"), [a, b]).values())
    assert sorted(np.concatenate([*parts, np.flatnonzero(a & b)])) == list(range(50))
    assert a[parts[0]].all()
    assert b[parts[1]].all()
    assert not (a | b)[parts[2]].any()


@pytest.mark.parametrize("rows", [1, 4, 7, 30, 100])
def test_rows_are_spread_over_classes(rows):
    rng = np.random.default_rng(rows)
    labels = rng.choice(5, 60, p=[0.5, 0.3, 0.1, 0.05, 0.05])
    members = np.flatnonzero(rng.random(60) < 0.7)
    chosen = choose_rows(members, labels, rows, (1, "x"))
    assert len(set(chosen)) == len(chosen) == min(rows, len(members))
    assert set(chosen) <= set(members)
    shown, there = Counter(labels[chosen]), Counter(labels[members])
    highest = max(shown.values())
    assert all(shown[label] >= min(highest - 1, there[label]) for label in there)
    np.testing.assert_array_equal(chosen, choose_rows(members, labels, rows, (1, "x")))
    others = [tuple(choose_rows(members, labels, 4, (1, "x", seed))) for seed in range(10)]
    assert len(set(others)) > 5
    assert len({labels[first[0]] for first in others}) > 1  # nor does the same class always come first


def test_long_names_stay_in_their_places():
    rng = np.random.default_rng(1)
    frame, mask = (rng.random((16, 16, 3)) * 255).astype(np.uint8), rng.random((16, 16)) > 0.5
    label = "BaseballPitchWithHelmet"
    row = Row("v_BaseballPitch_g01_c01_" + "x" * 36, label, (label, label), frame, mask, (mask * 1.0, mask * 0.0))
    models = ("MAC-SC-2", "supervised pretraining (stand-in)")
    figure = draw([row, row], models, "Figure 2: " + "words " * 30, ["A note " * 40, "Another"])
    figure.canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    pictures = [axis.get_window_extent() for axis in figure.axes]
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
        assert not any(box.overlaps(picture) for picture in pictures), text.get_text()
    boxes = [text.get_window_extent() for text in figure.texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :]), figure.texts[i].get_text()
    heads = [axis.title.get_window_extent() for axis in figure.axes if axis.title.get_text()]
    for i, box in enumerate(heads):
        assert not any(box.overlaps(other) for other in [*heads[i + 1 :], *boxes])
        assert box.y1 <= height


def test_the_command_needs_files_alone(pair, frame_store, root, tmp_path):
    pretraining, _, folders = pair
    start = tmp_path / pretraining.identify() / "config.yaml"
    start.parent.mkdir()
    write_config(start, pretraining)

    def arguments(pretraining):
        words = ["gradcam", "--pretraining", pretraining, "--store", frame_store.folder / "store.json"]
        for option, name in {
            "configs": "config.yaml",
            "classifiers": "classifier.safetensors",
            "predictions": "predictions.parquet",
        }.items():
            words += [f"--{option}", *(own / name for own in folders)]
        words += ["--pictures", *(tmp_path / "out" / f"F{n}.{ending}" for n in (2, 3, 4) for ending in ("png", "svg"))]
        return [str(word) for word in [*words, "--out", tmp_path / "out" / "gradcam.json", "--device", "cpu"]]

    bare = "import sys; sys.modules |= {'mlflow': None, 'snakemake': None}; from mac.cli import main; main()"
    subprocess.run([sys.executable, "-c", bare, *arguments(start)], cwd=root, check=True)
    found = json.loads((tmp_path / "out" / "gradcam.json").read_text())
    assert [model["name"] for model in found["models"]] == ["MAC-SC-2", "random initialisation"]
    assert found["mask"] == {"momentum": 0.5, "threshold": 12.0, "preset": "paper"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "gradcam.json",
        *(name for figure in found["figures"].values() for name in figure["files"]),
    }
    with pytest.raises(SystemExit, match=r"F2\.png, F5\.png: wanted are F2, F3, F4"):
        main([*arguments(start), "--pictures", "F2.png", "F5.png"])
    other = experiment().pretraining(2, 1)
    elsewhere = tmp_path / other.identify() / "config.yaml"
    elsewhere.parent.mkdir()
    write_config(elsewhere, other)
    with pytest.raises(SystemExit, match=f"was finetuned from {pretraining.identify()}"):
        main(arguments(elsewhere))


@pytest.mark.full
def test_the_maps_of_a_trained_network_lie_on_the_figure_that_moves(tmp_path):
    """The truth is drawn: person boxes. Beyond chance, beyond shifted maps, and beyond where figures are in general."""
    size, frames = [128, 96], 8  # 6 × 6 cells: coarser maps can't tell the figure from its surroundings
    synthetic.generate(tmp_path / "data", "ucf101", classes=3, videos_per_class=36, num_frames=16, seed=7)
    table = index.build(tmp_path / "data", "ucf101", max_unusable=0.0)
    (tmp_path / "store").mkdir()
    extract(tmp_path / "data", table, tmp_path / "store", *size)
    store = FrameStore(tmp_path / "store", tmp_path / "data" / "person_boxes.parquet")
    optimiser = {"name": "adamw", "lr": 2.0e-3, "weight_decay": 0.05, "batch_size": 12, "epochs": 12}
    optimiser |= {"schedule": "cosine", "milestones": [], "warmup_epochs": 1}
    clip = {"num_frames": frames, "strides": [1], "size": 96, "scales": [size, [144, 108]]}
    values = {f"finetune.clip.{name}": value for name, value in clip.items()} | {"model.width": 8}
    values |= {"finetune.optimiser": optimiser, "finetune.evaluate": {"num_clips": 3, "stride": 1, "scale": size}}
    config = experiment(**values, **{"finetune.dropout": 0.0}).finetuning(1, 1, "random")
    network = finetune.run(config, store, None, RunFolder(tmp_path / "run", config.identify()), CPU)
    predicted = finetune.predict(config, store, network, CPU)
    assert (predicted["label"] == predicted["predicted"]).mean() > 0.6
    videos = store.select(1, "test")
    numbers = clips.test_frames(store.lengths[videos], frames, 1, 3, "ends")[:, 1]
    crops = centre_crops(len(videos), size, 96)
    view = normalise(crop(torch.from_numpy(store.clips(videos, numbers)), crops, 96))
    boxes = box_masks(torch.from_numpy(store.boxes(videos, numbers)), crops, 96)[:, 0]
    trained = class_activation_maps(network, view, torch.tensor(predicted["predicted"].to_numpy()))
    even = torch.ones_like(trained)
    found = compare((trained, even), boxes, predicted["group"].to_numpy(), ("test",))
    own, flat = found["models"]
    assert own["times_chance"]["low"] > max(1.05, own["times_chance_shifted"]["high"])
    assert own["times_chance"]["value"] > own["times_chance_other_mask"]["value"]
    assert flat["times_chance"]["value"] == pytest.approx(1, abs=1e-4)
    assert found["difference"]["low"] > 0.05
