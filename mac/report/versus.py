"""Two runs or rows side by side: how their configurations differ, and by how much their numbers do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mac import run_ids
from mac.config import FinetuneConfig, PretrainConfig, ProbeConfig, read_config
from mac.pipeline import STAGES, runs_of
from mac.plan import Cell, Plan, collect_data
from mac.planned import Finetuning, Pretraining, Probing
from mac.report.comparisons import CONTRADICTED, HOLDS, TOO_FEW, UNDECIDED, decide, paired
from mac.report.provenance import Change, differences
from mac.report.reading import from_folder
from mac.report.results import Results
from mac.report.texts import digits, interval_text, p_text, points_text
from mac.validation import nearest

COMPARED = ("pretrain", "finetune", "probe")
MEASURES = {"finetune": "top-1 after finetuning", "probe": "top-1 of a linear probe", "recall@1": "recall@1"}
Config = PretrainConfig | FinetuneConfig | ProbeConfig


class VersusError(Exception):
    """There is nothing to compare; the message says why, and what can be compared."""


@dataclass(frozen=True)
class Side:
    """A run or row: its full name, its cells (a pretraining has none), and its runs' configurations by id."""

    name: str
    cells: tuple[Cell, ...]
    configs: dict[str, Config]


class Versus:
    """Compares runs and rows of a results folder."""

    def __init__(self, results: Path, plans: list[Plan]) -> None:
        """Take the results folder and the plans that name rows, those of the scale first."""
        self._results, self._plans = results, plans

    def side(self, text: str) -> Side:
        """Find a run by (the beginning of) its id, or a row by ``TABLE: ROW``.

        Raises:
            VersusError: there is no such row.
            mac.run_ids.UnknownRunError: there is no such run, or several.
        """
        if ":" in text:
            return self._row(text)
        run = run_ids.complete(text, ["/".join(one) for one in self._runs()], str(self._results))
        stage, run_id = run.split("/")
        cells = () if stage == "pretrain" else (Cell(stage, None, (run_id,), stage),)
        rows = next(
            (runs_of(plan, stage)[run_id].used_by for plan in self._plans if run_id in runs_of(plan, stage)), []
        )
        name = f"{run} ({'; '.join(rows)})" if rows else run
        return Side(name, cells, {run_id: self._config(stage, run_id)})

    def changes(self, first: Side, second: Side) -> list[Change]:
        """List every value that the two have otherwise, those of the pretrainings that they start from included.

        Rows are compared at a seed and split that both have, else at the first of each.

        Raises:
            VersusError: they are of different stages.
        """
        pairs = [(a, b) for a in first.configs.values() for b in second.configs.values() if type(a) is type(b)]
        if not pairs:
            found = f"{first.name} and {second.name} are of different stages"
            raise VersusError(f"{found} — compare two pretrainings, two finetunings, two probes, or two rows")
        same = ("seed", "split", "label_draw")
        alike = [(a, b) for a, b in pairs if all(getattr(a, key, None) == getattr(b, key, None) for key in same)]
        one, other = (alike or pairs)[0]
        return list(differences("", self._tree(one), self._tree(other), into_data=True))

    def numbers(self, first: Side, second: Side) -> Iterator[str]:
        """Compare the numbers that both have of the same data set, as the report compares rows."""
        results = Results(self._small_plan(first, second), from_folder(self._results))
        pairs = [(a, b) for a in first.cells for b in second.cells if self._are_alike(first, a, second, b)]
        if not pairs and first.cells and second.cells:
            yield "They have no number of the same kind on the same data set and split."
        for ours, theirs in pairs:
            config = first.configs[ours.runs[0]]
            yield f"{MEASURES[ours.measure]} on {config.store.dataset.name}:"
            yield from (f"  {line}" for line in _compare(results, ours, theirs))

    def _are_alike(self, first: Side, ours: Cell, second: Side, theirs: Cell) -> bool:
        """Whether two cells measure the same on the same data set, on a split that both have."""
        one, other = ([side.configs[i] for i in cell.runs] for side, cell in ((first, ours), (second, theirs)))
        same_data = one[0].store.dataset == other[0].store.dataset
        return ours.measure == theirs.measure and same_data and bool({c.split for c in one} & {c.split for c in other})

    def _runs(self) -> Iterator[tuple[str, str]]:
        """Stage and id of every run that the scale plans or the results folder has a configuration of."""
        for stage in COMPARED:
            planned = dict.fromkeys(runs_of(self._plans[0], stage))
            there = {path.parent.name: None for path in sorted(self._results.glob(f"{stage}/*/config.yaml"))}
            yield from ((stage, i) for i in planned | there)

    def _config(self, stage: str, run_id: str) -> Config:
        for plan in self._plans:
            if run := runs_of(plan, stage).get(run_id):
                return run.config
        return read_config(self._results / stage / run_id / "config.yaml", STAGES[stage].config)

    def _row(self, text: str) -> Side:
        known = {}
        for plan in reversed(self._plans):  # the scale's own rows count most
            known |= {name: (plan, row) for name, row in plan.rows.items()}
        if text not in known:
            own = [name for name, (plan, _) in known.items() if plan is self._plans[0]]
            raise VersusError(f"{text}: no such row that trains, in no scale{nearest(text, own)}")
        plan, row = known[text]
        cells = tuple(cell for cell in row.cells if cell.runs)
        configs = {i: plan.tested[i].config for cell in cells for i in cell.runs}
        return Side(f"{text}, of scale {plan.scale}", cells, configs)

    def _tree(self, config: Config) -> dict:
        """A run's whole configuration; the pretraining's, which it starts from, stands under ``pretrain``."""
        tree = config.canonical()
        if start := tree.pop("pretrain_id", None):
            tree["pretrain"] = self._config("pretrain", start).canonical()
        return tree

    def _small_plan(self, *sides: Side) -> Plan:
        """A plan of nothing but what is compared: other runs' problems have no part in it."""
        plan = Plan(self._plans[0].scale, self._plans[0].experiment)
        for run_id, config in (item for side in sides for item in side.configs.items()):
            if isinstance(config, PretrainConfig):
                continue
            if isinstance(config, FinetuneConfig):
                plan.finetunings[run_id] = Finetuning(config)
            else:
                plan.probes[run_id] = Probing(config)
            if start := config.pretrain_id:
                one = plan.pretrainings.setdefault(start, Pretraining(self._config("pretrain", start)))
                one.epochs.add(config.epoch)
        collect_data(plan)
        return plan


