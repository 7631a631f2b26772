"""Every kind of training on a device that exists only in name: what CUDA would refuse, where the host would wait.

What the tests check, they check in processes of their own: the pretend device can't leave one again.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from kinds import CPU, KINDS, STEPS, assert_equal, build, experiment, train
from pretend_device import MixedDevicesError, PretendDevice, to_host
from torch.utils import backend_registration

from benchmarks.stand_ins import NoFolder, RandomStore
from mac.models import backbones
from mac.models.cam import class_activation_maps
from mac.stages import probe
from mac.training import batches
from mac.training.loop import Position
from mac.training.monitor import Monitor
from mac.training.processor import to_fast_layout

if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
    pytest.skip(f"torch {torch.__version__} has no hook for a device made in Python", allow_module_level=True)


def begin():
    """Prepare the process: the device must be known before the first backward pass."""
    torch.set_num_threads(1)
    PretendDevice()


def trains_alike(kind, overrides):
    """A kind of training mixes no devices, gives the CPU's bits, and waits for the device once a step at most."""
    settings, in_steps = experiment(**overrides), {}
    expected = train(kind, settings, CPU)
    with PretendDevice() as pretend:
        found = train(kind, settings, pretend.device, pretend.waits.clear, lambda: in_steps.update(pretend.waits))
    assert_equal(found, expected, to_host)
    assert 0 < sum(in_steps.values()) <= STEPS, "\n".join(f"{count} × {where}" for where, count in in_steps.items())


def looks_alike():
    """Features and maps are the CPU's, and all features come back in one copy."""
    store, config = RandomStore(8, 32, 24), experiment()
    measured = config.probing(config.finetuning(1, 1, "random"))
    classifier = build("finetuning", config, CPU)[2].classifier
    clips = torch.rand(2, 3, 8, 16, 16, generator=torch.Generator().manual_seed(0))

    def backbone(device):
        network = to_fast_layout(backbones.build("r2plus1d_10", 4), device).eval()
        network.load_state_dict(classifier.backbone.state_dict())
        return network

    def explain(device):
        network = to_fast_layout(build("finetuning", config, device)[2].classifier, device)
        return class_activation_maps(network, clips.to(device), torch.tensor([0, 1]).to(device))

    expected, maps = probe.features(measured, store, backbone(CPU), np.arange(8), CPU), explain(CPU)
    with PretendDevice() as pretend:
        network = backbone(pretend.device)
        probe.features(measured, store, network, np.arange(1), pretend.device)  # constants go to a device once
        pretend.waits.clear()
        found = probe.features(measured, store, network, np.arange(8), pretend.device)
        assert sum(pretend.waits.values()) == 1, pretend.waits
        assert torch.equal(to_host(found), expected)
        pretend.waits.clear()
        assert torch.equal(to_host(explain(pretend.device)), maps)


class Kept(NoFolder):
    """A run folder that keeps what is written."""

    def __init__(self):
        self.written = []

    def write(self, event, **values):
        self.written.append(values)


def is_seen_alike():
    """A monitor sees on the device what it sees on a CPU."""

    def look(device):
        store, _, learner = build("MAC-SC-2", experiment(), device)
        folder, read = Kept(), partial(batches.read, store, choose=learner.method.frames)
        Monitor(learner, store, np.arange(8), np.arange(8), read, folder, 1).look(Position(1, step=2))
        return folder.written

    expected = look(CPU)
    with PretendDevice() as pretend:
        assert look(pretend.device) == expected
    assert {"monitor/effective_rank", "monitor/pretext_top1_held_out"} <= set().union(*expected)


def refuses():
    """The device refuses what CUDA does."""
    with PretendDevice() as pretend:
        there = torch.ones(3).to(pretend.device)
        with pytest.raises(
            MixedDevicesError, match=r"aten.add.Tensor on pretend \(3,\), cpu \(3,\); CUDA would refuse"
        ):
            there + torch.ones(3)
        with pytest.raises(MixedDevicesError, match=r"aten.stack"):
            torch.stack([there[0], torch.tensor(1.0)])
        assert to_host(there + torch.tensor(1.0)).tolist() == [2, 2, 2]  # CUDA takes a scalar of the CPU's


def counts():
    """The device counts every wait."""
    with PretendDevice() as pretend:
        there = torch.ones(3).to(pretend.device)
        for wait in (
            lambda: there.cpu(),
            lambda: there.sum().item(),
            lambda: there.tolist(),
            lambda: there[there > 0],
            lambda: there.nonzero(),
            lambda: torch.ones(3).to(pretend.device),
            lambda: there.new_tensor([1.0]),
        ):
            pretend.waits.clear()
            wait()
            assert sum(pretend.waits.values()) == 1, wait
        pretend.waits.clear()
        torch.ones(3).to(pretend.device, non_blocking=True)
        there[1:] + there.mean()
        assert not pretend.waits


@pytest.fixture(scope="module")
def apart():
    """Other processes. Once the device is known to torch, a process can't fork and use autograd any more."""
    with ProcessPoolExecutor(2, get_context("spawn"), begin) as pool:
        yield lambda check, *arguments: pool.submit(check, *arguments)


@pytest.fixture(scope="module")
def trainings(apart):
    """All kinds of training, begun at once: two processors have work."""
    return {kind: apart(trains_alike, kind, overrides) for kind, overrides in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_no_device_is_mixed_no_bit_differs_and_a_step_waits_once(kind, trainings):
    trainings[kind].result()


def test_features_and_maps_are_the_cpus_and_the_host_waits_once(apart):
    apart(looks_alike).result()


def test_a_monitor_sees_what_it_sees_on_a_cpu(apart):
    apart(is_seen_alike).result()


def test_the_device_finds_what_cuda_refuses_and_counts_every_wait(apart):
    apart(refuses).result()
    apart(counts).result()
