"""Tables, curve and summary from made-up results."""

import csv
import io
import re
import shutil

import pytest
import yaml
from made_up import answers, content, parquet, predictions, results

from mac import plan
from mac.cli import main
from mac.report import figures
from mac.report.pages import claims_page, summary
from mac.report.results import Results, from_folder, from_mapping
from mac.report.statistics import wilson
from mac.report.tables import comma_separated, markdown


def test_a_finished_table_shows_measured_beside_printed(demo):
    text = markdown(demo.tables["T8"], results(demo))
    rows = [line for line in text.splitlines() if line.startswith("| λ") and "`" in line]
    assert len(rows) == 3
    top = 50.0 + list(demo.finetunings).index(demo.tables["T8"].rows[0].cells[0].finetunes[0])
    run = demo.tables["T8"].rows[0].cells[0].finetunes[0]
    score = results(demo).score(demo.tables["T8"].rows[0].cells[0])
    assert (score.top1, score.videos, score.groups) == (top, 400, 100)
    assert rows[0] == f"| λ = 10 | **{top:.1f}** [{score.low:.1f}, {score.high:.1f}] | 81.1 | `{run}` |"
    for fact in ("scale demo", "seeds 1", "device CPU (test)", "commit abc", "ucf101", "not comparable"):
        assert fact in text


def test_cited_methods_are_marked_and_have_no_measurement(demo):
    text = markdown(demo.tables["T1"], results(demo))
    assert "| PacePred (cited) | – | 66.3 | – | 32.2 | – |" in text


def test_every_cell_links_to_its_runs_by_our_id(demo):
    linked = Results(demo, from_mapping({}), "http://127.0.0.1:5000/#/experiments/1/runs")
    for row in demo.tables["T1"].rows:
        line = next(line for line in markdown(demo.tables["T1"], linked).splitlines() if row.label in line)
        for run in [run for cell in row.cells for run in cell.finetunes]:
            address = f"http://127.0.0.1:5000/#/experiments/1/runs?searchFilter=tags.%60mac.id%60%20%3D%20%27{run}%27"
            assert f"[`{run}`]({address})" in line


def test_open_cells_are_pending(demo):
    text = summary(results(demo, tops={}))
    assert "| λ = 10 | pending | 81.1 |" in text
    assert "| T6 | k = 4 is best | open | pending |" in text
    assert text.count("pending") > 25


def test_csv_holds_the_same_numbers(demo):
    rows = list(csv.DictReader(io.StringIO(comma_separated(demo.tables["T1"], results(demo)))))
    ours = [row for row in rows if row["row"] == "MAC-SC-2"]
    assert [row["column"] for row in ours] == ["UCF101", "HMDB51"]
    assert float(ours[0]["measured"]) == 50.0
    assert float(ours[0]["wilson_low"]) == pytest.approx(100 * wilson(200, 400)[0], abs=1e-3)
    assert (ours[0]["groups"], ours[0]["verdict"]) == ("100", "not comparable")
    assert [row["cited"] for row in rows].count("True") == 8


def test_several_seeds_are_averaged_in_their_cell(root, tmp_path):
    folder = shutil.copytree(root / "config", tmp_path / "config")
    tree = yaml.safe_load((folder / "scales" / "demo.yaml").read_text()) | {"seeds": [1, 2, 3]}
    (folder / "scales" / "demo.yaml").write_text(yaml.safe_dump(tree))
    planned = plan.load(folder, "demo")
    cell = planned.tables["T8"].rows[0].cells[0]
    tops = dict(zip(cell.finetunes, (60.0, 63.0, 66.0), strict=True))
    score = results(planned, tops).score(cell)
    assert (score.top1, score.spread, score.runs, score.planned) == (63.0, 3.0, 3, 3)
    partial = results(planned, dict(list(tops.items())[:2]))
    assert "(2 of 3 runs)" in markdown(planned.tables["T8"], partial)


def test_a_folder_and_a_mapping_give_the_same_pages(demo, tmp_path):
    found = content(demo)
    for key, value in found.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(value)
    by_folder, by_mapping = (Results(demo, read) for read in (from_folder(tmp_path), from_mapping(found)))
    for write in (summary, claims_page):
        assert write(by_folder) == write(by_mapping)
    for table in demo.tables.values():
        assert markdown(table, by_folder) == markdown(table, by_mapping)
        assert comma_separated(table, by_folder) == comma_separated(table, by_mapping)


def test_the_summary_counts_the_claims(demo):
    text = claims_page(results(demo))
    assert re.search(r"Of 13 claims: .*, 3 not comparable\.", text)
    assert text.count("| not comparable |") == 3


def test_the_score_command_prints_the_cells_digits(demo, tmp_path, capsys):
    cell = demo.tables["T8"].rows[0].cells[0]
    found = content(demo)[f"finetune/{cell.finetunes[0]}/predictions.parquet"]
    (tmp_path / "predictions.parquet").write_bytes(found)
    main(["score", str(tmp_path / "predictions.parquet")])
    printed = capsys.readouterr().out
    assert printed.endswith(", 400 videos in 100 groups\n")
    number, interval = printed.split(", Wilson")[0].split(" ", 1)
    assert f"| **{number}** {interval} |" in markdown(demo.tables["T8"], results(demo))


def test_the_score_command_averages_runs(demo, tmp_path, capsys):
    for name, top in (("a", 60), ("b", 64), ("c", 62)):
        (tmp_path / name).write_bytes(parquet(predictions(answers(demo, next(iter(demo.finetunings)), top))))
    main(["score", *(str(tmp_path / name) for name in "abc")])
    assert re.match(r"62\.0 \[.*\] ± 2\.0 \(3 runs\), Wilson", capsys.readouterr().out)


def test_the_score_command_names_a_useless_file(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(SystemExit, match=r"x\.parquet can't be read .*give a finetuning's predictions\.parquet"):
        main(["score", str(tmp_path / "x.parquet")])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_curve_is_drawn_reproducibly(demo, tmp_path, ending):
    for name in ("a", "b"):
        figures.draw_curve(demo.tables["F1"], results(demo), "note", [tmp_path / f"{name}.{ending}"])
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
    assert first == second
    tops = dict.fromkeys(demo.finetunings, 10.0)
    figures.draw_curve(demo.tables["F1"], results(demo, tops), "note", [tmp_path / f"c.{ending}"])
    assert (tmp_path / f"c.{ending}").read_bytes() != first
