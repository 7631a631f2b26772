"""Where numbers come from: a row's differences are what tables.yaml sets."""

from mac.report.provenance import changes
from mac.validation import read_yaml


def keys_of(row, columns):
    """What a row of tables.yaml overrides, as the page names it."""
    overridden = row.get("set", {}) | columns[0].get("set", {})
    return {
        {"finetune.dataset": "store.dataset", "pretrain.dataset": "pretrain.store.dataset"}.get(k, k)
        for k in overridden
    }


def test_a_row_differs_from_the_default_in_what_it_sets_and_nothing_else(root, demo):
    written = read_yaml(root / "config" / "tables.yaml")
    checked = 0
    for name, table in demo.tables.items():
        rows = {row["label"]: row for row in written[name].get("rows", [])}
        for row in table.rows:
            if row.label not in rows or row.cited:
                continue
            found = {change.key for change in changes(demo, row.cells[0].finetunes[0])} - {"pretrain.boxes"}
            assert found == keys_of(rows[row.label], written[name]["columns"]), row.label
            checked += 1
    assert checked == 24


def test_a_change_names_both_values(demo):
    (change,) = changes(demo, demo.tables["T7"].rows[0].cells[0].finetunes[0])
    assert (change.key, change.default, change.here) == ("pretrain.mask.momentum", "0.5", "0.1")


def test_a_curves_point_names_its_epoch(demo):
    found = {change.key: change.here for change in changes(demo, demo.tables["F1"].rows[1].cells[0].finetunes[0])}
    assert found == {"pretrain.store.dataset": "kinetics400 (embedded)", "epoch of the checkpoint": "1"}