def _compare(results: Results, ours: Cell, theirs: Cell) -> Iterator[str]:
    for name, cell in (("A", ours), ("B", theirs)):
        score = results.score(cell)
        if score is None:
            yield f"{name}: {'; '.join(results.reasons(cell)) or 'no result yet'}"
            continue
        runs = f", {score.runs} of {score.planned} runs" if score.planned > 1 else ""
        yield f"{name}: {' '.join(digits(score))} %{runs}, {score.videos} test videos in {score.groups} source groups"
    samples = [results.samples(cell) for cell in (ours, theirs)]
    if not all(samples):
        return
    if (difference := paired(*samples)) is None:
        yield "They were tested on different videos: no paired difference."
        return
    (decision,) = decide([[difference]])
    better = {HOLDS: "A is better", CONTRADICTED: "B is better", UNDECIDED: UNDECIDED}
    exact = difference.mcnemar_p()
    mcnemar = "" if exact is None else f", McNemar's {p_text(exact)}"
    interval = interval_text(*difference.interval())
    yield f"A less B: {points_text(difference.estimate)} points, 95 % interval {interval} over source groups"
    tests = f"p over source groups {p_text(decision.clustered[0])}{mcnemar}"
    yield f"these trained models: {better[decision.models]} ({tests})"
    if difference.speaks_of_methods:
        of_methods = interval_text(*difference.interval(of_methods=True))
        yield f"the method: {better[decision.methods]} ({of_methods}, p {p_text(decision.methods_p)})"
    else:
        wanted = difference.wanted(results.plan.experiment.verdicts.seed_sd)
        yield f"the method: {TOO_FEW}; {wanted}"


def write(versus: Versus, first: Side, second: Side) -> str:
    """Write a comparison for a terminal."""
    lines = [f"A: {first.name}", f"B: {second.name}", ""]
    if changes := versus.changes(first, second):
        table = pd.DataFrame(changes, columns=["configuration", "A", "B"])
        lines += table.to_markdown(index=False, tablefmt="simple", disable_numparse=True).splitlines()
    else:
        lines.append("Their configurations are the same.")
    if numbers := list(versus.numbers(first, second)):
        lines += ["", *numbers]
        lines += ["", "As the report computes it; there p is also corrected for the number of comparisons of a table."]
    return "\n".join(lines)
