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
    """Another process. Once the device is known to torch, a process can't fork and use autograd any more."""
    with ProcessPoolExecutor(1, get_context("spawn"), transfers.begin) as pool:
        yield lambda check, *arguments: pool.submit(check, *arguments).result()


@pytest.mark.parametrize("kind", KINDS)
def test_no_device_is_mixed_no_bit_differs_and_a_step_waits_once(kind, apart):
    apart(transfers.trains_alike, kind, KINDS[kind])


def test_features_and_maps_are_the_cpus_and_the_host_waits_once(apart):
    apart(transfers.looks_alike)


def test_the_device_finds_what_cuda_refuses(apart):
    apart(transfers.refuses)


def test_the_device_counts_every_wait(apart):
    apart(transfers.counts)
