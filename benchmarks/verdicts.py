"""What the report's verdicts find and how often they are wrong, on simulated tables; what its intervals cover."""

from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np
from scipy.stats import binomtest

from benchmarks.harness import machine, markdown, save
from benchmarks.simulated import BASE, World, rerun, simulate
from mac.report.statistics import Z, cluster_variance, clustered_interval, widen, wilson

VIDEOS, DIFFERENCES = (531, 1530, 3783), (0.0, 1.0, 3.0, 10.0)
TRAININGS = {"1 seed": (1, 1), "3 seeds": (3, 1), "3 splits": (1, 3)}  # seeds a split, splits
TABLES, TABLES_ALIKE, CELLS, COVERAGE_TABLES, PROCESSES = 500, 1000, 4000, 200, 2
# Test videos, printed accuracy [percent] and margin [points]: of the three data sets' default rows, nearly.
PRINTED = {531: (60.0, 10.0), 1530: (53.2, 6.5), 3783: (84.8, 4.5)}
METHODS = ("Wilson", "percentile", "BCa", "linearised")
PAIRS_WRONG, CLAIMS_WRONG = ("false_models", "false_methods"), ("false_claim_models", "false_claim_methods")


def run(data: object = None) -> None:
    """Simulate every combination and write the tables; needs no data."""
    cases = list(product(VIDEOS, TRAININGS, DIFFERENCES))
    held = list(product(VIDEOS, (1, 3)))
    with ProcessPoolExecutor(PROCESSES) as pool:
        covered = list(pool.map(coverage, VIDEOS))
        rows = list(pool.map(_case, cases))
        cells = list(pool.map(_rerun, held))
    facts = {"machine": machine("numpy", "scipy"), "rows": rows, "coverage": dict(zip(VIDEOS, covered, strict=True))}
    facts["printed"] = [{"videos": n, "seeds": seeds, **cell} for (n, seeds), cell in zip(held, cells, strict=True)]
    facts["worst_pair"], facts["worst_claim"] = _worst(rows, PAIRS_WRONG), _worst(rows, CLAIMS_WRONG)
    save("verdicts", "Verdicts: power and errors", facts, _texts(facts), [])


def _case(case: tuple[int, str, float]) -> dict:
    videos, trainings, difference = case
    seeds, splits = TRAININGS[trainings]
    tables = TABLES if difference else TABLES_ALIKE
    rates = simulate(difference, videos, seeds, tables, splits).rates()
    return {"videos": videos, "trainings": trainings, "difference": difference, "tables": tables, **rates}


def _rerun(case: tuple[int, int]) -> dict:
    videos, seeds = case
    accuracy, margin = PRINTED[videos]
    return {"held_to": margin, **rerun(accuracy, videos, seeds, margin, CELLS)._asdict()}


def _worst(rows: list[dict], keys: tuple[str, ...]) -> dict:
    """Find the most frequent of some kinds of wrong decisions, with the exact 95 % interval of its share."""
    row, key = max(((row, key) for row in rows for key in keys), key=lambda found: found[0][found[1]])
    limits = binomtest(round(row[key] / 100 * row["tables"]), row["tables"]).proportion_ci(0.95)
    low, high = (round(100 * limit, 1) for limit in limits)
    return {"kind": key, "share": row[key], "low": low, "high": high, "tables": row["tables"], "case": _label(row)}


def _texts(facts: dict) -> list[str]:
    """Write the tables of the page."""
    head = ["videos, trainings a side, true difference", "found: models", "found: method", "claim holds: models"]
    head += ["claim holds: method", "wrong: models", "wrong: method", "wrong claim: models", "wrong claim: method"]
    keys = ("models_found", "methods_found", "claim_models", "claim_methods", *PAIRS_WRONG, *CLAIMS_WRONG)
    lines = [[_label(row), *(_share(row, key) for key in keys)] for row in facts["rows"]]
    worst, pairs = facts["worst_claim"], facts["worst_pair"]
    note = (
        f"For each case {TABLES} tables ({TABLES_ALIKE:,} where all rows are equal) of 3 to 5 rows were simulated, in"
        " which the truth is known: the first row is better than all others by the true difference [points]. Videos"
        " come in groups of 4 to 7; the standard deviation between seeds is 1 point; each split has videos of its own."
        " The shares [percent] are of tables, for “found” of pairs with the first row. “Wrong” means that any pair of"
        " the table, or the claim that the first row is best, was decided with the wrong sign. The worst case is"
        f" {_share_text(worst)} for claims and {_share_text(pairs)} for pairs."
    )
    held = [
        "A cell against a printed number from one run on the same test videos. Reproduced and inside: the printed run"
        " is one more training of the same row. Missed: reproduced, although the printed run is of a row that is better"
        " or worse by the margin. Smallest margin: within which 80 % of the re-runs are reproduced. Shares [percent] of"
        f" {CELLS:,} cells."
    ]
    against = ["videos, accuracy, seeds", "margin", "reproduced", "missed", "inside", "smallest margin"]
    printed = [
        [f"{row['videos']:,}, {PRINTED[row['videos']][0]:g} %, {row['seeds']}", f"{row['held_to']:g}"]
        + [f"{row[key]:.1f}" for key in ("reproduced", "missed", "inside")]
        + [f"{row['margin']:.2f}"]
        for row in facts["printed"]
    ]
    cover = markdown(
        ["95 % interval of a cell, share that covers [percent]", *(f"{n:,} videos" for n in VIDEOS)],
        [
            [name, *(f"{found[name]:.1f}" for found in facts["coverage"].values())]
            for name in (*METHODS, "BCa and three seeds")
        ],
    )
    return [note, markdown(head, lines), *held, markdown(against, printed), cover]


def _share_text(worst: dict) -> str:
    return f"{worst['share']:.1f} % [{worst['low']:.1f}, {worst['high']:.1f}] ({worst['case']})"


def _label(row: dict) -> str:
    return f"{row['videos']:,}, {row['trainings']}, {row['difference']:g}"


def _share(row: dict, key: str) -> str:
    return "–" if "methods" in key and row["trainings"] == "1 seed" else f"{row[key]:.1f}"


def coverage(videos: int, tables: int = COVERAGE_TABLES) -> dict[str, float]:
    """How often each kind of interval holds the truth [percent]: a trained model's, or (three seeds) the method's."""
    hits = dict.fromkeys((*METHODS, "BCa and three seeds"), 0)
    for table in range(tables):
        world = World(np.random.default_rng((7, table, videos)), videos)
        sizes = np.bincount(world.clusters)[None]
        sample, truth = world.run(BASE, 1)
        correct = np.bincount(world.clusters, sample.right[0])[None]
        share = correct.sum() / videos
        half = Z * cluster_variance((correct - share * sizes)[0] / videos) ** 0.5
        limits = {"Wilson": wilson(correct.sum(), videos), "linearised": (share - half, share + half)}
        limits |= {name: clustered_interval(correct, sizes, name) for name in ("percentile", "BCa")}
        for name, (low, high) in limits.items():
            hits[name] += 100 * low <= truth <= 100 * high
        three, _ = world.run(BASE, 3)
        correct = np.array([np.bincount(world.clusters, right) for right in three.right])
        tops = 100 * three.right.mean(1)
        low, high = clustered_interval(correct, np.repeat(sizes, 3, 0))
        low, high = widen(tops.mean(), 100 * low, 100 * high, tops.var(ddof=1) / 3, 2)
        hits["BCa and three seeds"] += low <= BASE <= high
    return {name: round(100 * count / tables, 1) for name, count in hits.items()}
