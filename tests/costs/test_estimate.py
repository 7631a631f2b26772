"""Estimates against what runs took, against torch's own counts, and against each other."""

import json
from types import SimpleNamespace

import pytest
import torch
import yaml

from mac import plan
from mac.costs import estimate, text, throughput
from mac.costs.text import reckon
from mac.costs.throughput import count_operations, kinds_of
from mac.experiment import merge
from mac.methods import method_of
from mac.report.pages import cost
from mac.validation import ConfigError, read_yaml

CPU, H100, H200 = "CPU (x86_64)", "NVIDIA H100 80GB HBM3", "NVIDIA H200"
TRAINING_RATE, TEST_RATE = 40.0, 200.0  # clips a second of the pretend device, whatever it trains


def by_stage(costs, device, column="hours"):
    return costs.hours[device].groupby("stage")[column].sum().to_dict()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def lines(*events):
    return "".join(json.dumps(event) + "\n" for event in events)


@pytest.fixture
def finished(root, tmp_path):
    """A results folder as a whole demo leaves it, and the hours its runs took by stage."""
    planned, results = plan.load(root / "config", "demo"), tmp_path / "results"
    sizes, took = estimate.sizes(planned, root / "config"), dict.fromkeys(("pretrain", "finetune", "test"), 0.0)

    def leave(run, config, metrics, journal, trained, epochs, tested=0):
        seconds, took_test = trained / TRAINING_RATE, tested / TEST_RATE
        write(run / "config.yaml", yaml.safe_dump(config.canonical()))
        events = [{"event": "metrics", "time": 9.0, "epoch": e, "clips_per_second": TRAINING_RATE} for e in epochs]
        write(run / journal, lines(*events, {"event": "end", "time": 9.0 + took_test}))
        found = {"device": CPU, "seconds": seconds + took_test, "videos": tested // 2}  # two clips a video
        write(run / metrics, found)
        return seconds / 3600

    for run_id, p in planned.pretrainings.items():
        (videos, held_out), batch, before = sizes[p.config.store.dataset.identify()].sides[1], 16, 0
        for epoch in sorted(p.epochs):
            clips, run = (epoch - before) * (videos // batch) * batch, results / "pretrain" / run_id
            names = (f"epoch_{epoch}.json", f"epoch_{epoch}.jsonl")
            took["pretrain"] += leave(run, p.config, *names, clips, range(before + 1, epoch + 1))
            before = epoch
        took["test"] += len(p.epochs) * held_out / TEST_RATE / 3600
    for run_id, f in planned.finetunings.items():
        tested = sizes[f.config.store.dataset.identify()].sides[1][1] * f.config.evaluate.num_clips
        clips = f.config.optimiser.epochs * (100 // 16) * 16  # ten videos of each of ten classes
        run = results / "finetune" / run_id
        took["finetune"] += leave(run, f.config, "metrics.json", "journal.jsonl", clips, [30], tested)
        took["test"] += tested / TEST_RATE / 3600
    return planned, results, took


def cost_of(planned, results, **metrics):
    """What a report says that results with these metrics took."""
    return cost(SimpleNamespace(plan=planned, metrics={"pretrain": {}, "finetune": {}, "probe": {}} | metrics), results)


def test_the_demos_estimate_is_what_its_runs_took(root, finished):
    planned, results, took = finished
    costs = reckon(root / "config", "demo", results=results)
    assert by_stage(costs, CPU) == pytest.approx(took, rel=1e-6)
    assert not costs.hours[CPU]["left"].any()
    assert set(costs.hours[CPU]["source"]) == {"own runs"}
    metrics = {(p.parent.name, p.stem): json.loads(p.read_text()) for p in results.glob("pretrain/*/epoch_*.json")}
    tested = {p.parent.name: json.loads(p.read_text()) for p in results.glob("finetune/*/metrics.json")}
    entries = cost_of(planned, results, pretrain=metrics, finetune=tested)
    assert float(entries["wall hours"]["pretraining"]) == pytest.approx(took["pretrain"], abs=0.005)
    assert (entries["runs"]["pretraining"], entries["devices"]["pretraining"]) == (22, f"{CPU} (25 jobs)")
    assert entries["devices"]["finetuning"] == f"{CPU} (27 jobs)"


def test_what_is_done_is_subtracted(root, finished):
    planned, results, took = finished
    run_id = next(i for i, p in planned.pretrainings.items() if len(p.epochs) > 1)
    *_, kept, lost, last = sorted(planned.pretrainings[run_id].epochs)
    for epoch in (lost, last):
        (results / "pretrain" / run_id / f"epoch_{epoch}.json").unlink()
    gone, running = list(planned.finetunings)[-2:]
    epochs = planned.finetunings[running].config.optimiser.epochs
    for finetuning in (gone, running):
        (results / "finetune" / finetuning / "metrics.json").unlink()
    events = [{"event": "metrics", "epoch": e} for e in (1, 2, 3)]  # the third is not saved: a crash may undo it
    journal = lines(*events[:2], {"event": "saved"}, events[2])
    write(results / "finetune" / running / "running" / "journal.jsonl", journal)
    costs = reckon(root / "config", "demo", results=results)
    states = costs.work.drop_duplicates("run").set_index("run")["state"]
    assert (states[run_id], states[gone], states[running]) == (
        f"epoch {kept} of {last}",
        "open",
        f"epoch 2 of {epochs}",
    )
    left = by_stage(costs, CPU, "left")
    clips = costs.work[(costs.work["run"] == run_id) & (costs.work["stage"] == "pretrain")]["clips"].sum()
    assert left["pretrain"] == pytest.approx(clips * (last - kept) / last / TRAINING_RATE / 3600)
    assert left["finetune"] == pytest.approx(took["finetune"] / 27 * (1 + (epochs - 2) / epochs))


def test_a_test_that_began_anew_says_nothing_of_speed(finished):
    _, results, _ = finished
    before = len(throughput.own_rates(results))
    path = next(results.glob("finetune/*/journal.jsonl"))
    end = path.read_text().splitlines()[-1]
    path.write_text(path.read_text().replace(end, json.dumps({"event": "continued", "time": 9.5}) + "\n" + end))
    assert len(throughput.own_rates(results)) == before - 1
    path.write_text("[")
    assert len(throughput.own_rates(results)) == before - 2


def test_several_devices_share_the_hours(finished):
    planned, results, _ = finished
    run_id, p = next(iter(planned.pretrainings.items()))
    final = {"device": "4 × NVIDIA X", "seconds": 3600}
    write(results / "pretrain" / run_id / f"epoch_{max(p.epochs)}.json", final)
    rates = {o.device: o.clips_per_second for o in throughput.own_rates(results)}
    assert rates["NVIDIA X"] == pytest.approx(TRAINING_RATE / 4)
    found = cost_of(planned, results, pretrain={(run_id, 1): final}).loc["pretraining"]
    assert (found["device hours"], found["wall hours"], found["runs"]) == ("4.00", "1.00", 1)


def test_twice_the_epochs_take_twice_the_hours(folder):
    once = by_stage(reckon(folder, "paper"), H100)
    path = folder / "scales" / "paper.yaml"
    path.write_text(yaml.safe_dump(merge(read_yaml(path), {"finetune": {"optimiser": {"epochs": 300}}})))
    assert by_stage(reckon(folder, "paper"), H100) == pytest.approx(once | {"finetune": 2 * once["finetune"]})


def test_a_contrast_costs_what_its_passes_are(root):
    """Forward and backward (3) of each trained view, forward (1) of each key."""
    passes = {}
    for scale in ("paper", "demo"):
        pretrainings = plan.load(root / "config", scale).pretrainings.values()
        passes |= {(scale, use): method_of(p.config).passes for p in pretrainings for use in p.used_by}
    assert passes["paper", "T2: MAC-S-2"] == 3
    assert passes["paper", "T4: Cross-entropy"] == 8
    assert passes["demo", "T4: Cross-entropy"] == 4  # one direction
    assert passes["demo", "F2-F4: Supervised pretraining"] == 3


def test_a_supervised_pretraining_trains_on_one_view_whatever_its_section_contrast_says(root):
    paper, demo = (plan.load(root / "config", scale).pretrainings.values() for scale in ("paper", "demo"))
    symmetric = next(p.config.contrast for p in paper if p.config.contrast and p.config.contrast.symmetric)
    config = next(p.config for p in demo if p.config.task == "supervised")
    method = method_of(config.model_copy(update={"contrast": symmetric}))
    assert method.passes == 3


def test_work_is_counted_from_the_official_lists(root):
    work, planned = reckon(root / "config", "paper").work, plan.load(root / "config", "paper")
    uses = {use: i for i, p in planned.pretrainings.items() for use in p.used_by}
    ours, curve = (work[work["run"] == uses[use]].iloc[0] for use in ("T4: Cross-entropy", "F1: checkpoint 1"))
    assert (ours["steps"], ours["clips"]) == (300 * 298, 300 * 298 * 32)  # 9,537 videos: 298 whole batches of 32
    assert curve["steps"] == 80 * 7500
    tests = work[(work["stage"] == "test") & work["run"].isin(list(planned.finetunings))]
    assert set(tests["clips"]) == {37830, 15300}
    small = reckon(root / "config", "ucf101-21").work
    assert set(small[small["stage"] == "probe"]["clips"]) == {(1342 + 533) * 10, (129 + 55) * 10}


@pytest.mark.parametrize(("scale", "classes", "epochs"), [("ucf101-21", 21, 24), ("paper", 101, 150)])
def test_ten_labels_a_class_are_priced_as_such(folder, scale, classes, epochs):
    (folder / "scales" / f"{scale}.yaml").write_text(
        yaml.safe_dump(merge(read_yaml(folder / "scales" / f"{scale}.yaml"), {"tables": {"X3": {}}}))
    )
    planned, work = plan.load(folder, scale), reckon(folder, scale).work.set_index(["run", "stage"])
    cell = next(cell for cell in planned.tables["X3"].rows[0].cells if "ten labels" in cell.column)
    assert {work.loc[(i, "finetune"), "clips"] for i in cell.runs} == {10 * classes // 32 * 32 * epochs}


def test_data_may_be_generated_under_any_name(root):
    planned = plan.load(root / "config", "smoke")
    dataset_id, dataset = next(iter(planned.datasets.items()))
    planned.datasets[dataset_id] = dataset.model_copy(update={"name": "mine"})
    found = estimate.sizes(planned, root / "config")[dataset_id]
    assert set(found.sides) == set(dataset.splits)
    assert all(sum(sides) == pytest.approx(18, abs=1) for sides in found.sides.values())
    planned.datasets[dataset_id] = dataset.model_copy(update={"name": "mine", "synthetic": None})
    with pytest.raises(ConfigError, match="mine: how many videos each split has is not said"):
        estimate.sizes(planned, root / "config")


def test_an_index_is_counted_where_there_is_one(root, tmp_path):
    import pandas as pd

    planned = plan.load(root / "config", "smoke")
    dataset_id, dataset = next(iter(planned.datasets.items()))
    rows = [("ok", 9, "train"), ("ok", 8, "test"), ("ok", 7, "train"), ("damaged", 6, "train")]
    table = pd.DataFrame(rows, columns=["status", "num_frames", "split_1"])
    table = table.assign(label_index=[0, 0, 1, 2], **{f"split_{split}": table["split_1"] for split in dataset.splits})
    (tmp_path / "dataset" / dataset_id).mkdir(parents=True)
    table.to_parquet(tmp_path / "dataset" / dataset_id / "index.parquet")
    found = estimate.sizes(planned, root / "config", tmp_path)[dataset_id]
    assert (found.sides[1], found.frames, found.classes, found.origin) == ((2, 1), 24, 2, "index")


def measurement(**changes):
    base = {"device": "A", "stage": "finetune", "backbone": "r2plus1d_18", "width": 64, "num_frames": 16, "size": 112}
    base |= {"precision": "tf32", "passes": 3, "batch": 32, "threads": 1, "clips_per_second": 12.0}
    return base | {"date": "2026-11-22", "where": "here"} | changes


def listed(path, *measured):
    frames = [{"width": 1, "height": 1, "bytes": 1, "clips_per_core_second": 100.0}]
    write(path, yaml.safe_dump({"measured": [*measured], "assumed": [], "frames": frames, "seconds_per_wait": 1e-4}))
    return throughput.load(path)


def pace(device, kind, listed, own=()):
    return throughput.pace(device, kind, [*own, *throughput.measurements(listed)], listed)


def test_sources_give_way_in_order(root, tmp_path):
    ours = next(
        p.config for p in plan.load(root / "config", "paper").pretrainings.values() if method_of(p.config).passes == 8
    )
    kind, path = kinds_of(ours)[0], tmp_path / "list.yaml"
    other = measurement(stage="test", backbone="r3d_18", passes=1)
    nearest = measurement(backbone=kind.backbone, channels=kind.channels)
    scaled = pace("A", kind, listed(path, other, nearest))
    assert scaled == (pytest.approx(8 / 3 / 12), 0.0, "scaled")
    exact = listed(path, measurement(), measurement(
        stage="pretrain", backbone=kind.backbone, channels=kind.channels, passes=8, clips_per_second=5.0))  # fmt: skip
    assert pace("A", kind, exact).source == "measured"
    own = [throughput.Observed("own runs", "A", kind, 7.0)]
    assert pace("A", kind, exact, own) == (1 / 7, 0.0, "own runs")
    assert pace("B", kind, exact, own) is None
    assert pace("A", kind, listed(path, measurement(precision="bf16"))) is None


def test_gpus_that_share_a_training_wait_for_each_other(folder):
    """Four GPUs wait at each of 37, 21 or 20 normalisations: forward and backward of each view, forward of each key."""
    one, four = (reckon(folder, "paper", gpus_per_run=n, device=H200) for n in (1, 4))
    waits = {8: 6, 4: 3, 3: 2, 1: 0}
    layers = {"r2plus1d_18": 37, "r2plus1d_10": 21, "r3d_18": 20}
    expected = dict.fromkeys(("pretrain", "finetune", "test"), 0.0)
    for row in one.work.itertuples():
        expected[row.stage] += 4 * 1e-4 * row.steps * layers[row.kind.backbone] * waits[row.kind.passes] / 3600
    more = {stage: hours - by_stage(one, H200)[stage] for stage, hours in by_stage(four, H200).items()}
    assert more == pytest.approx(expected)


def test_the_full_network_is_the_published_size():
    assert count_operations("r2plus1d_18", 64, "torchvision", 16, 112) == pytest.approx(2 * 40.5e9, rel=0.05)


def test_what_nobody_measured_is_called_assumed(root):
    found = throughput.load(root / "config" / "throughput.yaml")
    config = next(iter(plan.load(root / "config", "paper").finetunings.values())).config
    assert pace(H100, kinds_of(config)[0], found).source == "assumed"
    assert "not measured" in throughput.SOURCES["assumed"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"clips_per_second": "fast"}, "list.yaml: measured.0.clips_per_second"), ({"date": "today"}, "measured.0.date")],
)
def test_a_wrong_list_says_where(tmp_path, change, problem):
    with pytest.raises(ConfigError, match=problem):
        listed(tmp_path / "list.yaml", measurement(**change))


def test_a_device_that_nothing_is_known_of_is_refused_with_those_that_are_known(root):
    with pytest.raises(ConfigError, match="--device toaster: nothing is known of it. Known: NVIDIA H200"):
        reckon(root / "config", "paper", device="toaster")


def test_states_weigh_what_torch_writes(root, tmp_path):
    """To five percent: heads and projectors are left out."""
    from mac.methods.learner import Learner
    from mac.training import checkpoint
    from mac.training.trainer import build_optimiser

    for p in plan.load(root / "config", "ucf101-21-cpu").pretrainings.values():
        config, o = p.config, p.config.optimiser
        learner = Learner(config, torch.arange(21).numpy(), torch.device("cpu"))
        optimiser = build_optimiser(learner.trained, o.name, o.lr, o.sgd_momentum, o.weight_decay)
        for parameter in learner.trained:
            parameter.grad = torch.zeros_like(parameter)
        optimiser.step()
        torch.save({"learner": learner.state_dict(), "optimiser": optimiser.state_dict()}, tmp_path / "state.pt")
        assert estimate.state_bytes(config) == pytest.approx((tmp_path / "state.pt").stat().st_size, rel=0.05)
        checkpoint.save_weights(tmp_path / "b.safetensors", learner.backbone, {})
        assert estimate.backbone_bytes(config) == pytest.approx((tmp_path / "b.safetensors").stat().st_size, rel=0.05)


def test_the_text_has_runs_shares_and_totals(root, finished):
    _, results, _ = finished
    costs = reckon(root / "config", "demo", results=results, device="cpu")
    found = text.write(costs)
    assert "22 pretrainings (25 jobs):" in found
    assert "T1: MAC-SC-2; T4: Cross-entropy; T6: k = 4; T7: m = 0.5; T8: λ = 30" in found
    assert H100 not in found
    content = json.loads(text.write_json(costs))
    assert all(run["finished"] for run in content["runs"].values())
    assert {hours["stage"] for hours in content["device_hours"][CPU]} == {"pretrain", "finetune", "test"}


def test_a_scale_of_one_seed_says_what_three_seeds_take_in_addition(root):
    costs, whole = (reckon(root / "config", scale, device=H200) for scale in ("paper", "paper-3-seeds"))
    line = next(line for line in text.write(costs).splitlines() if "three trainings a side" in line)
    assert "(scale paper-3-seeds): 42 more pretrainings and 54 more finetunings; device hours: " in line
    more = json.loads(text.write_json(costs))["three_seeds"]
    assert more["device_hours"] == {H200: pytest.approx(sum(by_stage(whole, H200).values()) * 2 / 3)}  # of three seeds
    assert line.endswith(f": {more['device_hours'][H200]:.0f} on {H200}.")


def test_what_is_done_of_three_seeds_is_no_more_to_be_done(folder, tmp_path):
    tree = read_yaml(folder / "scales" / "smoke.yaml")
    write(folder / "scales" / "smoke-3-seeds.yaml", yaml.safe_dump(tree | {"seeds": [1, 2, 3]}))
    before = json.loads(text.write_json(reckon(folder, "smoke", results=tmp_path)))["three_seeds"]
    for seed in (1, 2):  # the first seed is no addition
        planned = plan.load(folder, "smoke-3-seeds").finetunings
        run_id = next(i for i, f in planned.items() if f.config.seed == seed and f.config.initial == "random")
        write(tmp_path / "finetune" / run_id / "metrics.json", {})
    after = json.loads(text.write_json(reckon(folder, "smoke", results=tmp_path)))["three_seeds"]
    hours = [more.pop("device_hours") for more in (before, after)]
    assert after == before | {"finetunings": before["finetunings"] - 1}
    assert hours[1][H100] < hours[0][H100]
    assert hours[1][H200] is None  # nothing is known of so small a network there
    assert f"; device hours: ? on {H200}, " in text.write(reckon(folder, "smoke"))


@pytest.mark.parametrize("scale", ["paper-3-seeds", "paper-3-splits", "paper"])
def test_no_word_of_three_seeds_where_they_are_planned_or_no_scale_has_them(folder, scale):
    if scale == "paper":
        (folder / "scales" / "paper-3-seeds.yaml").unlink()
    costs = reckon(folder, scale, device=H200)
    assert "three trainings a side" not in text.write(costs)
    assert json.loads(text.write_json(costs))["three_seeds"] is None


def test_nothing_known_is_a_question_mark_not_a_number(root):
    costs = reckon(root / "config", "demo", device=H200)
    row = next(line for line in text.write(costs).splitlines() if H200 in line)
    assert row.split()[2:] == ["?"] * 4
    assert {h["total"] for h in json.loads(text.write_json(costs))["device_hours"][H200]} == {None}
