import numpy as np
import pytest
import torch
from kinds import CPU, experiment, start_readers_by_fork

from mac.augment.colour import normalise
from mac.augment.spatial import centre_crops, crop
from mac.models.backbones import build
from mac.stages import finetune
from mac.training import checkpoint
from mac.training.distributed import World
from mac.training.run_folder import RunFolder


def configure(initial="random", **overrides):
    start = ("a" * 10, 2) if initial == "pretrained" else (None, None)
    return experiment(**overrides).finetuning(1, 1, initial, *start)


def run(config, store, folder, backbone=None, workers=0):
    model = finetune.run(config, store, backbone, RunFolder(folder / "running", config.identify()), CPU, workers)
    return model, finetune.predict(config, store, model, CPU, workers)


@pytest.fixture(scope="module")
def predictions(frame_store, tmp_path_factory):
    """Of the default finetuning from scratch."""
    return run(configure(), frame_store, tmp_path_factory.mktemp("finetuning"))[1]


def test_it_is_reproducible_whatever_the_reading_processes(frame_store, tmp_path, predictions, monkeypatch):
    start_readers_by_fork(monkeypatch)
    _, second = run(configure(), frame_store, tmp_path, workers=2)
    np.testing.assert_array_equal(np.stack(predictions["logits"]), np.stack(second["logits"]))


def test_it_starts_from_the_checkpoint(frame_store, tmp_path):
    config = configure("pretrained", **{"finetune.optimiser.lr": 1.0e-9, "model.width": 4})
    backbone = build("r2plus1d_10", 4)
    checkpoint.save_weights(tmp_path / "b.safetensors", backbone, {})
    model, _ = run(config, frame_store, tmp_path, tmp_path / "b.safetensors")
    torch.testing.assert_close(model.backbone.stem[0].weight, backbone.stem[0].weight, atol=1e-6, rtol=0)


def test_a_named_but_missing_starting_point_is_refused(frame_store, tmp_path):
    with pytest.raises(ValueError, match="from 'pretrained' weights, but the backbone given is None"):
        run(configure("pretrained"), frame_store, tmp_path)
    with pytest.raises(ValueError, match="from 'random' weights"):
        run(configure(), frame_store, tmp_path, tmp_path / "b.safetensors")


def test_predictions_cover_the_test_side_once(frame_store, predictions):
    rows = frame_store.videos.iloc[frame_store.select(1, "test")]
    assert predictions["path"].tolist() == rows["path"].tolist()
    assert predictions["label"].tolist() == rows["label_index"].tolist()
    logits = np.stack(predictions["logits"])
    assert logits.shape == (len(rows), 3)
    assert (predictions["predicted"] == logits.argmax(1)).all()


class Brightness(torch.nn.Module):
    """Names a clip's mean colour."""

    def forward(self, clip):
        return clip.mean((2, 3, 4))


def test_logits_are_the_mean_over_clips(frame_store):
    config = configure(**{"finetune.evaluate.num_clips": 3, "finetune.evaluate.stride": 1})
    seen = []

    class Counted(Brightness):
        def forward(self, clip):
            seen.append(len(clip))
            return super().forward(clip)

    together = finetune.predict(config, frame_store, Counted(), CPU)
    assert sum(seen) == 3 * len(together)
    single = configure(**{"finetune.evaluate.num_clips": 1, "finetune.evaluate.stride": 1})
    alone = finetune.predict(single, frame_store, Brightness(), CPU)
    assert not np.allclose(np.stack(together["logits"]), np.stack(alone["logits"]))
    np.testing.assert_allclose(np.stack(together["logits"]), np.stack(alone["logits"]), atol=0.2)


@pytest.mark.parametrize(("positions", "starts"), [("ends", (0, 6)), ("centres", (1, 5))])
def test_clips_of_8_frames_lie_in_a_video_of_14_where_the_configuration_says(frame_store, positions, starts):
    config = configure(**{"finetune.evaluate.positions": positions})
    found = np.stack(finetune.predict(config, frame_store, Brightness(), CPU)["logits"])
    videos = frame_store.select(1, "test")
    frames = np.concatenate([np.arange(start, start + 8) for start in starts])
    clips = torch.from_numpy(frame_store.clips(videos, np.tile(frames, (len(videos), 1))))
    views = normalise(crop(clips, centre_crops(len(clips), [25, 19], 16), 16))
    np.testing.assert_allclose(found, views.mean((2, 3, 4)), atol=1e-5)


def test_few_labels_are_drawn_per_class_by_the_seed(frame_store):
    config = configure(**{"finetune.videos_per_class": 2})
    chosen = finetune.labelled(config, frame_store)
    label = frame_store.videos["label_index"].to_numpy()[chosen]
    assert np.bincount(label).tolist() == [2, 2, 2]
    assert set(chosen) <= set(frame_store.select(1, "train"))
    other = finetune.labelled(config.model_copy(update={"seed": 2}), frame_store)
    assert not np.array_equal(chosen, other)
    everything = finetune.labelled(configure(), frame_store)
    assert np.array_equal(everything, frame_store.select(1, "train"))


def test_a_draw_of_labels_is_the_same_for_all_seeds(frame_store):
    config = configure(**{"finetune.videos_per_class": 2})
    draws = [
        [
            finetune.labelled(config.model_copy(update={"seed": seed, "label_draw": draw}), frame_store).tolist()
            for seed in (1, 2)
        ]
        for draw in (1, 2)
    ]
    assert all(first == second for first, second in draws)
    assert draws[0] != draws[1]
    label = frame_store.videos["label_index"].to_numpy()[draws[0][0]]
    assert np.bincount(label).tolist() == [2, 2, 2]


def test_a_process_without_test_videos_takes_part(frame_store):
    class Last(World):
        """One of more processes than there are videos."""

        def share(self, items):
            return items[:0]

        def collect(self, part):
            return [torch.ones(len(frame_store.select(1, "test")), 3), part]

    found = finetune.predict(configure(), frame_store, torch.nn.Identity(), CPU, world=Last(1, 2))
    assert len(found) == len(frame_store.select(1, "test"))
