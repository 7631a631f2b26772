"""What jobs ask of a machine: enough for what they use, and no more than there is."""

import pytest

from mac import plan
from mac.costs import machine, throughput
from mac.costs.estimate import state_bytes
from mac.costs.machine import Machine, Settings, needs
from mac.costs.throughput import kinds_of

CPU, GPU = Machine(has_gpu=False), Machine(has_gpu=True)


@pytest.fixture(scope="module")
def speeds(request):
    return throughput.load(request.config.rootpath / "config" / "throughput.yaml")


def runs_of(request, scale):
    planned = plan.load(request.config.rootpath / "config", scale)
    runs = *planned.pretrainings.values(), *planned.finetunings.values(), *planned.probes.values()
    return [run.config for run in runs]


@pytest.fixture(scope="module")
def configs(request):
    return runs_of(request, "paper")


@pytest.fixture(scope="module")
def fast(configs):
    return [config.model_copy(update={"precision": "bf16"}) for config in configs]


@pytest.fixture(scope="module")
def probes(request):
    return [p.config for p in plan.load(request.config.rootpath / "config", "ucf101-21").probes.values()]


def test_a_cpu_is_asked_for_one_core(configs, probes, speeds):
    for config in [*configs, *probes]:
        assert needs(config, CPU, Settings(), speeds) == machine.Needs(1, 0, 2000)


def test_a_gpu_gets_readers_that_keep_up_with_it(configs, speeds):
    (reading,) = [f.clips_per_core_second for f in speeds.frames if f.width == 192]
    for config in configs:
        found = needs(config, GPU, Settings(), speeds)
        kind = kinds_of(config)[0].model_copy(update={"channels": "torchvision"})  # as measured
        if kind.passes == 4:  # contrast in one direction, which was not measured
            continue
        (fastest,) = [m.clips_per_second for m in speeds.measured if m.on(m.device) == kind]
        assert (found.readers - 2) * reading < fastest <= found.readers * reading
        assert found.cores == found.readers + 1


def test_readers_are_at_most_the_cores_that_a_gpu_has(fast, speeds):
    assert max(needs(config, GPU, Settings(), speeds).readers for config in fast) > 3
    for config in fast:
        found = needs(config, Machine(has_gpu=True, cores=4), Settings(), speeds)
        assert 1 <= found.readers <= 3
        assert found.cores <= 4
        assert needs(config, Machine(has_gpu=True, cores=1), Settings(), speeds).readers == 1


@pytest.mark.parametrize("scale", ["paper", "demo", "ucf101-21", "ucf101-21-cpu"])
def test_memory_holds_the_state_its_copies_and_the_batches(request, scale, speeds):
    for config in (config for config in runs_of(request, scale) if hasattr(config, "optimiser")):
        found, store = needs(config, GPU, Settings(), speeds), config.store
        batch = config.optimiser.batch_size * config.clip.num_frames * store.width * store.height * 3 / 1e6
        state = state_bytes(config) / 1e6 if hasattr(config, "contrast") else 0
        measured = 2419 + 4 * state + found.readers * (550 + batch)  # docs/measurements.md
        assert measured < found.memory < 3 * measured


def test_what_the_user_wants_is_done(configs, speeds):
    found = needs(configs[0], GPU, Settings(readers=5, threads=3, memory=1234, processes=2), speeds)
    assert found == machine.Needs(cores=2 * (3 + 5), readers=5, memory=2 * 1234)
    assert needs(configs[0], CPU, Settings(readers=2), speeds).cores == 3
    alone, shared = (needs(configs[0], GPU, Settings(memory=100, processes=n), speeds) for n in (1, 4))
    assert (shared.cores, shared.memory) == (4 * alone.cores, 4 * alone.memory)


def test_gpus_that_share_a_training_share_its_cores(fast, speeds):
    for config in fast:
        alone, shared = (
            needs(config, Machine(has_gpu=True, cores=cores), Settings(processes=n), speeds)
            for cores, n in ((4, 1), (16, 4))
        )
        assert shared.readers == alone.readers
        assert shared.cores == 4 * alone.cores <= 16


def test_a_probe_is_one_process_however_many_gpus_share_a_training(probes, speeds):
    for probe in probes:
        alone = machine.needs_alone(probe, GPU, Settings(), speeds)
        assert machine.needs_alone(probe, GPU, Settings(processes=4), speeds) == alone
        assert 2 <= alone.cores <= 10


@pytest.mark.parametrize("scale", ["smoke", "demo"])
def test_small_networks_do_not_ask_for_many_cores(request, speeds, scale):
    assert all(needs(config, GPU, Settings(), speeds).cores <= 3 for config in runs_of(request, scale))


def test_measured_gpus_come_before_assumed_ones(configs, speeds):
    kind = kinds_of(configs[0])[0]
    boasting = speeds.assumed[0].model_copy(update={"device": "GPU of a prospectus", "seconds_per_step": 1e-3})
    boasting = speeds.model_copy(update={"assumed": [*speeds.assumed, boasting]})
    assert machine.fastest_rate(kind, 32, boasting) == machine.fastest_rate(kind, 32, speeds)
    unmeasured = boasting.model_copy(update={"measured": []})
    assert machine.fastest_rate(kind, 32, unmeasured) == 32 / 1e-3
    nothing = unmeasured.model_copy(update={"assumed": []})
    assert needs(configs[0], GPU, Settings(), nothing).readers == 1
