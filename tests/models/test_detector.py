"""The person detector: what it makes of torchvision's answers, and what it says when its weights can't be had.

Where torchvision's compiled operators don't load, a plain non-maximum suppression stands in for theirs.
"""

import sys
from contextlib import contextmanager
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from mac.models import detector
from mac.models.detector import NoDetectorError, PersonDetector

CPU = torch.device("cpu")
PERSON, DOG = 1, 18  # of COCO's categories


def suppress(boxes, scores, threshold):
    """Keep boxes from the best score down, each unless it overlaps a kept one by more than a threshold."""
    low, high = torch.maximum(boxes[:, None, :2], boxes[:, :2]), torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    both, area = (high - low).clamp(min=0).prod(-1), (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    much = both / (area[:, None] + area - both) > threshold
    kept = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if not much[i, kept].any():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


@contextmanager
def operators():
    """Let torchvision detect: with its own operators, else with the one above and its roi_align in plain PyTorch."""
    extension = sys.modules["torchvision.extension"]
    if extension._has_ops():
        yield
        return
    library, has = torch.library.Library("torchvision", "IMPL"), extension._has_ops
    if not torch._C._dispatch_has_kernel_for_dispatch_key("torchvision::nms", "CPU"):
        library.impl("nms", suppress, "CPU")
    extension._has_ops = lambda: True
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        extension._has_ops = has
        library._destroy()


class Scripted(nn.Module):
    """A network that gives the same answers to the frames it is asked for, one after another."""

    def __init__(self, answers=()):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.answers, self.asked = list(answers), []

    def forward(self, images):
        self.asked += images
        return [self.answers.pop(0) for _ in images]


def answer(*found):
    """One frame's answer from rows of (x0, y0, x1, y1, label, score)."""
    table = torch.tensor(found, dtype=torch.float32).reshape(-1, 6)
    return {"boxes": table[:, :4], "labels": table[:, 4].long(), "scores": table[:, 5]}


@pytest.fixture
def scripted(monkeypatch, tmp_path):
    """A function that puts a scripted network in place of torchvision's and opens the detector on it."""

    def open_detector(*answers):
        network = Scripted(answers)
        monkeypatch.setattr(detector.detection, "maskrcnn_resnet50_fpn", lambda **_: network)
        torch.save(network.state_dict(), tmp_path / "weights.pth")
        return PersonDetector("maskrcnn_resnet50_fpn", tmp_path / "weights.pth", CPU), network

    return open_detector


def frames_of(*shapes):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for shape in shapes]


def test_the_stand_in_agrees_with_a_worked_example():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 9], [20, 20, 30, 30], [1, 0, 11, 10.0]])
    scores = torch.tensor([0.6, 0.9, 0.5, 0.3, 0.8])
    # The best, 1, covers half of 0: as much as allowed. 4 overlaps 1 by 45 / 105 and 0 by 90 / 110: 0 goes. 2 overlaps
    # 1 by 50 / 90, more than half: it goes. 3 stands alone.
    assert suppress(boxes, scores, 0.5).tolist() == [1, 4, 3]
    assert suppress(boxes, scores, 0.4).tolist() == [1, 3]
    assert suppress(boxes, scores, 0.99).tolist() == [1, 4, 0, 2, 3]


