"""The class of a synthetic video is its motion: single frames must tell much less than clips."""

import numpy as np
import pytest
from kinds import CPU, experiment

from mac.data import index, store, synthetic
from mac.stages import finetune
from mac.training.run_folder import RunFolder

FRAMES = 8


class StillFrames(store.FrameStore):
    """A store whose every clip is its middle frame, eight times: all appearance, no motion."""

    def clips(self, videos, frames):
        middle = frames.reshape(len(videos), -1, FRAMES)[:, :, FRAMES // 2, None]
        return super().clips(videos, np.broadcast_to(middle, (*middle.shape[:2], FRAMES)).reshape(frames.shape))


@pytest.mark.full
def test_a_single_frame_gives_less_than_half(tmp_path, capsys):
    everything = {"finetune.videos_per_class": None, "finetune.optimiser.epochs": 40}
    config = experiment("demo", **everything).finetuning(1, 1, "random")
    drawn = config.store.dataset.synthetic
    folders = [tmp_path / "data", tmp_path / "store"]
    for folder in folders:
        folder.mkdir()
    size = drawn.classes, drawn.videos_per_class, drawn.num_frames, drawn.seed
    synthetic.generate(folders[0], "ucf101", *size, workers=2)
    store.extract(folders[0], index.build(folders[0], "ucf101", 0.0, 2), folders[1], 64, 48, 2)

    def accuracy(kind):
        frames, folder = kind(folders[1]), RunFolder(tmp_path / kind.__name__, config.identify())
        found = finetune.predict(config, frames, finetune.run(config, frames, None, folder, CPU), CPU)
        return 100 * (found["label"] == found["predicted"]).mean(), len(found)

    (clip, videos), (frame, _) = accuracy(store.FrameStore), accuracy(StillFrames)
    with capsys.disabled():
        print(f"\nclips {clip:.1f} %, single frames {frame:.1f} % of {videos} test videos (chance 10 %)")
    assert clip > 40
    assert frame <= clip / 2
