"""What the report's verdicts find and how often they are wrong, on simulated tables; what its intervals cover."""

from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np

from benchmarks.harness import machine, markdown, save
from benchmarks.simulated import BASE, World, simulate
from mac.report.statistics import Z, cluster_variance, clustered_interval, widen, wilson

VIDEOS, SEEDS, DIFFERENCES = (531, 3783), (1, 3), (0.0, 1.0, 3.0, 10.0)
TABLES, COVERAGE_TABLES, PROCESSES = 125, 100, 2
METHODS = ("Wilson", "percentile", "BCa", "linearised")


def run(data: object = None) -> None:
    """Simulate every combination and write the tables; needs no data."""
    cases = list(product(VIDEOS, SEEDS, DIFFERENCES))
    with ProcessPoolExecutor(PROCESSES) as pool:
        covered = list(pool.map(coverage, VIDEOS))
        tallies = list(pool.map(_case, cases))
    rows = [
        {"videos": n, "seeds": seeds, "difference": difference, **tally.rates()}
        for (n, seeds, difference), tally in zip(cases, tallies, strict=True)
    ]
    facts = {"machine": machine("numpy", "scipy"), "tables": TABLES, "rows": rows}
    facts["coverage"] = dict(zip(map(str, VIDEOS), covered, strict=True))
    head = ["videos, seeds a side, true difference", "found: models", "found: methods", "claim holds: models"]
    head += ["claim holds: methods", "wrong: models", "wrong: methods", "wrong: claim"]
    keys = ("models_found", "methods_found", "claim_models", "claim_methods", "false_models", "false_methods")
    lines = [[_label(row), *(_share(row, key) for key in (*keys, "false_claims"))] for row in rows]
    printed = [
        [_label(row), *(f"{row[key]:.1f}" for key in ("reproduced", "differs", "false_verdicts"))] for row in rows
    ]
    note = (
        f"For each case {TABLES} tables of 3 to 5 rows were simulated, in which the truth is known: the first row is"
        " better than all others by the true difference [points]. Videos come in groups of 4 to 7; the standard"
        " deviation between seeds is 1 point. The shares [percent] are of tables, for “found” of pairs with the first"
        " row. “Wrong” means that any pair of the table, or the claim that the first row is best, was decided with the"
        " wrong sign."
    )
    cover = markdown(
        ["95 % interval of a cell, share that covers [percent]", *(f"{n:,} videos" for n in VIDEOS)],
        [[name, *(f"{found[name]:.1f}" for found in covered)] for name in (*METHODS, "BCa and three seeds")],
    )
    tables = [note, markdown(head, lines), "The first row's cell against a printed number, margin ± 5 points:"]
    against = ["videos, seeds, true difference", "reproduced", "differs", "wrong"]
    save("verdicts", "Verdicts: power and errors", facts, [*tables, markdown(against, printed), cover], [])


def _case(case: tuple[int, int, float]) -> object:
    return simulate(case[2], case[0], case[1], TABLES)


def _label(row: dict) -> str:
    return f"{row['videos']:,}, {row['seeds']}, {row['difference']:g}"


def _share(row: dict, key: str) -> str:
    return "–" if "methods" in key and row["seeds"] < 3 else f"{row[key]:.1f}"


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
        low, high = widen(tops.mean(), 100 * low, 100 * high, tops.std(ddof=1), 3)
        hits["BCa and three seeds"] += low <= BASE <= high
    return {name: round(100 * count / tables, 1) for name, count in hits.items()}
