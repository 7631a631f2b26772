"""Tables, pictures and summary from made-up results."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from made_up import answers, content, files, parquet, predictions, read, results, run_of

from mac import pictures, plan
from mac.cli import main
from mac.overrides import Overrides
from mac.report.figures import draw_curve, draw_learning, draw_sweep
from mac.report.pages import claims_page, page, summary
from mac.report.provenance import data_note
from mac.report.reading import from_folder
from mac.report.results import Results
from mac.report.statistics import wilson
from mac.report.tables import comma_separated, escape, latex, markdown
from mac.report.texts import short_title


def test_all_formats_show_a_cells_numbers(demo):
    table, found = demo.tables["T8"], results(demo)
    run = table.rows[0].cells[0].runs[0]
    score = found.score(table.rows[0].cells[0])
    assert (score.top1, score.videos, score.groups) == (50.0 + list(demo.finetunings).index(run), 400, 100)
    number, interval = f"{score.top1:.1f}", f"[{score.low:.1f}, {score.high:.1f}]"
    text = markdown(table, found)
    assert len([line for line in text.splitlines() if line.startswith("| λ") and "`" in line]) == 3
    assert f"| λ = 10 | **{number}** {interval} | 81.1 | `{run}` |" in text
    for fact in ("scale demo", "seeds 1", "device CPU (test)", "commit abc", "ucf101", "not comparable"):
        assert fact in text
    assert f"$\\lambda$ = 10 & {number} {interval} & 81.1" in latex(table, found)
    row = next(csv.DictReader(io.StringIO(comma_separated(table, found))))
    assert " ".join(row[name] for name in ("row", "column", "printed", "videos", "runs")) == "λ = 10 UCF101 81.1 400 1"
    limits = zip(("wilson_low", "wilson_high"), wilson(4 * score.top1, 400), strict=True)
    wanted = {"measured": score.top1, "low": score.low, "high": score.high} | {k: 100 * v for k, v in limits}
    assert {name: float(row[name]) for name in wanted} == pytest.approx(wanted, abs=1e-4)
    assert (row["spread"], row["groups"], row["verdict"]) == ("", "100", "not comparable")


@pytest.mark.parametrize(
    ("locks", "told"),
    [
        ((None, None), "torch 2; data"),
        (("0a1b2c3d4e", "0a1b2c3d4e"), "torch 2; lock 0a1b2c3d4e; data"),
        (("f0f0f0f0f0 except torch 2.11.0", "0a1b2c3d4e"), "lock 0a1b2c3d4e and f0f0f0f0f0 except torch 2.11.0; data"),
        (("0a1b2c3d4e", None), "torch 2; lock 0a1b2c3d4e and not recorded; data"),
    ],
)
def test_a_report_names_the_locks_of_its_runs(demo, locks, told):
    runs = run_of(demo), run_of(demo, row=1)
    found = {}
    for run, lock in zip(runs, locks, strict=True):
        found |= files(demo, run, answers(demo, run, 50.0), **({"lock": lock} if lock else {}))
    assert told in markdown(demo.tables["T8"], read(demo, found))


def test_cited_rows_are_marked_and_open_and_cited_cells_have_no_number(demo):
    table, empty = demo.tables["T1"], results(demo, tops={})
    assert "| PacePred (cited) | – | 66.3 | – | 32.2 | – |" in markdown(table, empty)
    assert [row["cited"] for row in csv.DictReader(io.StringIO(comma_separated(table, empty)))].count("True") == 8
    assert r"PacePred$^\dagger$ & -- & 66.3 & -- & 32.2 \\" in latex(table, empty)
    assert r"MAC-SC-2 & -- & 84.6 & -- & 53.2 \\" in latex(table, empty)


def test_a_tables_note_is_printed_under_it_in_every_format_and_under_no_other(changed, tmp_path):
    """In Markdown as it is written, in LaTeX and HTML with their special characters escaped."""
    note = "5 % of <A> & B"
    planned = changed("demo", {"T6": {"note": note}, "T1": {"note": None}})
    found, table = results(planned, tops={}), planned.tables["T6"]
    whole, one_file = summary(found), page(found, tmp_path, tmp_path, "# L\n")
    for text, under, after in (
        (markdown(table, found), "| k = 6 |", "## Claims"),
        (whole, "| k = 6 |", "## Table 7"),
        (one_file.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"), ">k = 6<", 'id="T7"'),
    ):
        assert text.count(note) == 1
        assert text.rindex(under, 0, text.index(note)) < text.index(note) < text.index(after)
    assert r" 5 \% of <A> \& B " in latex(table, found)
    assert "of <A>" not in latex(planned.tables["T7"], found)
    for text in (markdown(planned.tables["T1"], found), latex(planned.tables["T1"], found), whole, one_file):
        assert "None" not in text


def test_table_1_says_under_which_names_others_list_the_cited_numbers(paper):
    """And the numbers of its note are those beside the two labels."""
    table = paper.tables["T1"]
    for label in ("PacePred", "VCP"):
        (row,) = (row for row in table.rows if row.label == label)
        numbers = " / ".join(f"{cell.printed}" for cell in row.cells)
        assert f"{label} ({numbers})" in markdown(table, results(paper, tops={}))


def test_every_cell_links_to_its_runs_by_our_id(demo):
    linked = read(demo, {}, "http://127.0.0.1:5000/#/experiments/1/runs")
    for row in demo.tables["T1"].rows:
        line = next(line for line in markdown(demo.tables["T1"], linked).splitlines() if row.label in line)
        for run in [run for cell in row.cells for run in cell.runs]:
            address = f"http://127.0.0.1:5000/#/experiments/1/runs?searchFilter=tags.%60mac.id%60%20%3D%20%27{run}%27"
            assert f"[`{run}`]({address})" in line


def test_open_cells_are_pending_and_no_problem(demo):
    text = summary(results(demo, tops={}))
    assert "| λ = 10 | pending | 81.1 |" in text
    assert "| T6 | k = 4 is best | open |" in text
    assert text.count("pending") > 25
    assert "Results left out" not in text


def test_several_seeds_are_averaged_in_their_cell(changed):
    planned = changed("demo", seeds=[1, 2, 3])
    cell = planned.tables["T8"].rows[0].cells[0]
    tops = dict(zip(cell.runs, (60.0, 63.0, 66.0), strict=True))
    score = results(planned, tops).score(cell)
    assert (score.top1, score.spread, score.runs, score.planned) == (63.0, 3.0, 3, 3)
    partial = results(planned, dict(list(tops.items())[:2]))
    assert "(2 of 3 runs)" in markdown(planned.tables["T8"], partial)


def test_a_folder_and_a_mapping_give_the_same_pages(demo, tmp_path, write_results):
    found = content(demo)
    by_folder, by_mapping = Results(demo, from_folder(write_results(found, tmp_path))), read(demo, found)
    for write in (summary, claims_page):
        assert write(by_folder) == write(by_mapping)
    for table in demo.tables.values():
        assert markdown(table, by_folder) == markdown(table, by_mapping)
        assert comma_separated(table, by_folder) == comma_separated(table, by_mapping)


def test_the_summary_counts_the_claims(demo):
    text = claims_page(results(demo))
    assert re.search(
        r"15 claims; for these .*, 3 not comparable. For the method: 10 too few trainings, 1 open, 3 not", text
    )
    assert text.count("| not comparable | not comparable |") == 3


def test_the_score_command_prints_the_cells_digits_and_averages_runs(demo, tmp_path, capsys):
    (tmp_path / "predictions.parquet").write_bytes(content(demo)[f"finetune/{run_of(demo)}/predictions.parquet"])
    main(["score", str(tmp_path / "predictions.parquet")])
    printed = capsys.readouterr().out
    assert printed.endswith(", 400 videos in 100 groups\n")
    number, interval = printed.split(", Wilson")[0].split(" ", 1)
    assert f"| **{number}** {interval} |" in markdown(demo.tables["T8"], results(demo))
    for name, top in (("a", 60), ("b", 64), ("c", 62)):
        (tmp_path / name).write_bytes(parquet(predictions(answers(demo, run_of(demo), top))))
    main(["score", *(str(tmp_path / name) for name in "abc")])
    assert re.match(r"62\.0 \[.*\] ± 2\.0 \(3 runs\), Wilson", capsys.readouterr().out)


def test_the_score_command_names_a_useless_file(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(SystemExit, match=r"x\.parquet can't be read .*give a finetuning's predictions\.parquet"):
        main(["score", str(tmp_path / "x.parquet")])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_curve_is_drawn_reproducibly(demo, tmp_path, ending):
    for name in ("a", "b"):
        draw_curve(demo.tables["F1"], results(demo), "note", [tmp_path / f"{name}.{ending}"])
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
    assert first == second
    tops = dict.fromkeys(demo.finetunings, 10.0)
    draw_curve(demo.tables["F1"], results(demo, tops), "note", [tmp_path / f"c.{ending}"])
    assert (tmp_path / f"c.{ending}").read_bytes() != first


@pytest.mark.parametrize(
    ("sweep", "places"),
    [
        ("pretrain.pretext.k=6,2", {2: 1, 6: 0}),
        ("pretrain.optimiser.lr=0.01,0.1,1.0", {0.01: 0, 0.1: 1, 1.0: 2}),
        ("precision=tf32,fp32", {0: 0, 1: 1}),
    ],
)
def test_a_sweep_is_drawn_in_order_with_what_is_there(root, tmp_path, monkeypatch, sweep, places):
    """``places``: which row stands where on the horizontal axis, from left to right."""
    planned = plan.load(root / "config", "demo", Overrides.from_words([], [sweep]))
    table, found, drawn = planned.tables["S1"], read(planned, content(planned)), []
    monkeypatch.setattr(pictures, "save", lambda figure, paths: drawn.append(figure.axes[0]))
    for there in (found, read(planned, {})):
        draw_sweep(table, there, "note", [tmp_path / "a.png"])
    full, empty = drawn
    line, _, (bars,) = full.containers[0].lines
    scores = [found.score(table.rows[row].cells[0]) for row in places.values()]
    assert np.allclose(line.get_xydata(), list(zip(places, (score.top1 for score in scores), strict=True)))
    assert np.allclose([bar[:, 1] for bar in bars.get_segments()], [(score.low, score.high) for score in scores])
    assert len(empty.containers[0].lines[0].get_xdata()) == 0
    assert full.get_xlabel() == empty.get_xlabel() == sweep.split("=")[0]
    assert full.get_xscale() == ("log" if 0.01 in places else "linear")


def test_special_characters_are_printed_as_they_are():
    assert escape("50 % of A&B_c, α ≥ λ #1 {x} ~ \\") == (
        r"50 \% of A\&B\_c, $\alpha$ $\geq$ $\lambda$ \#1 \{x\} \textasciitilde{} \textbackslash{}"
    )


def test_every_row_has_as_many_cells_as_the_head(demo):
    for table in demo.tables.values():
        text = latex(table, results(demo))
        columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
        body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert len(body) == len(table.rows)
        is_printed = any(cell.printed for row in table.rows for cell in row.cells)
        numbers = (2 if is_printed else 1) * len(table.columns)
        assert {len(re.split(r"(?<!\\)&", line)) for line in body} == {columns} == {numbers + 1}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_prints_all_tables(demo, tmp_path):
    tables = "\n".join(latex(table, results(demo)) for table in demo.tables.values())
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + tables + "\\end{document}\n"
    (tmp_path / "tables.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Missing character" not in run.stdout


def epochs(stage, _):
    """Twelve epochs of pretraining, thirty of finetuning."""
    if stage == "pretrain":
        return [{"epoch": e, "pretext_loss": 4.0 / e, "loss": 9.0} for e in range(1, 13)]
    return [{"epoch": e, "train_top1": 2.0 * e} for e in range(1, 31)]


@pytest.fixture
def drawn(monkeypatch):
    kept = []
    monkeypatch.setattr(pictures, "save", lambda figure, paths: kept.append(figure))
    return kept


def test_every_row_has_a_line_of_its_own_style(demo, drawn):
    known = SimpleNamespace(plan=demo, epochs=epochs)
    draw_learning(demo.tables["T6"], known, [])
    left, right = drawn[0].axes
    assert len(left.lines) == len(right.lines) == 5
    assert len({(line.get_color(), str(line.get_linestyle())) for line in right.lines}) == 5
    assert list(left.lines[0].get_ydata()) == pytest.approx([1 / e for e in range(1, 13)])
    assert list(right.lines[0].get_ydata()) == [2.0 * e for e in range(1, 31)]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == [f"k = {k}" for k in (2, 3, 4, 5, 6)]
    draw_learning(demo.tables["F1"], known, [])  # a curve's points have one pretraining
    assert [len(axes.lines) for axes in drawn[1].axes] == [1, 5]


def test_missing_journals_leave_an_empty_panel(demo, tmp_path):
    path = tmp_path / "l.png"
    draw_learning(demo.tables["T6"], read(demo, {}), [path])
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("T5", "Table 5"),
        ("F1", "Figure 1"),
        ("F2-F4", "Figures 2–4"),
        ("X3", "Table X3"),
        ("S1", "Table S1"),
        ("Tiny", "Table Tiny"),
        ("Few", "Table Few"),
        ("MyTF", "Table MyTF"),
    ],
)
def test_tables_are_called_by_their_names(demo, name, told):
    assert short_title(replace(demo.tables["T6"], name=name)) == told


def test_generated_data_beside_a_part_of_real_data_are_not_called_real(demo):
    one, other, *_ = demo.datasets.values()
    real = one.model_copy(update={"synthetic": None, "subset": "ucf101-21"})
    note = data_note(SimpleNamespace(datasets={"a": real, "b": other}))
    assert f"generated figures that stand in for {other.name}" in note
