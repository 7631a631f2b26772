"""Every kind of training on a device that exists only in name: what CUDA would refuse, where the host would wait."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
import transfers
from kinds import KINDS
from torch.utils import backend_registration

if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
    pytest.skip(f"torch {torch.__version__} has no hook for a device made in Python", allow_module_level=True)


@pytest.fixture(scope="module")
def apart():
    """Other processes. Once the device is known to torch, a process can't fork and use autograd any more."""
    with ProcessPoolExecutor(2, get_context("spawn"), transfers.begin) as pool:
        yield lambda check, *arguments: pool.submit(check, *arguments)


@pytest.fixture(scope="module")
def trainings(apart):
    """All kinds of training, begun at once: two processors have work."""
    return {kind: apart(transfers.trains_alike, kind, overrides) for kind, overrides in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_no_device_is_mixed_no_bit_differs_and_a_step_waits_once(kind, trainings):
    trainings[kind].result()


def test_features_and_maps_are_the_cpus_and_the_host_waits_once(apart):
    apart(transfers.looks_alike).result()


def test_the_device_finds_what_cuda_refuses_and_counts_every_wait(apart):
    apart(transfers.refuses).result()
    apart(transfers.counts).result()
