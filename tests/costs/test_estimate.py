"""Estimates against what runs took, against counts made otherwise, and against each other."""

import argparse
import json
import shutil
from types import SimpleNamespace

import pytest
import yaml

from mac import plan
from mac.commands import costing
from mac.costs import disk, throughput
from mac.costs.estimate import hours
from mac.costs.sizes import Sizes
from mac.costs.work import kinds_of, passes_of, states
from mac.experiment import merge
from mac.report.provenance import spent
from mac.validation import ConfigError, read_yaml

CPU, H100 = "CPU (x86_64)", "NVIDIA H100 80GB HBM3"
TRAINING_RATE, TEST_RATE = 40.0, 200.0  # clips a second of the pretend device, whatever it trains


@pytest.fixture
def folder(root, tmp_path):
    return shutil.copytree(root / "config", tmp_path / "config")


def override(folder, scale, tree):
    path = folder / "scales" / f"{scale}.yaml"
    path.write_text(yaml.safe_dump(merge(read_yaml(path), tree), allow_unicode=True))


def reckon(folder, scale, results=None, device=None, gpus_per_run=1):
    arguments = argparse.Namespace(
        config_dir=folder, scale=scale, results=results, device=device, json=False, gpus_per_run=gpus_per_run
    )
    return costing.reckon(arguments)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def lines(*events):
    return "".join(json.dumps(event) + "\n" for event in events)


