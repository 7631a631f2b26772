"""Rows from the command line: ``--set`` and ``--sweep`` as tables of a plan, as in ``tables.yaml``. No torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from mac.config import Strict
from mac.experiment import merge, parse, unfold
from mac.tables import Table, describe, on_one_line, parse_tables
from mac.validation import ConfigError, collect

SOURCE = "command line"


@dataclass(frozen=True)
class Overrides:
    """What the command line overrides of a scale's default row, by dotted key.

    ``set`` makes one row. ``sweep`` makes a table for each of its keys, with a row for each value; then ``set`` holds
    in all of these rows.
    """

    set: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, list] = field(default_factory=dict)

    @classmethod
    def from_words(cls, sets: Iterable[str], sweeps: Iterable[str]) -> "Overrides":
        """Read the words after ``--set``, ``KEY=VALUE``, and after ``--sweep``, ``KEY=VALUE,VALUE,…``.

        Raises:
            ConfigError: every word and every sweep that can't be read.
        """
        problems: list[str] = []
        texts, lists = _split("--set", sets, problems), _split("--sweep", sweeps, problems)
        if problems:
            raise ConfigError(problems)
        return cls.from_settings(texts, {key: f"[{text}]" for key, text in lists.items()})

    @classmethod
    def from_settings(cls, sets: Mapping[str, Any], sweeps: Mapping[str, Any]) -> "Overrides":
        """Read values by key, dotted or nested; text is read as YAML, because Snakemake's ``--config`` gives text.

        Raises:
            ConfigError: every value that can't be read, and every sweep that isn't one.
        """
        problems: list[str] = []
        found = cls(_flatten(sets, problems), _flatten(sweeps, problems))
        for key, values in found.sweep.items():
            if not isinstance(values, list) or len(values) < 2 or any(isinstance(value, dict) for value in values):
                way_out = "a list of two values or more is wanted, 2,3,4 after --sweep"
                problems.append(f"{key}: swept over {on_one_line(values)} — {way_out}")
            if key in found.set:
                problems.append(f"{key}: is both set and swept — do one of the two")
        if problems:
            raise ConfigError([f"{SOURCE}: {problem}" for problem in problems])
        return found

    @property
    def names(self) -> list[str]:
        """Names of the tables, ``S1`` …; none without overrides."""
        return [f"S{number}" for number in range(1, 1 + (len(self.sweep) or bool(self.set)))]

    def words(self) -> list[str]:
        """Write the overrides as a command's words."""
        sets = [("--set", f"{key}={on_one_line(value)}") for key, value in self.set.items()]
        sweeps = [("--sweep", f"{key}={on_one_line(values)[1:-1]}") for key, values in self.sweep.items()]
        return [word for pair in sets + sweeps for word in pair]

    def tables(self, tree: dict, others: Mapping[str, Table]) -> dict[str, Table]:
        """Make the tables.

        Args:
            tree: ``default.yaml`` with the scale's overrides, a valid experiment.
            others: the scale's own tables.

        Raises:
            ConfigError: every override that is unknown, not allowed or without effect.
        """
        self._check(tree, others)
        shared = {"columns": [{"label": _column(self._rows(), tree, others)}]}
        held = f", with {describe(self.set)}" if self.set else ""
        found = [
            {"title": f"Swept: {key}{held}", "sweep": {"key": key, "values": values, "set": self.set}}
            for key, values in self.sweep.items()
        ]
        row = {"label": describe(self.set), "printed": [None], "set": self.set}
        found = found or [{"title": "Set on the command line", "rows": [row]}]
        return parse_tables({name: shared | one for name, one in zip(self.names, found, strict=False)}, SOURCE)

    def _rows(self) -> list[dict[str, Any]]:
        """List what each row overrides."""
        return [{**self.set, key: value} for key, values in self.sweep.items() for value in values] or [dict(self.set)]

    def _check(self, tree: dict, others: Mapping[str, Table]) -> None:
        rows = self._rows()
        problems = [
            f"{SOURCE}: tables.yaml has a table {name}, too; rename it" for name in self.names if name in others
        ]
        for row in rows:
            with collect(problems, SOURCE):
                _trained(tree, row)
        if not problems:
            idle = [key for key in self.set if not any(_matters(key, row, tree) for row in rows)]
            why = "it is the default's value, or nothing that is trained uses it"
            problems = [f"{SOURCE}: {key}: has no effect: {why} — leave it out" for key in idle]
        if problems:
            raise ConfigError(problems)


NO_OVERRIDES = Overrides()


def _split(option: str, words: Iterable[str], problems: list[str]) -> dict[str, str]:
    """Split words into keys and the text of their values."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            problems.append(f"{option} {word}: wanted is KEY=VALUE, e.g. pretrain.mask.threshold=20")
        if key in found:
            problems.append(f"{option} {word}: {key} stands twice")
        found[key] = text
    return found


def _flatten(tree: Mapping[str, Any], problems: list[str], above: str = "") -> dict[str, Any]:
    """Write nested mappings as dotted keys, with typed values."""
    flat: dict[str, Any] = {}
    for key, written in tree.items():
        where = f"{above}{key}"
        try:
            value = _typed(written)
        except yaml.YAMLError:
            problems.append(f"{where}: found {written!r} — a value as YAML writes it is wanted")
            continue
        if written == "":
            problems.append(f"{where}: found no value — write null if that is meant")
        flat |= _flatten(value, problems, f"{where}.") if isinstance(value, dict) and value else {where: value}
    return flat


def _typed(written: Any) -> Any:
    """Read text as YAML, also in a list."""
    if isinstance(written, list):
        return [_typed(one) for one in written]
    return yaml.safe_load(written) if isinstance(written, str) else written


def _trained(tree: dict, row: dict[str, Any]) -> list[Strict | None]:
    """List what a row trains, from its pretraining to its probe, at each seed, split and label draw."""
    experiment, found = parse(merge(tree, unfold(row))), []
    for seed, split, draw in experiment.repeats:
        start = experiment.pretraining(seed, split)
        finetuning = experiment.finetuning(seed, split, "pretrained", start.identify(), start.optimiser.epochs, draw)
        found += [finetuning, experiment.probing(finetuning)]
    return found


def _matters(key: str, row: dict[str, Any], tree: dict) -> bool:
    """Whether a row would train something else without one of its overrides, or couldn't do without it."""
    try:
        return _trained(tree, row) != _trained(tree, {other: value for other, value in row.items() if other != key})
    except ConfigError:
        return True


def _column(rows: list[dict[str, Any]], tree: dict, others: Mapping[str, Table]) -> str:
    """Name the data set that rows are tested on as the scale's own tables do."""
    default, key = tree["finetune"]["dataset"], "finetune.dataset"
    names = {column.set.get(key, default): column.label for table in others.values() for column in table.columns}
    tested = {row.get(key, default) for row in rows}
    return names.get(*tested, *tested) if len(tested) == 1 else "each row's data set"
