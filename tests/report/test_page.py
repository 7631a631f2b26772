"""The page: one file that leads from every number to its run, and reads without any other file."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest
from made_up import content, read, run_of

from mac.cli import main
from mac.experiment import merge
from mac.report.pages import page, summary
from mac.report.provenance import changes
from mac.report.reading import from_folder
from mac.report.results import Results
from mac.validation import read_yaml

LEDGER = "# Ledger\n\n| a | b |\n| - | - |\n| <c> | α |\n"
RUNS_PAGE = "http://127.0.0.1:5000/#/experiments/1/runs"


def values(text, *names):
    """What a page's attributes of these names say."""
    return [unescape(value) for value in re.findall(rf'\b(?:{"|".join(names)})="([^"]*)"', text)]


def runs(text):
    """The text of each run's box, by its id."""
    boxes = re.findall(r'<details id="run-(\w+)">(.*?)</details>', text, re.S)
    return {run: unescape(re.sub(r"<[^>]*>", "", box)) for run, box in boxes}


@pytest.fixture(scope="module")
def folder(demo, tmp_path_factory, write_results):
    """A results folder as the demo leaves it, without checkpoints."""
    return write_results(content(demo), tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def rendered(demo, folder):
    results = Results(demo, from_folder(folder), RUNS_PAGE)
    return page(results, folder / "no_report_yet", folder, LEDGER)


def test_the_page_needs_nothing_else(rendered):
    addresses = values(rendered, "href", "src", "srcset", "action")
    assert len(addresses) > 100
    assert not [a for a in addresses if not a.startswith(("#", "data:", RUNS_PAGE))]
    assert not re.search("<(iframe|object|embed)|@import|url\\(", rendered)


def test_every_link_within_the_page_leads_somewhere_and_ids_are_unique(rendered):
    ids = values(rendered, "id")
    assert {a[1:] for a in values(rendered, "href") if a.startswith("#")} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_cell_is_followed_to_its_run_and_recomputed_from_its_predictions(demo, rendered, capsys):
    assert demo.finetunings.keys() == runs(rendered).keys()
    run = run_of(demo)
    cell = re.search(rf'λ = 10</td>\s*<td[^>]*><a href="#run-{run}">([^<]+)</a>', rendered)[1]
    box = runs(rendered)[run]
    assert "pretrain.mask.threshold: 30.0 → 10.0" in box
    assert f"pretrain/{demo.finetunings[run].config.pretrain_id}/epoch_6.safetensors" in box
    command = re.search(r"python -m mac (score \S+)", box)[1]
    main(command.split())
    assert capsys.readouterr().out.startswith(cell)


def test_a_damaged_result_is_named_and_the_rest_is_built(demo, folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "results")
    run = run_of(demo)
    (broken / f"finetune/{run}/metrics.json").write_text('{"top1": 5')
    results = Results(demo, from_folder(broken))
    text = page(results, tmp_path, broken, "# L\n")
    assert "Results that could not be used" in text
    assert f"<code>finetune/{run}</code>: metrics.json is cut or no JSON" in text
    assert "26 of 27 finetunings have finished" in text


def test_labels_are_text_not_markup(rendered):
    assert "&lt;c&gt;" in rendered
    assert "<c>" not in rendered


def test_figures_and_cards_are_taken_in(demo, folder, tmp_path):
    for name in ("figures", "data", "tables"):
        (tmp_path / name).mkdir()
    pixel = b"\x89PNG fake"
    (tmp_path / "figures/mask_sweep.png").write_bytes(pixel)
    figure = {"title": "Right by MAC only", "notes": ["No video is."]}
    facts = {"figures": {"F2": figure}, "reading": "", "overlap": {"note": ""}}
    (tmp_path / "figures/gradcam.json").write_text(json.dumps(facts))
    (tmp_path / "tables/F1.png").write_bytes(pixel + b" curve")
    text, again = (page(Results(demo, from_folder(folder)), tmp_path, folder, "# L\n") for _ in range(2))
    assert text == again
    assert text.count('data:image/png;base64,iVBORyBmYWtl"') == 1
    assert "No video is." in text
    assert text.count("data:image/png;base64,iVBORyBmYWtlIGN1cnZl") == 1


PATHS = {"finetune.dataset": "store.dataset", "pretrain.dataset": "pretrain.store.dataset"}


def test_a_row_differs_from_the_default_in_what_it_sets_and_nothing_else(root, demo):
    scale = read_yaml(root / "config" / "scales" / "demo.yaml")
    written, checked = merge(read_yaml(root / "config" / "tables.yaml"), scale["tables"]), 0
    for name, table in demo.tables.items():
        rows = {row["label"]: row for row in written[name].get("rows", [])}
        for row in table.rows:
            if row.label not in rows or row.cited:
                continue
            overridden = rows[row.label].get("set", {}) | written[name]["columns"][0].get("set", {})
            found = {change.key for change in changes(demo, row.cells[0].runs[0])} - {"pretrain.boxes"}
            if "R3D" in row.label:
                found.remove("model.channels")  # it has none
            assert found == {PATHS.get(key, key) for key in overridden}, row.label
            checked += 1
    assert checked == 24


def test_a_change_names_both_values_and_a_curves_point_its_epoch(demo, root):
    assert changes(demo, run_of(demo, "T7")) == [("pretrain.mask.momentum", "0.5", "0.1")]
    found = {change.key: change.here for change in changes(demo, run_of(demo, "F1", 1))}
    curve = read_yaml(root / "config" / "scales" / "demo.yaml")["tables"]["F1"]["curve"]
    assert found == {
        "pretrain.store.dataset": "kinetics400 (synthetic)",
        "pretrain.optimiser.epochs": str(curve["set"]["pretrain.optimiser.epochs"]),
        "epoch of the checkpoint": str(curve["epochs"][1]),
    }


@pytest.mark.full
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_shows_it_without_an_error_or_a_request(rendered, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(
        rendered.replace(
            "</body>", "<script>document.title = document.querySelectorAll('th button').length</script></body>"
        )
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    run = subprocess.run(
        ["chromium", *options, f"--user-data-dir={tmp_path}/profile", f"file://{path}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in run.stderr
    assert int(re.search(r"<title>(\d+)</title>", run.stdout)[1]) > 20  # its script ran: heads became buttons


def pretrained(planned, **facts):
    """What the last epoch of the default row's pretraining left, by key."""
    run = planned.finetunings[planned.default].config.pretrain_id
    known = {"seconds": 1.0, "device": "CPU (test)", "commit": "abc", "index_digest": "0"}
    epoch = max(planned.pretrainings[run].epochs)
    return run, epoch, {f"pretrain/{run}/epoch_{epoch}.json": {"pretrain_id": run, "epoch": epoch} | known | facts}


def test_warnings_of_pretrainings_stand_under_their_pretext(demo, tmp_path):
    text = "features collapsed: effective rank 1.2, spread <0.001 at epoch 9"
    run, epoch, found = pretrained(demo, warnings=[text, "another: one"])
    warned, calm = read(demo, found), read(demo, pretrained(demo, warnings=[])[2])
    section = page(warned, tmp_path, tmp_path, LEDGER).split('<h2 id="pretext">')[1].split("<h2 ")[0]
    listed = re.findall("<li>(.*?)</li>", section)
    assert len(listed) == 2
    assert f"<code>{run}</code>" in listed[0]
    assert unescape(listed[0]).endswith(f"epoch {epoch}: {text}")
    under = summary(warned).split("## Is the pretext task learned?")[1]
    assert under.count("\nWarning of ") == 2
    assert f"epoch {epoch}: {text}.\n" in under
    for before in (calm, read(demo, pretrained(demo)[2])):  # runs of earlier versions say nothing of warnings
        assert "Warning" not in summary(before)
        assert "Warnings" not in page(before, tmp_path, tmp_path, LEDGER)


@pytest.mark.parametrize("warnings", [3, "text", [1], None])
def test_damaged_warnings_are_named(demo, warnings):
    run, epoch, found = pretrained(demo, warnings=warnings)
    results = read(demo, found)
    assert "warnings must be a list of texts" in results.problems[f"pretrain/{run}/epoch_{epoch}"]
    summary(results)
