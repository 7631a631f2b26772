"""Momentum contrast, MoCo v2 (method §1): key encoder, queue and InfoNCE loss."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class MomentumContrast(nn.Module):
    """A key encoder that trails the query encoder, and a queue of past keys.

    ``queue`` is (K, Z) with unit rows, ``cursor`` the row the next key goes to; ``filled`` counts the rows that hold
    keys: empty rows take no part in the loss, so that a young queue adds no random negatives. Both are plain numbers:
    if they were tensors on a GPU, every step would wait for it to read them.
    """

    def __init__(self, encoder: nn.Module, queue: int, dim: int, momentum: float, temperature: float) -> None:
        """Copy ``encoder`` (clip → z) as the key encoder; ``queue`` rows of length ``dim``."""
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.momentum, self.temperature = momentum, temperature
        self.register_buffer("queue", torch.zeros(queue, dim))
        self.cursor = self.filled = 0

    def get_extra_state(self) -> dict[str, int]:
        """Put cursor and filled rows into the state, beside the tensors."""
        return {"cursor": self.cursor, "filled": self.filled}

    def set_extra_state(self, state: Any) -> None:
        """Read cursor and filled rows from a state."""
        self.cursor, self.filled = state["cursor"], state["filled"]

    @torch.no_grad()
    def follow(self, encoder: nn.Module) -> None:
        """Move the key encoder towards the query encoder: key ← momentum·key + (1 − momentum)·query."""
        torch._foreach_lerp_(list(self.encoder.parameters()), list(encoder.parameters()), 1 - self.momentum)

    @torch.no_grad()
    def keys(self, clip: torch.Tensor) -> torch.Tensor:
        """Encode clips into unit keys (B, Z) in the queue's precision, without gradient."""
        return F.normalize(self.encoder(clip).to(self.queue.dtype), dim=1)

    def loss(self, query: torch.Tensor, keys: torch.Tensor, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """InfoNCE of queries (B, Z) against their keys and the queue.

        Args:
            query: before normalisation.
            keys: of the whole batch (N, Z), unit; N > B where several processes share it.
            first: the row of ``keys`` that is the first query's.

        Returns:
            The mean loss, and the share of queries closest to their own key, in [0, 1].
        """
        query = F.normalize(query.to(self.queue.dtype), dim=1)
        positive = (query * keys[first : first + len(query)]).sum(1, keepdim=True)
        # Until the first keys are queued the loss would be identically zero: the batch's other keys stand in.
        others = self.queue[: self.filled] if self.filled else keys
        negative = query @ others.T
        if not self.filled:
            own = torch.arange(first, first + len(query), device=query.device)
            negative = negative.scatter(1, own[:, None], -torch.inf)
        logits = torch.cat([positive, negative], 1) / self.temperature
        target = torch.zeros(len(query), dtype=torch.long, device=query.device)
        return F.cross_entropy(logits, target), (logits.argmax(1) == 0).float().mean()

    @torch.no_grad()
    def enqueue(self, key: torch.Tensor) -> None:
        """Put keys (B, Z) into the queue, over the oldest ones; B is at most the queue's length."""
        size = len(self.queue)
        until_end = min(len(key), size - self.cursor)
        self.queue[self.cursor : self.cursor + until_end] = key[:until_end]
        self.queue[: len(key) - until_end] = key[until_end:]
        self.cursor = (self.cursor + len(key)) % size
        self.filled = min(self.filled + len(key), size)
