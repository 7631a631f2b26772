"""The linear probe against independent computations."""

import numpy as np
import pytest
import scipy.optimize
import torch

from mac.models.probe import choose_penalty, fit_linear, score_linear, standardise

CLASSES, WIDTH = 3, 5


def drawn(count=60, seed=0, shift=1.0):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    centres = random.normal(size=(CLASSES, WIDTH)) * shift
    return torch.from_numpy(centres[labels] + random.normal(size=(count, WIDTH))), torch.from_numpy(labels)


@pytest.mark.parametrize("penalty", [1e-3, 1e-1, 10.0])
def test_the_fit_is_the_minimum_that_scipy_finds(penalty):
    features, labels = drawn()
    x, y = features.numpy(), np.eye(CLASSES)[labels.numpy()]

    def objective(flat):
        w, b = flat[: WIDTH * CLASSES].reshape(WIDTH, CLASSES), flat[WIDTH * CLASSES :]
        logits = x @ w + b
        logits -= logits.max(1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return -(y * log_p).sum(1).mean() + penalty / 2 * (w**2).sum()

    start = np.zeros((WIDTH + 1) * CLASSES)
    found = scipy.optimize.minimize(objective, start, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000}).x
    weights = fit_linear(features, labels, CLASSES, penalty).numpy()
    expected = x @ found[: WIDTH * CLASSES].reshape(WIDTH, CLASSES) + found[WIDTH * CLASSES :]
    ours = score_linear(features, torch.from_numpy(weights)).numpy()
    centred = [scores - scores.mean(1, keepdims=True) for scores in (ours, expected)]  # intercepts may all shift alike
    np.testing.assert_allclose(*centred, atol=1e-4)


def test_features_are_standardised_by_the_training_videos():
    train = torch.tensor([[1.0, 5.0, 7.0], [3.0, 5.0, 7.0]])
    test = torch.tensor([[5.0, 6.0, 7.0]])
    known, new = standardise(train, test)
    np.testing.assert_allclose(known.numpy(), [[-1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(new.numpy(), [[3, 0, 0]])  # what never varied says nothing


def test_a_penalty_is_chosen_on_whole_groups():
    """Features that name the group fit the training videos perfectly and say nothing about another group."""
    random, groups = np.random.default_rng(1), np.repeat(np.arange(24), 5)
    labels = torch.from_numpy(random.permutation(np.repeat(np.arange(24) % CLASSES, 1))[groups])
    of_group = np.eye(24)[groups] * 3
    of_class = np.eye(CLASSES)[labels.numpy()] * 0.4 + random.normal(size=(120, CLASSES)) * 0.4
    features = torch.from_numpy(np.hstack([of_group, of_class]))
    names = np.array([f"g{group:02d}" for group in groups])
    single = np.array([f"v{video:03d}" for video in range(120)])

    def accuracy(penalty, parts):
        right = 0
        for held in range(4):
            kept = parts % 4 != held
            weights = fit_linear(features[kept], labels[kept], CLASSES, penalty)
            right += int((score_linear(features[~kept], weights).argmax(1) == labels[~kept]).sum())
        return right

    penalties = [1e-4, 1e-2, 1.0]
    for chosen_by, parts in ((names, torch.from_numpy(groups)), (single, torch.arange(120))):
        expected = max(sorted(penalties, reverse=True), key=lambda p, parts=parts: accuracy(p, parts))
        assert choose_penalty(features, labels, chosen_by, CLASSES, penalties, 4) == expected
    assert accuracy(1e-4, torch.arange(120)) > accuracy(1e-4, torch.from_numpy(groups)) + 20  # groups do matter here
