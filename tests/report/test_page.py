"""The page: one file that leads from every number to its run, and reads without any other file."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from made_up import content

from mac.cli import main
from mac.report import page
from mac.report.results import Results, from_folder

LEDGER = "# Ledger\n\n| a | b |\n| - | - |\n| <c> | α |\n"
COST = {"heads": ["stage"], "rows": [["pretraining"]], "note": ""}
RUNS_PAGE = "http://127.0.0.1:5000/#/experiments/1/runs"


class Reader(HTMLParser):
    """Notes ids, addresses, visible text and the text of each run's box."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses, self.tags, self.text, self.runs, self._run = [], [], set(), [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.add(tag)
        if "id" in values:
            self.ids.append(values["id"])
        self.addresses += [values[name] for name in ("href", "src", "srcset", "action") if name in values]
        if tag == "details":
            self._run = values.get("id")

    def handle_data(self, data):
        self.text.append(data)
        if self._run:
            self.runs[self._run] = self.runs.get(self._run, "") + data


@pytest.fixture(scope="module")
def folder(demo, tmp_path_factory):
    """A results folder as the demo leaves it, without checkpoints."""
    root = tmp_path_factory.mktemp("results")
    for key, text in content(demo).items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text)
    return root


@pytest.fixture(scope="module")
def rendered(demo, folder):
    results = Results(demo, from_folder(folder), RUNS_PAGE)
    return page.render(results, folder / "no_report_yet", str(folder), COST, LEDGER)


def test_the_page_needs_nothing_else(rendered):
    read = Reader(rendered)
    outside = [a for a in read.addresses if not a.startswith(("#", "data:", RUNS_PAGE))]
    assert outside == []
    assert not read.tags & {"iframe", "object", "embed"}
    assert "@import" not in rendered
    assert "url(" not in rendered


def test_every_link_within_the_page_leads_somewhere_and_ids_are_unique(rendered):
    read = Reader(rendered)
    assert {a[1:] for a in read.addresses if a.startswith("#")} <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))


def test_a_cell_is_followed_to_its_run_and_recomputed_from_its_predictions(demo, rendered, capsys):
    read = Reader(rendered)
    row = demo.tables["T8"].rows[0]
    run = row.cells[0].finetunes[0]
    cell = re.search(rf'λ = 10</td>\s*<td[^>]*><a href="#run-{run}">([^<]+)</a>', rendered)[1]
    box = read.runs[f"run-{run}"]
    assert "pretrain.mask.threshold: 30.0 → 10.0" in box
    assert f"pretrain/{demo.finetunings[run].config.pretrain_id}/epoch_12.safetensors" in box
    command = re.search(r"python -m mac (score \S+)", box)[1]
    main(command.split())
    assert capsys.readouterr().out.startswith(cell)


def test_every_planned_run_has_its_box(demo, rendered):
    assert {f"run-{i}" for i in demo.finetunings} <= set(Reader(rendered).runs)


def test_a_damaged_result_is_named_and_the_rest_is_built(demo, folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "results")
    run = demo.tables["T8"].rows[0].cells[0].finetunes[0]
    (broken / f"finetune/{run}/metrics.json").write_text('{"top1": 5')
    results = Results(demo, from_folder(broken))
    text = page.render(results, tmp_path, "results", COST, "# L\n")
    assert "Results that could not be used" in text
    assert f"<code>finetune/{run}</code>: {results.problems[f'finetune/{run}'][:20]}"[:40] in text
    assert "26 / 27" in text


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
    text = page.render(Results(demo, from_folder(folder)), tmp_path, "r", COST, "# L\n")
    assert text.count('data:image/png;base64,iVBORyBmYWtl"') == 1
    assert "No video is." in text
    assert text.count("data:image/png;base64,iVBORyBmYWtlIGN1cnZl") == 1


def test_the_same_results_give_the_same_bytes(demo, folder, tmp_path):
    first, second = (page.render(Results(demo, from_folder(folder)), tmp_path, "r", COST, "# L\n") for _ in range(2))
    assert first == second


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
