"""The table of stages, and that what goes through all stages follows from it."""

from types import SimpleNamespace

import pytest

from mac import leftovers, plan
from mac.config import StoreConfig
from mac.pipeline import STAGES, Stage, configs_of, files_of, results_of
from mac.runtime.atomic import write_json


def test_a_plan_holds_every_run_under_its_stage_and_id(root):
    planned = plan.load(root / "config", "smoke")
    for stage, configs in configs_of(planned).items():
        assert configs
        for run_id, config in configs.items():
            assert type(config) is STAGES[stage].config
            assert config.identify() == run_id
    epochs = sum(len(pretraining.epochs) for pretraining in planned.pretrainings.values())
    results = list(results_of(planned))
    assert len(results) == len(set(results)) == epochs + len(planned.finetunings) + len(planned.probes)


@pytest.mark.parametrize(("result", "files"), [
    ("pretrain/0123456789/epoch_3", ["epoch_3.jsonl", "epoch_3.json"]),
    ("finetune/0123456789", ["predictions.parquet", "journal.jsonl", "metrics.json"]),
])  # fmt: skip
def test_a_result_names_its_small_files(result, files):
    assert [name.split("0123456789/")[1] for name in files_of(result)] == files


def test_a_new_stage_is_an_entry_of_the_table(root, tmp_path, monkeypatch):
    monkeypatch.setitem(STAGES, "dummy", Stage(StoreConfig, "dummies", "dummies", {"out": "dummy.json"}))
    planned = plan.load(root / "config", "smoke")
    planned.dummies = planned.stores
    assert configs_of(planned)["dummy"] == planned.stores
    run_id = "0123456789"
    write_json(tmp_path / "dummy" / run_id / "dummy.json", {})
    empty = SimpleNamespace(**{stage.plan: {} for stage in STAGES.values()})
    listed, kept = leftovers.find(leftovers.Folder(tmp_path), [empty])
    assert [one.name for one in listed] == [f"dummy/{run_id}"]
    assert not kept
