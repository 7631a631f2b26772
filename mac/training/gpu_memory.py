"""Whether a training fits into a GPU's memory: said before it begins where that is known, else when it runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mac.models.backbones import build
from mac.training.processor import GpuError

WAYS_OUT = (
    "Ways out: wait for the other processes or take another GPU (see nvidia-smi), `jobs_per_gpu: 1`, or"
    " `gpus_per_run: 2`, which splits the batch (config/config.yaml); a smaller `batch_size` or `precision: bf16` is"
    " another experiment"
)


def saved_bytes(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Count what a forward pass keeps for the backward pass, parameters left out; nothing is computed.

    Args:
        network: on the meta device.
        shape: (B, 3, T, S, S) of its float32 input.
    """
    own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = network(torch.empty(shape, device="meta"))
    del result
    return sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in own)


def least_bytes(backbone: tuple[str, int, str, float], shape: tuple[int, ...], views: int, precision: str) -> int:
    """Compute the least memory a training needs [bytes]: weights, gradients, momentum and what its backward pass needs.

    Args:
        backbone: its name, width …, as :func:`mac.models.backbones.build` takes them.
        shape: (B, 3, T, S, S) of a view.
        views: how many the backbone is trained on in a step.
        precision: of the run; bfloat16 halves what is kept.
    """
    with torch.device("meta"):
        network = build(*backbone)
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    return 3 * weights + views * saved_bytes(network, shape) // (2 if precision == "bf16" else 1)


def check(device: torch.device, least: int) -> None:
    """Make sure that a GPU has the memory that a training needs at least.

    Args:
        device: where it will train; a CPU always passes.
        least: bytes, see :func:`least_bytes`.

    Raises:
        GpuError: it hasn't; others may be using it.
    """
    if device.type != "cuda":
        return
    free, total = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if free < least:
        raise GpuError(
            f"{torch.cuda.get_device_name(device)} has {_gigabytes(free)} of {_gigabytes(total)} free, other processes"
            f" hold the rest; this training needs more than {_gigabytes(least)}. {WAYS_OUT}"
        )


@contextmanager
def explained(device: torch.device) -> Iterator[None]:
    """Turn running out of a GPU's memory into an error that says what was free and the way out.

    Raises:
        GpuError: in place of torch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        free, total = torch.cuda.mem_get_info(device)
        raise GpuError(
            f"{torch.cuda.get_device_name(device)} ran out of memory: this training held"
            f" {_gigabytes(torch.cuda.max_memory_reserved(device))} of {_gigabytes(total)}, {_gigabytes(free)} were"
            f" free. The newest snapshot is kept. {WAYS_OUT}. torch said: {str(error).splitlines()[0]}"
        ) from None


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
