"""LaTeX tables: well-formed, complete, and printed by a real LaTeX where there is one."""

import re
import shutil
import subprocess

import pytest
from made_up import results

from mac.report.tables import escape, latex


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
        assert all(len(re.split(r"(?<!\\)&", line)) == columns == 2 * len(table.columns) + 1 for line in body)


def test_it_holds_the_cells_numbers(demo):
    row = demo.tables["T8"].rows[0]
    score = results(demo).score(row.cells[0])
    line = next(line for line in latex(demo.tables["T8"], results(demo)).splitlines() if "= 10" in line)
    assert f"$\\lambda$ = 10 & {score.top1:.1f} [{score.low:.1f}, {score.high:.1f}] & 81.1" in line


def test_open_and_cited_cells_are_dashes_and_cited_rows_are_marked(demo):
    text = latex(demo.tables["T1"], results(demo, tops={}))
    assert r"PacePred$^\dagger$ & -- & 66.3 & -- & 32.2 \\" in text
    assert r"MAC-SC-2 & -- & 84.6 & -- & 53.2 \\" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_prints_all_tables(demo, tmp_path):
    tables = "\n".join(latex(table, results(demo)) for table in demo.tables.values())
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + tables + "\\end{document}\n"
    (tmp_path / "tables.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Missing character" not in run.stdout
