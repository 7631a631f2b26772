"""``docs/paper.md`` leaves out no sentence of the paper, names only what exists, and has the tables' numbers."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from mac.experiment import merge, unfold
from mac.tables import Table, parse_tables
from mac.validation import read_yaml

ROOT = Path(__file__).resolve().parent.parent
LINES = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8").splitlines()
DEFAULT = read_yaml(ROOT / "config" / "default.yaml")
VALUES = DEFAULT | read_yaml(ROOT / "config" / "catalog.yaml")
TABLES = parse_tables(read_yaml(ROOT / "config" / "tables.yaml"), "tables.yaml")
FOUND = re.compile(r"`([^`]+)`(?: = (\[\[.*?\]\]|\[.*?\]|[-\w.]*\w))?")

# How many sentences the sections of the supplementary have, and what its tables and figures print (read from its text).
SENTENCES = {1: 3, 2: 4, 3: 5, 4: 9, 5: 6, 6: 5, 7: 7, 8: 5, 9: 5, 10: 13}
PRINTED = {
    "T1": [[66.3, 32.2], [72.4, 30.9], [77.1, 36.6], [76.8, 40.0], [84.6, 53.2]],
    "T2": [[76.6], [81.2], [82.5]],
    "T3": [[82.4], [83.5]],
    "T4": [[81.5], [82.0], [84.8]],
    "T5": [[78], [84.8], [86.4], [87.8]],
    "T6": [[81.5], [82.6], [84.8], [84.1], [84.2]],
    "T7": [[82.6], [84.8], [83.4]],
    "T8": [[81.1], [84.8], [83.9]],
}


def overrides(table: Table, label: str) -> list[dict[str, Any]]:
    """What a row of a table overrides in each of its columns."""
    own = {row.label: row.set for row in table.all_rows()}[label]
    shared = (table.curve or table.supervised or table.all_rows()[0]).set if not table.rows else {}
    return [column.set | shared | own for column in table.columns]


def value_at(tree: Any, key: str) -> Any:
    """The value at a dotted key of nested mappings."""
    for part in key.split("."):
        tree = tree[part]
    return tree


def attribute(name: str) -> Any:
    """What a dotted name of the package means; modules are imported."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"no module {name}")


def as_row(name: str) -> tuple[str, str] | None:
    """Split ``TABLE: ROW``; None for anything else."""
    table, separator, label = name.partition(": ")
    return (table, label) if separator and table in TABLES else None


def named() -> Iterator[Any]:
    """List what stands in code font: its name, the value stated, and the row named before it in the same line."""
    for number, line in enumerate(LINES, 1):
        row = None
        for name, value in FOUND.findall(line):
            row = as_row(name) or row
            yield pytest.param(name, value, row, id=f"{number}-{name}")


@pytest.mark.parametrize(("name", "value", "row"), list(named()))
def test_what_the_page_names_exists_and_has_the_value_it_states(name, value, row):
    if as_row(name):
        assert row[1] in TABLES[row[0]].labels()
    elif "/" in name:
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file()
        assert not function or re.search(rf"^def {function}\(", (ROOT / path).read_text(encoding="utf-8"), re.M)
    elif ": " in name:
        key, text = name.split(": ", 1)
        assert yaml.safe_load(text) in [columns.get(key, "absent") for columns in overrides(TABLES[row[0]], row[1])]
    else:
        found = attribute(name) if name.startswith("mac.") else value_at(VALUES, name)
        assert not value or found == yaml.safe_load(value)


def test_every_key_of_the_configuration_comes_with_its_value():
    found = [pair for line in LINES for pair in FOUND.findall(line)]
    stated = [(name, value) for name, value in found if name.split(".")[0] in VALUES and ": " not in name]
    assert len(stated) > 30
    assert not [name for name, value in stated if not value]


def test_no_sentence_table_or_figure_is_left_out():
    first = [line.split("|")[1] for line in LINES if line.startswith("| ")]
    last = LINES[-1].split(":")[1]
    counted = [place for place in first if re.fullmatch(r" \d+\.\d+(, \d+\.\d+)* ", place)]
    listed = re.findall(r"(\d+)\.(\d+)", " ".join([*counted, last]))
    assert sorted((int(section), int(sentence)) for section, sentence in listed) == [
        (section, sentence) for section, count in SENTENCES.items() for sentence in range(1, count + 1)
    ]
    places = {place.strip() for place in first}
    wanted = [f"Table {number}" for number in range(1, 9)] + [f"Figure {number}, caption" for number in range(1, 5)]
    assert places.issuperset([*wanted, *(f"Algorithm 1, line {number}" for number in range(1, 5))])


def test_quoted_claims_are_the_tables():
    claims = {claim.text for table in TABLES.values() for claim in table.claims}
    quoted = re.findall(r"claim “(.+?)”(?=;|,| \|)", "\n".join(LINES))
    assert len(quoted) > 8
    assert claims.issuperset(quoted)


@pytest.mark.parametrize("table", PRINTED)
def test_the_papers_numbers_stand_in_the_tables(table):
    assert [row.printed for row in TABLES[table].rows] == PRINTED[table]
    (line,) = (line for line in LINES if line.startswith(f"| Table {table[1:]} |"))
    stated = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", line.split("|")[2])]
    assert set(stated).issuperset(number for row in PRINTED[table] for number in row)


def test_table_2_gains_what_its_arrows_say():
    (without,), (jitter,), (gray,) = (row.printed for row in TABLES["T2"].rows)
    assert [round(jitter - without, 1), round(gray - jitter, 1)] == [4.6, 1.3]


@pytest.mark.parametrize(
    ("table", "key", "values"),
    [
        ("T6", "pretrain.pretext.k", [2, 3, 4, 5, 6]),
        ("T7", "pretrain.mask.momentum", [0.1, 0.5, 1]),
        ("T8", "pretrain.mask.threshold", [10, 30, 60]),
    ],
)
def test_tables_6_to_8_vary_what_the_paper_varies(table, key, values):
    rows = [overrides(TABLES[table], row.label)[0] for row in TABLES[table].rows]
    assert [value_at(merge(DEFAULT, unfold(row)), key) for row in rows] == values
    assert all(set(row) <= {key} for row in rows)


def test_figure_1_prints_what_section_4_says():
    figure = TABLES["F1"]
    points = dict(zip(figure.curve.epochs, figure.curve.printed, strict=True))
    assert points == {0: None, 5: 85.0, 15: None, 30: None, 80: None}
    assert [reference.value for reference in figure.references] == [84.6]