def test_persons_come_out_as_fractions_in_the_order_of_frames(scripted):
    found, network = scripted(
        answer((50, 10, 100, 80, PERSON, 0.7), (0, 0, 20, 20, DOG, 0.99), (20, 20, 40, 60, PERSON, 0.95)),
        answer(),
        answer((0, 0, 20, 20, DOG, 0.99), (0, 0, 40, 50, PERSON, 0.49), (10, 5, 20, 50, PERSON, 0.5)),
    )
    frames = frames_of((100, 200), (30, 40), (50, 40))
    boxes = found.detect(frames, min_score=0.5)
    wanted = [
        [[0.25, 0.1, 0.5, 0.8, 0.7], [0.1, 0.2, 0.2, 0.6, 0.95]],
        np.empty((0, 5)),
        [[0.25, 0.1, 0.5, 1.0, 0.5]],
    ]
    for one, other in zip(boxes, wanted, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert one.shape == np.shape(other)
    for frame, image in zip(frames, network.asked, strict=True):  # as torchvision wants them: (3, H, W) in [0, 1]
        np.testing.assert_allclose(image.permute(1, 2, 0).numpy() * 255, frame, atol=1e-4)
    assert not network.training


def test_boxes_end_at_the_frame(scripted):
    found, _ = scripted(answer((-3, -1, 44, 31, PERSON, 1.0)))
    np.testing.assert_array_equal(found.detect(frames_of((30, 40)), 0.0), [[[0, 0, 1, 1, 1]]])


def test_an_unknown_detector_is_refused(tmp_path):
    with pytest.raises(NoDetectorError, match=r"detector 'yolo': allowed are maskrcnn_resnet50_fpn_v2, maskrcnn_resn"):
        PersonDetector("yolo", tmp_path / "weights.pth", CPU)


@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"])
def test_without_a_network_three_ways_out_are_named(name, monkeypatch):
    def refuse(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr(type(detector._WEIGHTS[name]), "get_state_dict", refuse)
    with pytest.raises(NoDetectorError) as error:
        PersonDetector(name, None, CPU)
    told = str(error.value)
    assert "Name or service not known" in told
    assert told.count(f"https://download.pytorch.org/models/{name}_coco-") == 2  # what failed, and what to fetch
    assert ".pth" in told
    for way in ("`detector_weights` in config/config.yaml", "`person_boxes.detector: published`", "`T3: null`"):
        assert way in told


OTHERS = "not the weights of maskrcnn_resnet50_fpn: "


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r".*No such file.*fetch https://download\.pytorch\.org"),
        ({"fc.weight": torch.ones(2)}, OTHERS),
        ({"scale": torch.ones(4)}, OTHERS),
        ({}, OTHERS),
        ([torch.ones(3)], ""),
        (b"<!doctype html><title>Sign in</title>", ""),
        (b"", ""),
        ("cut", ""),
    ],
)
def test_a_missing_file_or_one_without_this_networks_weights_is_named(content, message, scripted, tmp_path):
    scripted()
    path = tmp_path / "other.pth"
    if content is not None and not isinstance(content, bytes):
        torch.save(Scripted().state_dict() if content == "cut" else content, path)
    if isinstance(content, bytes) or content == "cut":
        path.write_bytes(path.read_bytes()[:-100] if content == "cut" else content)
    with pytest.raises(NoDetectorError, match=rf"/other\.pth: {message}") as error:
        PersonDetector("maskrcnn_resnet50_fpn", path, CPU)
    assert not message or "\n" not in str(error.value)


def test_torchvisions_network_detects_what_its_weights_say(tmp_path):
    torch.manual_seed(3)
    state = detector.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    state["roi_heads.box_predictor.cls_score.bias"].zero_()[PERSON] = 10.0
    torch.save(state, tmp_path / "weights.pth")
    found = PersonDetector("maskrcnn_resnet50_fpn", tmp_path / "weights.pth", CPU)
    found.network.transform.min_size, found.network.transform.max_size = (64,), 96
    found.network.rpn._pre_nms_top_n["testing"] = found.network.roi_heads.detections_per_img = 20
    frames, seen, bias = frames_of((24, 36), (40, 20)), {}, found.network.roi_heads.box_predictor.cls_score.bias
    with operators(), torch.no_grad():
        for label in (PERSON, DOG):
            bias.copy_(bias.roll(label - PERSON))
            seen[label] = found.detect(frames, 0.5)
    assert [boxes.shape for boxes in seen[DOG]] == [(0, 5), (0, 5)]
    for boxes in seen[PERSON]:
        assert 0 < len(boxes) <= 20
        assert boxes.min() >= 0
        assert boxes.max() <= 1
        assert (boxes[:, :2] < boxes[:, 2:4]).all()
        assert (boxes[:, 4] > 0.5).all()
