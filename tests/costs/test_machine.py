"""What jobs ask of a machine: enough for what they use, and no more than there is."""

import pytest

from mac import plan
from mac.costs import machine, throughput
from mac.costs.disk import state_bytes
from mac.costs.machine import Machine, Settings, needs
from mac.costs.throughput import Throughput
from mac.costs.work import kinds_of

CPU, GPU = Machine(has_gpu=False), Machine(has_gpu=True)


@pytest.fixture(scope="module")
def speeds(request):
    return throughput.load(request.config.rootpath / "config" / "throughput.yaml")


@pytest.fixture(scope="module")
def paper(request):
    return plan.load(request.config.rootpath / "config", "paper")


@pytest.fixture(scope="module")
def configs(paper):
    return [run.config for run in (*paper.pretrainings.values(), *paper.finetunings.values())]


def test_a_cpu_is_asked_for_what_it_always_was(configs, speeds):
    for config in configs:
        assert needs(config, CPU, Settings(), speeds) == machine.Needs(1, 0, 2000)


def test_a_gpu_gets_readers_that_keep_up_with_it(configs, speeds):
    (reading,) = [r for r in speeds.reading if r.width == 192]
    known = Throughput([], speeds)
    for config in configs:
        found = needs(config, GPU, Settings(), speeds)
        paces = [known.pace(device, kinds_of(config)[0]) for device in known.devices if "NVIDIA" in device]
        fastest = 1 / min(pace.seconds_per_clip for pace in paces)
        assert found.readers * reading.clips_per_core_second >= fastest
        assert (found.readers - 2) * reading.clips_per_core_second < fastest
        assert found.cores == found.readers + 1


def test_readers_are_at_most_the_cores_that_a_gpu_has(configs, speeds):
    fast = [config.model_copy(update={"precision": "bf16"}) for config in configs]
    assert max(needs(config, GPU, Settings(), speeds).readers for config in fast) > 3
    for config in fast:
        found = needs(config, Machine(has_gpu=True, cores=4), Settings(), speeds)
        assert 1 <= found.readers <= 3
        assert found.cores <= 4
        assert needs(config, Machine(has_gpu=True, cores=1), Settings(), speeds).readers == 1


def test_memory_holds_the_state_its_copies_and_the_batches(configs, speeds):
    for config in configs:
        found, batch = needs(config, GPU, Settings(), speeds), 32 * 16 * 192 * 144 * 3 / 1e6
        state = state_bytes(config) / 1e6 if hasattr(config, "contrast") else 0
        measured = 2419 + 4 * state + found.readers * (550 + batch)  # docs/measurements.md
        assert measured < found.memory < 2.5 * measured


def test_what_the_user_wants_is_done(configs, speeds):
    found = needs(configs[0], GPU, Settings(readers=5, threads=3, memory=1234, processes=2), speeds)
    assert found == machine.Needs(cores=2 * (3 + 5), readers=5, memory=2 * 1234)
    assert needs(configs[0], CPU, Settings(readers=2), speeds).cores == 3
    alone, shared = (needs(configs[0], GPU, Settings(memory=100, processes=n), speeds) for n in (1, 4))
    assert (shared.cores, shared.memory) == (4 * alone.cores, 4 * alone.memory)


def test_gpus_that_share_a_training_share_its_cores(configs, speeds):
    fast = [config.model_copy(update={"precision": "bf16"}) for config in configs]
    for config in fast:
        alone, shared = (
            needs(config, Machine(has_gpu=True, cores=cores), Settings(processes=n), speeds)
            for cores, n in ((4, 1), (16, 4))
        )
        assert shared.readers == alone.readers
        assert shared.cores == 4 * alone.cores <= 16


def test_a_probe_is_one_process_however_many_gpus_share_a_training(request, speeds):
    small = plan.load(request.config.rootpath / "config", "ucf101-21")
    for probe in small.probes.values():
        alone = machine.needs_alone(probe.config, GPU, Settings(), speeds)
        assert machine.needs_alone(probe.config, GPU, Settings(processes=4), speeds) == alone
        assert alone.cores <= 10


@pytest.mark.parametrize("scale", ["smoke", "demo"])
def test_small_networks_do_not_ask_for_many_cores(request, speeds, scale):
    planned = plan.load(request.config.rootpath / "config", scale)
    for run in (*planned.pretrainings.values(), *planned.finetunings.values(), *planned.probes.values()):
        assert needs(run.config, GPU, Settings(), speeds).cores <= 3


def test_measured_gpus_come_before_assumed_ones(configs, speeds):
    assumed = speeds.assumed[0].model_copy(update={"device": "GPU of a prospectus", "utilisation": 1.0})
    kind = kinds_of(configs[0])[0]
    boasting = speeds.model_copy(update={"assumed": [*speeds.assumed, assumed]})
    assert machine.fastest_rate(kind, 32, boasting) == machine.fastest_rate(kind, 32, speeds)
    unmeasured = boasting.model_copy(update={"measured": []})
    assert machine.fastest_rate(kind, 32, unmeasured) > machine.fastest_rate(kind, 32, speeds)


def test_a_probe_reads_as_fast_as_its_network_looks(request, speeds):
    small = plan.load(request.config.rootpath / "config", "ucf101-21")
    probe = next(iter(small.probes.values())).config
    assert needs(probe, GPU, Settings(), speeds).readers >= 1
    assert needs(probe, CPU, Settings(), speeds) == machine.Needs(1, 0, 2000)
