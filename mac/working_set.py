"""How much of a batch to work on at a time: what a step leaves in the cache, the next one finds there."""

from collections.abc import Iterator

import torch

ELEMENTS = 2**20  # of a piece; in float32 these are 4 MB


def working_sets(batch: torch.Tensor) -> Iterator[slice]:
    """Cut a batch (B, …) into the pieces that a chain of element-wise steps should take one after the other.

    On a CPU as many clips as have about a million elements, one at least: a clip of 16 × 112² in float32 has 2.4 MB
    and stays in the cache, and its intermediate results are small enough for the allocator to reuse their memory; of
    small clips many go together, for each step of a piece costs a call. On any other device the batch is one piece.
    No value depends on it.
    """
    if batch.device.type != "cpu" or not len(batch):
        yield slice(None)
        return
    clips = max(ELEMENTS // max(batch[0].numel(), 1), 1)
    yield from (slice(i, i + clips) for i in range(0, len(batch), clips))
