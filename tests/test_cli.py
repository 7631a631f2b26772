"""The command line as a whole: what parses, what is refused and how, help, version and completion."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import click
import pytest
from checkouts import Checkout

import mac
from mac import plan
from mac.cli import commands, main
from mac.cli.options import plans_of
from mac.config import write_config


def parse(words):
    """A command's name and its parameters; the command isn't run."""
    name, one, rest = "mac", commands, list(words)
    with click.Context(one) as above:
        while isinstance(one, click.Group):
            name, one, rest = one.resolve_command(above, rest)
        return name, one.make_context(name, rest, above).params


def refusal(capsys, *words):
    """The message and the exit status that words end with."""
    with pytest.raises(SystemExit) as exited:
        main(list(words))
    return capsys.readouterr().err, exited.value.code


INDEX = ["index", *(word for name in ("config", "listing", "root", "out") for word in (f"--{name}", name))]

PROGRESS = ["progress", "--scale", "s", "--settings", "c"]


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        ([*INDEX, "--scans", "a b", "c"], "scans", ["a b", "c"]),
        ([*INDEX, "--scans", "a", "--scans", "b", "c"], "scans", ["a", "b", "c"]),
        ([*INDEX, "--scans=a"], "scans", ["a"]),
        ([*INDEX, "--max-unusable", "ucf101=0.5", "default=.1", "--scans", "a"], "max_unusable",
         {"ucf101": 0.5, "default": 0.1}),
        (["masks", "preview", "v.avi", "-m", ".1", ".5", "-l", "30"], "momentum", [0.1, 0.5]),
        (["masks", "preview", "v.avi"], "threshold", [30.0]),
        (["scan", *INDEX[3:], "--shard", "0", "4"], "shard", [0, 4]),
        (["clean", "--results", "r", "--scale", "demo", "smoke", "--yes"], "scales", ["demo", "smoke"]),
        (["score", "a.parquet", "b.parquet"], "predictions", ["a.parquet", "b.parquet"]),
        ([*PROGRESS, "--", "snakemake", "-n", "--", "x"], "command", ["snakemake", "-n", "--", "x"]),
    ],
)  # fmt: skip
def test_values_come_from_where_users_and_rules_write_them(words, name, expected):
    found = parse(words)[1][name]
    if isinstance(found, tuple):
        found = [one if isinstance(one, float | int) else str(one) for one in found]
    assert found == expected


@pytest.mark.parametrize(("text", "threads", "readers"), [("auto", 1, None), ("3", 3, 3)])
def test_auto_or_a_number(text, threads, readers):
    words = ["probe", *(w for n in ("config", "store", "journal", "predictions", "metrics") for w in (f"--{n}", n))]
    found = parse([*words, "--threads", text, "--loader-workers", text])[1]
    assert (found["threads"], found["loader_workers"]) == (threads, readers)


def test_every_command_of_the_workflow_parses(root, tmp_path, monkeypatch):
    monkeypatch.setenv("MAC_TRACKING_URI", "sqlite:///x")  # as the workflow sets it
    shown = re.sub(r"\$\([^)]*\)", "", Checkout(root, tmp_path, "smoke").snakemake("-n", "-p"))
    told = re.findall(r"python -m mac (?!preflight|track follow)([^>\n]*)", shown)
    names = {parse(shlex.split(words))[0] for words in told}
    assert {"generate", "index", "extract", "check", "pretrain", "finetune", "probe", "report", "page", "run"} <= names


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (["pretrian"], r"No such command 'pretrian'. Did you mean 'pretrain'", 2),
        (["masks", "chek"], r"No such command 'chek'. Did you mean 'check'", 2),
        (["scan", "--listin", "x"], r"No such option '--listin'. Did you mean '--listing'", 2),
        ([*INDEX, "--scans"], r"'--scans' requires an argument", 2),
        ([*INDEX, "--scans", "--shard"], r"'--scans' requires an argument", 2),
        ([*INDEX, "--scans", "a", "--max-unusable", "ucf101"], r"found 'ucf101' — wanted is NAME=SHARE", 2),
        (["detect", "--threads", "0"], r"found 0 — allowed are auto and whole numbers from 1 on", 2),
        (["detect", "--loader-workers", "some"], r"found 'some' — allowed are auto and whole numbers from 0 on", 2),
        (["detect", "--cores", "0"], r"0 is not in the range x>=1", 2),
        (["plan", "--scale", "smoke", "--gpus-per-run", "0"], r"0 is not in the range x>=1", 2),
        (["probe"], r"Missing option '--config'", 2),
        (["report", "--scale", "smoke", "--out", "x"], r"Give one of --results and --from-mlflow", 2),
    ],
)
def test_words_that_are_no_command_are_refused_with_what_is_allowed(words, message, status, capsys):
    told, code = refusal(capsys, *words)
    assert re.search(message, told)
    assert code == status


def test_an_expected_error_is_one_message_with_the_commands_name(tmp_path, root):
    call = [sys.executable, "-m", "mac", "restore", "probe/0", "--kept", str(tmp_path), "--results", str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, cwd=root, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"mac restore: .*provenance\.json.*\n", done.stderr)


def test_help_lists_every_command_under_one_theme(capsys):
    main(["--help"])
    told = capsys.readouterr().out
    listed = re.findall(r"^  ((?:masks |track )?[a-z]+)  ", told, re.M)
    every = [name for name, one in commands.commands.items() if not isinstance(one, click.Group)]
    every += [f"{above} {name}" for above in ("masks", "track") for name in commands.commands[above].commands]
    assert sorted(listed) == sorted(every)
    assert re.findall(r"^(\w+):$", told, re.M) == ["Options", "Data", "Masks", "Training", "Report", "Runs"]
    assert "..." not in told.split("Data:")[1]  # nothing is cut short


def test_the_version_is_the_packages(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"mac, version {mac.__version__}\n"


def test_the_shell_completes_commands_and_options(root):
    call = [sys.executable, "-c", "from mac.cli import main; main()"]

    def complete(words):
        own = {"_MAC_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run(call, env=os.environ | own, capture_output=True, text=True, cwd=root, check=True)
        return [line.removeprefix("plain,") for line in done.stdout.splitlines()]

    assert complete("mac pre") == ["preflight", "pretrain"]
    assert complete("mac index --scans a b --max") == ["--max-unusable"]


def test_the_users_settings_name_the_configurations_folder(root, tmp_path, capsys):
    own = tmp_path / "mine"
    shutil.copytree(root / "config", own)
    (own / "scales" / "little.yaml").write_text("extends: smoke\ntables: {X3: null}\n")
    settings = own / "config.yaml"
    settings.write_text(settings.read_text().replace("config_dir: config", f"config_dir: {own}"))
    for words in (["plan"], ["status", "--results", str(tmp_path)]):
        main([*words, "--scale", "little", "--settings", str(settings)])
        assert "little" in capsys.readouterr().out
    _, told = refusal(capsys, "plan", "--scale", "little", "--settings", str(settings), "--config-dir", "config")
    assert "config/scales: no scale 'little'" in told  # what is given goes before


def test_another_scales_mistake_is_told_and_stops_nothing(root, tmp_path, capsys):
    shutil.copytree(root / "config", tmp_path / "config")
    (tmp_path / "config" / "scales" / "mine.yaml").write_text("nonsense: 1\n")
    assert [one.scale for one in plans_of(tmp_path / "config", ["smoke", "mine"])] == ["smoke"]
    assert "scale mine is left out" in capsys.readouterr().err


def test_generated_videos_empty_no_folder_but_their_own(root, tmp_path, capsys):
    one, *_ = (data for data in plan.load(root / "config", "smoke").datasets.values() if data.synthetic)
    config = tmp_path / one.identify() / "config.yaml"
    write_config(config, one)
    (tmp_path / "data" / "mine").mkdir(parents=True)
    told, code = refusal(
        capsys, "generate", "--config", str(config), "--out", str(tmp_path / "data" / "synthetic.json")
    )
    assert f"a folder named {one.identify()}" in told
    assert code == 2
    assert (tmp_path / "data" / "mine").is_dir()
