"""Zero-training measures on a tiny store."""

import numpy as np
import pytest
import torch
from kinds import CPU, experiment, start_readers_by_fork

from mac.models.backbones import build
from mac.stages import finetune, probe
from mac.training import checkpoint


def configure(initial="random"):
    start = ("a" * 10, 2) if initial == "pretrained" else (None, None)
    finetuning = experiment().finetuning(1, 1, initial, *start)
    return experiment().probing(finetuning), finetuning


def test_every_test_video_is_measured_once_and_the_same_again(frame_store, monkeypatch):
    start_readers_by_fork(monkeypatch)
    config, _ = configure()
    final, table = probe.run(config, frame_store, None, CPU)
    again, other = probe.run(config, frame_store, None, CPU, loader_workers=1)
    rows = frame_store.videos.iloc[frame_store.select(1, "test")]
    assert table["path"].tolist() == rows["path"].tolist()
    assert table["label"].tolist() == rows["label_index"].tolist()
    assert final == again
    assert table.equals(other)
    assert final["top1"] == pytest.approx(100 * (table["label"] == table["predicted"]).mean())
    for k, value in final["recall"].items():
        assert value == pytest.approx(100 * (table["first_match"] <= int(k)).mean())
    assert list(final["recall"]) == ["1", "5", "10", "20", "50"]
    assert table["first_match"].between(1, len(frame_store.select(1, "train"))).all()


def test_a_feature_is_the_mean_over_clips_and_needs_no_neighbours(frame_store, monkeypatch):
    config, _ = configure()
    backbone = build(config.model.backbone, config.model.width).eval()
    videos = np.arange(5)
    together = probe.features(config, frame_store, backbone, videos, CPU)
    monkeypatch.setattr(probe, "CLIPS_AT_ONCE", 1)
    alone = probe.features(config, frame_store, backbone, videos, CPU)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert together.shape == (5, backbone.num_features)
    single = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"num_clips": 1})})
    assert not torch.allclose(together, probe.features(single, frame_store, backbone, videos, CPU), rtol=1e-3)


def test_random_weights_are_those_that_finetuning_starts_from(frame_store):
    config, finetuning = configure()
    expected = finetune.ActionLearner(finetuning, frame_store, CPU).classifier.backbone.state_dict()
    found = probe._backbone(config, len(frame_store.labels), None).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_the_named_weights_are_measured(frame_store, tmp_path):
    config, _ = configure("pretrained")
    backbone = build(config.model.backbone, config.model.width)
    checkpoint.save_weights(tmp_path / "b.safetensors", backbone, {})
    found = probe._backbone(config, len(frame_store.labels), tmp_path / "b.safetensors").state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in backbone.state_dict().items())
    with pytest.raises(ValueError, match="probing 'pretrained' weights, but the backbone given is None"):
        probe.run(config, frame_store, None, CPU)
    with pytest.raises(ValueError, match="probing 'random' weights"):
        probe.run(configure()[0], frame_store, tmp_path / "b.safetensors", CPU)
