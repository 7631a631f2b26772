"""How much of a batch to work on at a time, so that each step finds the results of the one before in the cache."""

from collections.abc import Iterator

import torch

ELEMENTS = 2**20  # of a piece; in float32 these are 4 MB


def working_sets(batch: torch.Tensor) -> Iterator[slice]:
    """Cut a batch (B, …) into the pieces that a chain of element-wise steps should work on one after the other.

    On a CPU a piece has about a million elements, but at least one clip: a clip of 16 × 112² in float32 has 2.4 MB and
    stays in the cache, and its intermediate results are small enough for the allocator to reuse their memory. Small
    clips are taken many at a time, because each step of a piece costs a call. On any other device the batch is one
    piece. The results don't depend on the pieces.
    """
    if batch.device.type != "cpu" or not len(batch):
        yield slice(None)
        return
    clips = max(ELEMENTS // max(batch[0].numel(), 1), 1)
    yield from (slice(i, i + clips) for i in range(0, len(batch), clips))
