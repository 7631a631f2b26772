"""Video retrieval by features: which training videos come nearest."""

import torch
import torch.nn.functional as F

QUERIES_AT_ONCE = 256


def first_matches(
    queries: torch.Tensor, query_labels: torch.Tensor, gallery: torch.Tensor, gallery_labels: torch.Tensor
) -> torch.Tensor:
    """Rank, from 1, of each query's nearest gallery video of its own class; gallery size + 1 where there is none.

    Args:
        queries: features (Q, D).
        query_labels: (Q,).
        gallery: features (N, D); distance is one minus the cosine, equal ones stand in the gallery's order.
        gallery_labels: (N,).

    Returns:
        int64 (Q,); recall at k is the share of ranks ≤ k.
    """
    known, ranks = F.normalize(gallery.double(), dim=1), []
    for some, labels in zip(queries.split(QUERIES_AT_ONCE), query_labels.split(QUERIES_AT_ONCE), strict=True):
        order = (F.normalize(some.double(), dim=1) @ known.T).argsort(dim=1, descending=True, stable=True)
        match = gallery_labels[order] == labels[:, None]
        ranks.append(torch.where(match.any(1), match.int().argmax(1) + 1, len(gallery) + 1))
    return torch.cat(ranks)
