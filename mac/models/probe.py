"""Measures of frozen features: a linear classifier, retrieval of and votes by the nearest training videos, collapse."""

import numpy as np
import torch
import torch.nn.functional as F

ITERATIONS, TOLERANCE = 2000, 1e-7  # of L-BFGS; the largest entry of the gradient at its end
QUERIES_AT_ONCE = 256


class NotConvergedError(Exception):
    """The probe's minimum was not reached; the message says how far off it is."""


def standardise(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre and scale features (N, D) by the training videos' mean and deviation; constant ones become 0. Float64."""
    train, test = train.double(), test.double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    scale = torch.where(deviation > 1e-12, 1 / deviation.clamp_min(1e-12), 0.0)
    return (train - mean) * scale, (test - mean) * scale


def fit_linear(features: torch.Tensor, labels: torch.Tensor, classes: int, penalty: float) -> torch.Tensor:
    """Fit multinomial logistic regression: the one minimum of mean cross-entropy + penalty/2 · ‖W‖².

    Args:
        features: (N, D), float64.
        labels: (N,), class indices.
        classes: C.
        penalty: > 0; the intercepts are free of it.

    Returns:
        W and b as one matrix (D + 1, C), the intercepts last.

    Raises:
        NotConvergedError: the gradient is not near zero after all iterations, or not a number.
    """
    weights = torch.zeros(features.shape[1] + 1, classes, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights], max_iter=ITERATIONS, tolerance_grad=TOLERANCE, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(score_linear(features, weights), labels) + penalty / 2 * weights[:-1].square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    loss()
    steepest = float(weights.grad.abs().max())
    if not steepest <= 100 * TOLERANCE:
        raise NotConvergedError(
            f"probe.penalties: with {penalty:g} the largest entry of the gradient is still {steepest:.1e} after"
            f" {ITERATIONS} iterations ({100 * TOLERANCE:.0e} at most); write larger penalties, or look at the features"
        )
    return weights.detach()


def score_linear(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Logits (N, C) of features (N, D) under weights (D + 1, C)."""
    return features @ weights[:-1] + weights[-1]


def choose_penalty(
    features: torch.Tensor, labels: torch.Tensor, groups: np.ndarray, classes: int, penalties: list[float], folds: int
) -> float:
    """Choose the penalty with the best accuracy on held-out groups of the training videos; the larger one on a tie.

    Args:
        features: (N, D) of the training videos, float64.
        labels: (N,).
        groups: (N,) names; a group is held out as a whole, because its videos resemble each other.
        classes: C.
        penalties: to choose from.
        folds: number of parts; the group at index i, in the order of the names, is in part i mod ``folds``.
    """
    part = torch.from_numpy(np.unique(groups, return_inverse=True)[1] % folds)
    correct = dict.fromkeys(sorted(penalties, reverse=True), 0)
    for penalty in correct:
        for fold in range(folds):
            kept, held = part != fold, part == fold
            weights = fit_linear(features[kept], labels[kept], classes, penalty)
            correct[penalty] += int((score_linear(features[held], weights).argmax(1) == labels[held]).sum())
    return max(correct, key=lambda penalty: correct[penalty])


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


def vote(
    queries: torch.Tensor, gallery: torch.Tensor, gallery_labels: torch.Tensor, k: int, temperature: float
) -> torch.Tensor:
    """Classify queries by their k nearest gallery videos, each of whose votes weighs exp(cosine / temperature).

    Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, equation 3.4.

    Args:
        queries: features (Q, D).
        gallery: features (N, D); of a smaller gallery than k all vote.
        gallery_labels: (N,), class indices.
        k: voters.
        temperature: > 0.

    Returns:
        int64 (Q,) class indices; of equal sums the smallest index.
    """
    near = F.normalize(queries.double(), dim=1) @ F.normalize(gallery.double(), dim=1).T
    cosines, voters = near.topk(min(k, len(gallery)), dim=1)
    votes = torch.zeros(len(queries), int(gallery_labels.max()) + 1, dtype=torch.float64)
    return votes.scatter_add_(1, gallery_labels[voters], (cosines / temperature).exp()).argmax(1)


def effective_rank(features: torch.Tensor) -> float:
    """Exponential of the entropy of the singular values of features (N, D), divided by their sum: 1 … min(N, D).

    RankMe: Garrido et al., ICML 2023. Features that are all zero have rank 1.
    """
    values = torch.linalg.svdvals(features.double())
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return float(torch.special.entr(shares).sum().exp())


def spread(features: torch.Tensor) -> float:
    """√D times the mean standard deviation of a channel of features (N, D), each divided by its norm.

    1 where they point in all directions alike, 0 where all are the same. Chen and He, CVPR 2021, figure 2.
    """
    return float(F.normalize(features.double(), dim=1).std(0, correction=0).mean()) * features.shape[1] ** 0.5
