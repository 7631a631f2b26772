"""The claim about where models look (§10): its numbers by hand, and why it is open."""

from itertools import product

import numpy as np
import pytest
from made_up import files, predictions, read

from mac.report.claims import judge_table
from mac.report.differences import between, models_p

TESTED, SEEN = 400, range(0, 400, 10)  # every tenth video was looked at: ten classes of four groups, one video of each


@pytest.fixture
def tested(paper):
    """The pair's predictions, half of them right."""
    return {key: value for i in paper.gradcam_pair for key, value in files(paper, i, np.arange(TESTED) % 2).items()}


def facts(planned, shares, **changed):
    """Figures' facts as `mac gradcam` writes them, with these ``shares`` (2, n) of the videos that were looked at."""
    each = {"path": predictions(np.ones(TESTED))["path"].iloc[SEEN].tolist()}
    each |= {"mask_area": [0.2] * len(SEEN), "share_inside": np.round(shares, 6).tolist()}
    ids, data = planned.gradcam_pair, planned.finetunings[planned.default].config.store.dataset
    models = [{"finetune_id": i} for i in changed.pop("ids", ids)]
    own = {"models": models, "index_digest": data.identify(), "overlap": {"each": each | changed.pop("each", {})}}
    return own | changed


def judged(planned, tested, found):
    report = {} if found is None else {"figures/gradcam.json": found}
    _, judgement = judge_table(planned.tables["F2-F4"], read(planned, tested, report=report))
    return judgement


def test_the_evidence_names_both_shares_chance_and_the_difference(paper, tested):
    rng = np.random.default_rng(1)
    shares = np.stack([rng.uniform(0.3, 0.5, len(SEEN)), rng.uniform(0.1, 0.3, len(SEEN))])
    own, other = 100 * shares.mean(1)
    found = judged(paper, tested, facts(paper, shares))
    assert (found.models, found.method) == ("holds", "too few trainings")
    assert found.evidence.startswith("p < 0.001: on what moves lies")
    numbers = f" {own:.1f} % of the mass of T4: Cross-entropy's maps against {other:.1f} % of Supervised pretraining's"
    assert f"{numbers} (chance: 20.0 %), on 40 of 400 test videos: +{own - other:.1f} [" in found.evidence
    assert "would decide" not in found.evidence  # how much the shares differ between seeds isn't known
    assert judged(paper, tested, facts(paper, shares[::-1])).models == "contradicted"


def test_the_order_of_the_files_models_and_videos_does_not_matter(paper, tested):
    shares = np.random.default_rng(2).uniform(0.1, 0.5, (2, len(SEEN)))
    usual = facts(paper, shares)
    each = {"path": usual["overlap"]["each"]["path"][::-1], "share_inside": shares[::-1, ::-1].round(6).tolist()}
    other = facts(paper, shares, ids=paper.gradcam_pair[::-1], each=each)
    assert judged(paper, tested, usual) == judged(paper, tested, other)


def test_whole_source_groups_are_flipped(paper, tested):
    """All signs of 12 groups are tried; groups of two classes that have the same name are two."""
    table = predictions(np.ones(TESTED))
    seen = [n for label in range(4) for n in range(40 * label, 40 * label + 12)]  # three groups of four videos each
    rng = np.random.default_rng(3)
    shares = rng.uniform(0.2, 0.4, (2, len(seen))).round(6)
    shares[0] += np.repeat(rng.normal(0.02, 0.04, 12), 4).round(6)
    each = {"path": table["path"].iloc[seen].tolist(), "mask_area": [0.2] * len(seen)}
    found = facts(paper, shares, each=each)
    focus = read(paper, tested, report={"figures/gradcam.json": found}).focus(*paper.gradcam_pair)
    difference = between([focus.first], [focus.second])
    sums = table.iloc[seen].assign(gap=shares[0] - shares[1]).groupby(["label", "group"])["gap"].sum().to_numpy()
    assert len(sums) == 12
    assert difference.estimate == pytest.approx(100 * sums.sum() / len(seen))
    spread = 100 / len(seen) * np.sqrt(((sums - sums.mean()) ** 2).sum() * 12 / 11)  # groups are of one size
    low, high = difference.interval()
    assert (high - low) / 2 == pytest.approx(2.200985 * spread)  # Student's t of 11 degrees at 97.5 %
    flipped = [abs(np.dot(signs, sums)) for signs in product((-1, 1), repeat=12)]
    exact = np.mean(np.array(flipped) >= abs(sums.sum()) - 1e-12)
    ((clustered, larger),) = models_p([difference])
    assert 0.01 < exact < 0.5
    assert clustered == larger == pytest.approx(exact, abs=4 * (exact / 9999) ** 0.5)
    assert difference.mcnemar_p() is None  # a share is neither right nor wrong


SHARES = np.full((2, len(SEEN)), 0.25)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (lambda planned: None, "figures 2–4 are not drawn yet"),
        (lambda planned: b'{"models": [', "gradcam.json is cut or no JSON; delete figures/gradcam.json and run again"),
        (lambda planned: [], "gradcam.json holds no mapping"),
        (lambda planned: {"models": []}, "gradcam.json lacks overlap, index_digest"),
        (lambda planned: facts(planned, SHARES, overlap={"videos": 3}), "gradcam.json lacks the numbers of single"),
        (lambda planned: facts(planned, SHARES[:1]), "lacks the numbers of single videos"),
        (lambda planned: facts(planned, SHARES[:, :5]), "lacks the numbers of single videos"),
        (lambda planned: facts(planned, SHARES * np.nan), "lacks the numbers of single videos"),
        (lambda planned: facts(planned, SHARES + 1), "lacks the numbers of single videos"),
        (lambda planned: facts(planned, SHARES, each={"mask_area": ["a"] * 40}), "lacks the numbers of single videos"),
        (lambda planned: facts(planned, SHARES, each={"path": ["v"] * 40}), "lacks the numbers of single videos"),
        (lambda planned: facts(planned, SHARES, each={"path": list("ab" * 20)}), "lacks the numbers of single videos"),
        (lambda planned: facts(planned, SHARES, each={"path": [str(n) for n in range(40)]}), "were not tested"),
        (lambda planned: facts(planned, SHARES, overlap={"each": None}), "has both a foreground and maps"),
        (lambda planned: facts(planned, SHARES, index_digest="0123456789"), "is another run's: index_digest 0123"),
        (
            lambda planned: facts(planned, SHARES, ids=["0123456789", planned.supervised]),
            "gradcam.json is of finetunings 0123456789 and ",
        ),
    ],
)
def test_numbers_that_cannot_be_used_leave_the_claim_open(paper, tested, found, reason):
    judgement = judged(paper, tested, found(paper))
    assert judgement.models == judgement.method == "open"
    assert reason in judgement.evidence


def test_a_missing_run_leaves_it_open_whatever_the_figures_say(paper, tested):
    del tested[f"finetune/{paper.supervised}/metrics.json"]
    found = judged(paper, tested, facts(paper, SHARES))
    assert found.models == "open"
    assert "metrics.json is missing beside predictions.parquet" in found.evidence


def test_models_that_look_alike_are_not_told_apart(paper, tested):
    assert judged(paper, tested, facts(paper, SHARES)).models == "undecided"