def leave_pretraining(results, run_id, pretraining, videos, epochs, device=CPU):
    """The files of a pretraining finished at some epochs; returns its seconds."""
    write(results / "pretrain" / run_id / "config.yaml", yaml.safe_dump(pretraining.config.canonical()))
    batch, before, total = pretraining.config.optimiser.batch_size, 0, 0.0
    for epoch in epochs:
        seconds = (epoch - before) * (videos // batch) * batch / TRAINING_RATE
        events = [{"event": "metrics", "time": 0.0, "epoch": e + 1, "clips_per_second": TRAINING_RATE}
                  for e in range(before, epoch)]  # fmt: skip
        write(results / "pretrain" / run_id / f"epoch_{epoch}.jsonl", lines(*events, {"event": "end", "time": seconds}))
        write(results / "pretrain" / run_id / f"epoch_{epoch}.json", {"device": device, "seconds": seconds})
        before, total = epoch, total + seconds
    return total


def leave_finetuning(results, run_id, finetuning, videos, tested, device=CPU):
    """The files of a finished finetuning; returns its seconds of training and of testing."""
    o = finetuning.config.optimiser
    training = o.epochs * max(videos // o.batch_size, 1) * min(o.batch_size, videos) / TRAINING_RATE
    testing = tested * finetuning.config.evaluate.num_clips / TEST_RATE
    write(results / "finetune" / run_id / "config.yaml", yaml.safe_dump(finetuning.config.canonical()))
    events = [{"event": "metrics", "time": 100.0, "epoch": o.epochs, "clips_per_second": TRAINING_RATE},
              {"event": "end", "time": 100.0 + testing}]  # fmt: skip
    write(results / "finetune" / run_id / "journal.jsonl", lines(*events))
    final = {"device": device, "seconds": training + testing, "videos": tested}
    write(results / "finetune" / run_id / "metrics.json", final)
    return training, testing


def finals(results):
    """What a report reads of finished runs."""
    pretrains = {(p.parent.name, p.stem): json.loads(p.read_text()) for p in results.glob("pretrain/*/epoch_*.json")}
    finetunes = {p.parent.name: json.loads(p.read_text()) for p in results.glob("finetune/*/metrics.json")}
    return SimpleNamespace(pretrains=pretrains, finetunes=finetunes, probe_metrics={})


@pytest.fixture
def finished(root, tmp_path):
    """A results folder as a whole demo leaves it, and the seconds its runs took by stage."""
    planned, results = plan.load(root / "config", "demo"), tmp_path / "results"
    sizes, took = Sizes(root / "config"), {"pretrain": 0.0, "finetune": 0.0, "test": 0.0}
    for run_id, p in planned.pretrainings.items():
        videos, held_out = sizes.sides(p.config.store.dataset, 1)
        took["pretrain"] += leave_pretraining(results, run_id, p, videos, sorted(p.epochs))
        took["test"] += len(p.epochs) * held_out / TEST_RATE
    for run_id, f in planned.finetunings.items():
        _, tested = sizes.sides(f.config.store.dataset, 1)
        training, testing = leave_finetuning(results, run_id, f, 100, tested)
        took["finetune"] += training
        took["test"] += testing
    return planned, results, took


def test_the_demos_estimate_is_what_its_runs_took(root, finished):
    _, results, took = finished
    costs = reckon(root / "config", "demo", results)
    for stage in costs.hours[CPU]:
        assert stage.total == pytest.approx(took[stage.stage] / 3600, rel=1e-6)
        assert stage.left == 0
        assert set(stage.sources) == {"own runs"}
    by_stage = {entry.stage: entry for entry in spent(finals(results))}
    assert by_stage["pretraining"].wall_seconds == pytest.approx(took["pretrain"])
    assert by_stage["pretraining"].runs == 22
    assert by_stage["pretraining"].jobs == 25
    assert by_stage["finetuning"].devices == {CPU: 27}


def test_what_is_done_is_subtracted(root, finished):
    planned, results, _ = finished
    run_id, curve = next((i, p) for i, p in planned.pretrainings.items() if len(p.epochs) > 1)
    whole = {h.stage: h.total for h in reckon(root / "config", "demo", results).hours[CPU]}
    last = max(curve.epochs)
    for epoch in (6, 12):
        (results / "pretrain" / run_id / f"epoch_{epoch}.json").unlink()
    gone = next(i for i in planned.finetunings)
    (results / "finetune" / gone / "metrics.json").unlink()
    costs = reckon(root / "config", "demo", results)
    by_id = {state.run: state for state in costs.states}
    assert by_id[run_id].words == f"epoch 3 of {last}"
    assert by_id[gone].words == "open"
    left = {h.stage: h.left for h in costs.hours[CPU]}
    done = sum(s.work[0].done for s in costs.states if s.stage == "pretrain")
    clips = sum(s.work[0].clips for s in costs.states if s.stage == "pretrain")
    assert clips - done == by_id[run_id].work[0].clips * 9 // 12
    assert left["pretrain"] == pytest.approx((clips - done) / TRAINING_RATE / 3600)
    assert 0 < left["finetune"] < whole["finetune"]


def test_a_running_trainings_whole_epochs_count_once_they_are_final(root, finished):
    planned, results, _ = finished
    run_id = next(iter(planned.finetunings))
    (results / "finetune" / run_id / "metrics.json").unlink()
    events = [{"event": "metrics", "epoch": e} for e in (1, 2, 3)]
    saved = {"event": "saved"}
    write(results / "finetune" / run_id / "running" / "journal.jsonl", lines(*events[:2], saved, events[2]))
    states_of = {s.run: s for s in reckon(root / "config", "demo", results).states}
    assert states_of[run_id].words == "epoch 2 of 30"


def test_twice_the_epochs_take_twice_the_hours(folder):
    once = {h.stage: h.total for h in reckon(folder, "paper").hours[H100]}
    override(folder, "paper", {"finetune": {"optimiser": {"epochs": 300}}})
    twice = {h.stage: h.total for h in reckon(folder, "paper").hours[H100]}
    assert twice["finetune"] == pytest.approx(2 * once["finetune"])
    assert twice["pretrain"] == once["pretrain"]
    assert twice["test"] == once["test"]


def test_a_contrast_costs_what_its_passes_are(root):
    """Forward and backward (3) of each trained view, forward (1) of each key."""
    planned = plan.load(root / "config", "paper")
    named = {use: passes_of(p.config) for p in planned.pretrainings.values() for use in p.used_by}
    assert named["T2: MAC-S-2"] == 3
    assert named["T4: Cross-entropy"] == 8
    demo = {
        use: passes_of(p.config) for p in plan.load(root / "config", "demo").pretrainings.values() for use in p.used_by
    }
    assert demo["T4: Cross-entropy"] == 4  # one direction
    assert demo["F2-F4: Supervised pretraining"] == 3


def test_videos_and_steps_are_the_official_lists(root):
    costs = reckon(root / "config", "paper")
    work = {state.run: state.work for state in costs.states}
    uses = {use: i for i, p in costs.plan.pretrainings.items() for use in p.used_by}
    ours, curve = work[uses["T4: Cross-entropy"]][0], work[uses["F1: checkpoint 1"]][0]
    assert (ours.steps, ours.clips) == (300 * 298, 300 * 298 * 32)  # 9,537 videos: 298 whole batches of 32
    assert curve.steps == 80 * 7500
    tests = [state.work[1] for state in costs.states if state.stage == "finetune"]
    assert {test.clips for test in tests} == {37830, 15300}


@pytest.mark.parametrize("scale", ["demo", "smoke"])
def test_embedded_data_is_counted_as_it_will_be_drawn(root, scale, tmp_path):
    """By drawing's own lists of what is trained on and tested."""
    from mac.data import synthetic

    planned, sizes = plan.load(root / "config", scale), Sizes(root / "config")
    writers = {"ucf101": synthetic._ucf101, "hmdb51": synthetic._hmdb51, "kinetics": synthetic._kinetics}
    for dataset in planned.datasets.values():
        drawn = dataset.embedded
        clips, files = writers[dataset.layout](drawn.classes, drawn.videos_per_class)
        found = sizes.find(dataset)
        assert found.videos == len(clips)
        for split, (train, test) in found.sides.items():
            if dataset.layout == "ucf101":
                names = [f"ucfTrainTestlist/{side}list0{split}.txt" for side in ("train", "test")]
                listed = [files[name].count("\n") for name in names]
            elif dataset.layout == "hmdb51":
                uses = [line.split()[1] for name, text in files.items() if name.endswith(f"split{split}.txt")
                        for line in text.splitlines()]  # fmt: skip
                listed = [uses.count("1"), uses.count("2")]
            else:
                listed = [sum(clip.path.startswith(side) for clip in clips) for side in ("train", "val")]
            assert [train, test] == listed


def measurement(**changes):
    base = {"device": "A", "stage": "finetune", "backbone": "r2plus1d_18", "width": 64, "num_frames": 16, "size": 112}
    base |= {"precision": "tf32", "passes": 3, "batch": 32, "threads": 1, "clips_per_second": 12.0}
    return base | {"date": "2026-11-22", "where": "here"} | changes


SIZE = {"width": 1, "height": 1}
READING = SIZE | {"num_frames": 16, "clips_per_core_second": 100.0, "date": "2026-11-22", "where": "here"}


def listed(path, *measured):
    content = {"measured": list(measured), "assumed": [], "frames": [SIZE | {"bytes": 1}], "reading": [READING]}
    path.write_text(yaml.safe_dump(content))
    return throughput.load(path)


def test_sources_give_way_in_order(root, tmp_path):
    ours = next(p.config for p in plan.load(root / "config", "paper").pretrainings.values() if passes_of(p.config) == 8)
    kind = kinds_of(ours)[0]
    of_list = listed(tmp_path / "list.yaml", measurement())
    scaled = throughput.Throughput([], of_list).pace("A", kind)
    factor = kind.operations / of_list.measured[0].kind.operations
    assert scaled.source == "scaled"
    assert scaled.seconds_per_clip == pytest.approx(factor / 12)
    exact = listed(tmp_path / "list.yaml", measurement(), measurement(
        stage="pretrain", backbone=kind.backbone, passes=8, clips_per_second=5.0))  # fmt: skip
    assert throughput.Throughput([], exact).pace("A", kind).source == "measured"
    own = [throughput.Observed("A", kind, 7.0)]
    pace = throughput.Throughput(own, exact).pace("A", kind)
    assert (pace.source, pace.seconds_per_clip) == ("own runs", 1 / 7)
    assert throughput.Throughput(own, exact).pace("B", kind) is None
    other_precision = listed(tmp_path / "list.yaml", measurement(precision="bf16"))
    assert throughput.Throughput([], other_precision).pace("A", kind) is None


def test_several_devices_share_the_hours(finished):
    planned, results, _ = finished
    run_id, p = next(iter(planned.pretrainings.items()))
    path = results / "pretrain" / run_id / f"epoch_{max(p.epochs)}.json"
    path.write_text(json.dumps({"device": "4 × NVIDIA X", "seconds": 3600}))
    rates = {o.device: o.clips_per_second for o in throughput.own_rates(results)}
    assert rates["NVIDIA X"] == pytest.approx(TRAINING_RATE / 4)
    before, after = (
        spent(SimpleNamespace(pretrains=found, finetunes={}, probe_metrics={}))[0]
        for found in ({}, {(run_id, 1): json.loads(path.read_text())})
    )
    assert (before.device_hours, before.runs) == (0.0, 0)
    assert (after.device_hours, after.wall_seconds, after.runs) == (4.0, 3600, 1)


def test_gpus_that_share_a_training_wait_for_each_other(folder):
    one, four = (
        {h.stage: h.total for h in reckon(folder, "paper", gpus_per_run=n).hours["NVIDIA H200"]} for n in (1, 4)
    )
    once, (steps, finetuning) = throughput.load(folder / "throughput.yaml").sharing.seconds, (0, 0)
    planned = plan.load(folder, "paper")
    for state in states(planned, None, Sizes(folder).sides):
        for work in state.work:
            layers = {"r2plus1d_18": 37, "r2plus1d_10": 21, "r3d_18": 20}[work.kind.backbone]
            passes = {8: 6, 4: 3, 3: 2, 1: 0}[work.kind.passes]  # forward and backward ones: a backward pass waits once
            if work.kind.stage == "pretrain":
                steps += work.steps * layers * passes
            elif work.kind.stage == "finetune":
                finetuning += work.steps * layers * passes
    assert four["pretrain"] - one["pretrain"] == pytest.approx(4 * once * steps / 3600)
    assert four["finetune"] - one["finetune"] == pytest.approx(4 * once * finetuning / 3600)
    assert four["test"] == one["test"]


@pytest.mark.parametrize("backbone", ["r2plus1d_18", "r2plus1d_10", "r3d_18"])
def test_normalisations_are_the_networks(backbone):
    from torch import nn

    from mac.costs import flops
    from mac.models.backbones import Backbone

    found = sum(isinstance(module, nn.BatchNorm3d) for module in Backbone(backbone, 8).modules())
    assert flops.normalisations(backbone, 8) == found


def test_the_shipped_list_is_sound_and_says_what_it_assumes(root):
    found = throughput.load(root / "config" / "throughput.yaml")
    assert found.measured
    assert all(m.where for m in found.measured)
    h100 = throughput.Throughput([], found)
    kind = found.measured[0].kind
    assert h100.pace(H100, kind).source == "assumed"
    assert "not measured" in throughput.SOURCES["assumed"]


def test_a_wrong_list_says_where(tmp_path):
    with pytest.raises(ConfigError, match="throughput.yaml: measured.0.clips_per_second"):
        listed(tmp_path / "throughput.yaml", measurement(clips_per_second="fast"))


def test_an_unknown_device_is_refused(folder):
    with pytest.raises(ConfigError, match="--device toaster: nothing is known of it"):
        reckon(folder, "paper", device="toaster")


def test_states_weigh_what_torch_writes(root, tmp_path):
    import torch

    from mac.stages.learners import MacLearner, SupervisedLearner
    from mac.training import checkpoint
    from mac.training.optim import build_optimiser

    for p in plan.load(root / "config", "smoke").pretrainings.values():
        config, o = p.config, p.config.optimiser
        labels = torch.arange(3).numpy()
        learner = (MacLearner if config.task == "mac" else SupervisedLearner)(config, labels, torch.device("cpu"))
        optimiser = build_optimiser(learner.trained, o.name, o.lr, o.sgd_momentum, o.weight_decay)
        for parameter in learner.trained:
            parameter.grad = torch.zeros_like(parameter)
        optimiser.step()
        state = {"learner": learner.state_dict(), "optimiser": optimiser.state_dict()}
        tensors = [t for t in _tensors(state) if t.is_floating_point()]
        assert disk.state_bytes(config, 3) == pytest.approx(4 * sum(t.numel() for t in tensors), rel=0.001)
        checkpoint.save_backbone(tmp_path / "b.safetensors", learner.backbone, {})
        numbers = sum(t.numel() for t in learner.backbone.state_dict().values() if t.is_floating_point())
        assert disk.backbone_bytes(config) == 4 * numbers


def _tensors(tree):
    import torch

    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict | list | tuple):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(value)


def test_the_command_prints_runs_shares_and_totals(root, finished, capsys):
    _, results, _ = finished
    arguments = {"gpus_per_run": 1, "config_dir": root / "config", "scale": "demo", "results": results, "device": "cpu"}
    costing.show(argparse.Namespace(**arguments, json=False))
    text = capsys.readouterr().out
    assert "22 pretrainings (25 jobs):" in text
    assert "T4: Cross-entropy; T5: MAC-SC-2, R(2+1)D-18; T6: k = 4; T7: m = 0.5; T8: λ = 30" in text
    assert H100 not in text
    costing.show(argparse.Namespace(**arguments, json=True))
    content = json.loads(capsys.readouterr().out)
    assert all(run["finished"] for run in content["runs"].values())
    assert {hours["stage"] for hours in content["device_hours"][CPU]} == {"pretrain", "finetune", "test"}


def test_nothing_known_is_a_question_mark_not_a_number(root):
    planned = plan.load(root / "config", "paper")
    found = states(planned, None, Sizes(root / "config").sides)
    nothing = throughput.ThroughputFile(measured=[], assumed=[], frames=[SIZE | {"bytes": 1}], reading=[READING])
    assert {h.total for h in hours(found, throughput.Throughput([], nothing), "A")} == {None}
