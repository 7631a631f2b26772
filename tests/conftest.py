"""Shared fixtures: one small synthetic data set in each layout, indexed and stored once per session."""

import shutil
from pathlib import Path

import pytest
import torch

from mac.data import index, store, synthetic
from mac.data.layouts import LAYOUTS

torch.set_num_threads(1)  # tiny networks: threads cost more than they give
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def folder(root, tmp_path):
    """A copy of config/ that a test may spoil."""
    return shutil.copytree(root / "config", tmp_path / "config")


@pytest.fixture(scope="session")
def synthetic_data(tmp_path_factory):
    """Folders of three data sets, 3 classes × 10 videos × 14 frames each."""
    folder = tmp_path_factory.mktemp("synthetic")
    for layout in LAYOUTS:
        (folder / layout).mkdir()
        synthetic.generate(folder / layout, layout, classes=3, videos_per_class=10, num_frames=14, seed=5)
    return folder


@pytest.fixture(scope="session")
def frame_store(synthetic_data, tmp_path_factory):
    """The UCF101-like set's store, 32×24 pixels."""
    folder = tmp_path_factory.mktemp("store")
    table = index.build(synthetic_data / "ucf101", "ucf101", max_unusable=0.0)
    store.extract(synthetic_data / "ucf101", table, folder, 32, 24)
    return store.FrameStore(folder, synthetic_data / "ucf101" / "person_boxes.parquet")
