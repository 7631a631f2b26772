"""A cell against the printed number, which is itself one run's on some thousand videos."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mac.experiment import VerdictSettings
from mac.plan import Cell
from mac.report.differences import Difference, between
from mac.report.measured_on import why_incomparable
from mac.report.needed import would_decide
from mac.report.results import Results
from mac.report.scores import Sample

REPRODUCED, DIFFERS, UNDECIDED, OPEN = "reproduced", "differs", "undecided", "open"
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Verdict:
    """What can be said, in a word and in a sentence."""

    outcome: str
    text: str


def against_printed(cell: Cell, results: Results) -> Verdict:
    """Judge whether a printed number is reproduced.

    The interval of measured − printed counts both sides' test videos (the printed number's with the same clustering
    as ours) and both sides' training seeds: ours as measured if there are three or more, else, like the printed
    number's, as ``verdicts.seed_sd`` says. Reproduced: it lies within ± ``verdicts.margin``. Differs: it lies outside.
    """
    if not cell.finetunes:
        return Verdict(NOT_COMPARABLE, "only cited: nothing was run")
    if cell.printed is None:
        return Verdict(NOT_COMPARABLE, "no number is printed")
    if reason := why_incomparable(cell.finetunes, results.plan):
        return Verdict(NOT_COMPARABLE, reason)
    samples = list(results.samples(cell).values())
    if not samples:
        return Verdict(OPEN, "; ".join(results.reasons(cell)) or "not run yet")
    return judge(samples, cell.printed, results.plan.experiment.verdicts)


def judge(samples: Sequence[Sample], printed: float, settings: VerdictSettings) -> Verdict:
    """Judge one cell's runs, a sample a split, against a printed number [percent]."""
    difference = against_number(samples, printed, settings)
    low, high = difference.methods_interval()
    text = f"{difference.estimate:+.1f} [{low:+.1f}, {high:+.1f}] points, margin ± {settings.margin:g}"
    if -settings.margin <= low and high <= settings.margin:
        return Verdict(REPRODUCED, text)
    if low > settings.margin or high < -settings.margin:
        return Verdict(DIFFERS, text)
    gap = abs(abs(difference.estimate) - settings.margin)
    fixed = difference.other_video + settings.seed_sd**2
    own = difference.video_variance - difference.other_video
    videos = sum(part.right.shape[1] for part in samples)
    done = difference.seeds if difference.speaks_of_methods else 0
    wanted = would_decide(gap, own, videos, difference.per_seed(settings.seed_sd), 1, fixed, done)
    return Verdict(UNDECIDED, f"{text}; {wanted}")


def against_number(samples: Sequence[Sample], number: float, settings: VerdictSettings) -> Difference:
    """Take the difference from a number somebody measured in one run on the same test videos.

    Args:
        samples: of one cell, a sample a split.
        number: top-1 [percent]. Its videos are taken to cluster as ours do: its binomial variance is multiplied by the
            ratio of our clustered to our binomial variance (at least 1).
        settings: the seed spread it is taken to have, and ours where fewer than three seeds were run.
    """
    own = between(samples)
    videos = sum(part.right.shape[1] for part in samples)
    binomial = own.estimate * (100 - own.estimate) / videos
    design = max(own.video_variance / binomial, 1.0) if binomial else 1.0
    theirs = videos / len(samples)  # it is of one split, like every printed number
    found = own.against(number, design * number * (100 - number) / theirs, settings.seed_sd)
    if found.speaks_of_methods:
        return found
    runs = sum(len(part.right) for part in samples)
    return replace(found, seed_parts=(), other_seed=found.other_seed + settings.seed_sd**2 / runs)
