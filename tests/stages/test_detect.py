"""The stage that finds persons: a scripted network sees white squares as persons and green ones as something else."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mac.config import BoxesConfig, DatasetConfig
from mac.data import boxes, index, synthetic, video
from mac.models import detector
from mac.stages import detect

WIDTH, HEIGHT = 96, 64
CPU = torch.device("cpu")


class Eyes(nn.Module):
    """Boxes the white pixels (label 1) and the green ones (label 18) of each image, score 0.8."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.batches = []

    def forward(self, images):
        self.batches.append(len(images))
        return [self.look(image) for image in images]

    def look(self, image):
        red, green, _ = image
        found = []
        for label, marked in ((1, (red > 0.5) & (green > 0.5)), (18, (red < 0.5) & (green > 0.5))):
            if marked.any():
                y, x = torch.nonzero(marked, as_tuple=True)
                found.append([x.min(), y.min(), x.max() + 1, y.max() + 1, label])
        table = torch.tensor(found, dtype=torch.float32).reshape(-1, 5)
        return {"boxes": table[:, :4], "labels": table[:, 4].long(), "scores": torch.full((len(table),), 0.8)}


@pytest.fixture
def eyes(monkeypatch, tmp_path):
    network = Eyes()
    monkeypatch.setattr(detector.detection, "maskrcnn_resnet50_fpn", lambda **_: network)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    return network


def square(t):
    """Where the person of frame t is: left, top, right, bottom in pixels."""
    return 16 + 2 * t, 32 - t, 48 + 2 * t, 56 - t


def films(folder):
    """Three films of 19, 1 and 5 frames: a person that moves, the same for one frame, and none but a green thing."""
    rows = []
    for name, length, person in (("walk", 19, True), ("blink", 1, True), ("bush", 5, False)):
        frames = np.zeros((length, HEIGHT, WIDTH, 3), np.uint8)
        for t in range(length):
            frames[t, 0:16, 0:16, 1] = 255
            if person:
                left, top, right, bottom = square(t)
                frames[t, top:bottom, left:right] = 255
        video.write(folder / f"{name}.mp4", frames, 25, "libx264")
        rows.append((f"UCF-101/A/{name}.avi", f"{name}.mp4", WIDTH, HEIGHT, length))
    return pd.DataFrame(rows, columns=["path", "file", "width", "height", "num_frames"])


def config(name="maskrcnn_resnet50_fpn", every=1, min_score=0.5):
    dataset = DatasetConfig(name="films", layout="ucf101", subset=None, synthetic=None)
    return BoxesConfig(detector=name, min_score=min_score, every=every, dataset=dataset)


@pytest.mark.parametrize("every", [1, 2, 5])
def test_every_frame_of_a_person_has_its_box(every, eyes, tmp_path):
    videos = films(tmp_path)
    table = detect.run(config(every=every), tmp_path, videos, tmp_path / "weights.pth", CPU)
    assert list(table.columns) == boxes.COLUMNS
    for row in videos.itertuples():
        own = table[table["path"] == row.path]
        if row.file == "bush.mp4":
            assert own.empty
            continue
        assert own["frame"].tolist() == list(range(row.num_frames))
        wanted = np.array([square(t // every * every) for t in range(row.num_frames)]) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
        assert np.abs(own[boxes.CORNERS] - wanted).max(axis=None) < 1.5 / HEIGHT  # a pixel's blur of the codec
        assert own["score"].tolist() == pytest.approx([0.8] * row.num_frames)
    assert sum(eyes.batches) == sum(-(-n // every) for n in videos["num_frames"])  # no frame is looked at for nothing
    assert max(eyes.batches) <= detect.BATCH


def test_weak_detections_are_dropped(eyes, tmp_path):
    assert detect.run(config(min_score=0.9), tmp_path, films(tmp_path), tmp_path / "weights.pth", CPU).empty


@pytest.mark.parametrize("every", [1, 3])
def test_videos_without_persons_leave_an_empty_table_that_joins_others(every, eyes, tmp_path):
    videos = films(tmp_path)
    none = detect.run(config(every=every), tmp_path, videos[2:], tmp_path / "weights.pth", CPU)
    assert list(none.columns) == boxes.COLUMNS
    assert len(none) == 0
    some = detect.run(config(every=every), tmp_path, videos[:1], tmp_path / "weights.pth", CPU)
    for number, part in enumerate((none, some)):
        part.to_parquet(tmp_path / f"{number}.parquet")
    joined = pd.concat([pd.read_parquet(tmp_path / f"{number}.parquet") for number in (0, 1)], ignore_index=True)
    joined.to_parquet(tmp_path / "joined.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "joined.parquet"), some)


def test_published_boxes_are_read_without_a_network(synthetic_data, monkeypatch):
    monkeypatch.setattr(detect, "PersonDetector", None)
    folder = synthetic_data / "ucf101"
    videos = index.usable(index.build(folder, "ucf101", max_unusable=0.0))[:4]
    table = detect.run(config("published"), folder, videos, None, CPU)
    truth = pd.read_parquet(folder / synthetic.BOX_FILE)
    truth = truth[truth["path"].isin(videos["path"])].sort_values(["path", "frame"], ignore_index=True)
    assert len(table) == videos["num_frames"].sum()
    pd.testing.assert_frame_equal(table[["path", "frame"]], truth[["path", "frame"]])
    np.testing.assert_allclose(table[boxes.CORNERS], truth[boxes.CORNERS].clip(0, 1))


def test_published_boxes_that_are_missing_are_an_error(tmp_path):
    with pytest.raises(boxes.BoxesError, match="no published person boxes"):
        detect.run(config("published"), tmp_path, films(tmp_path), None, CPU)
