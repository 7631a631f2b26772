"""One table as tidy CSV."""

import csv
import io

from mac.plan import PlannedTable
from mac.report.results import Results
from mac.report.verdicts import against_printed

HEAD = ("table", "row", "epoch", "column", "measured", "low", "high", "spread", "videos", "runs", "planned", "printed")
MORE = ("cited", "finetune_ids", "wilson_low", "wilson_high", "groups", "verdict", "problem")


def comma_separated(table: PlannedTable, results: Results) -> str:
    """Write a table, one line a cell; numbers are in percent."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow([*HEAD, *MORE])
    for row in table.rows:
        for cell in row.cells:
            score = results.score(cell)
            numbers, more = [""] * 7, [""] * 3
            if score:
                spread = "" if score.spread is None else f"{score.spread:.4f}"
                numbers = [f"{score.top1:.4f}", f"{score.low:.4f}", f"{score.high:.4f}", spread]
                numbers += [score.videos, score.runs, score.planned]
                more = [f"{score.wilson_low:.4f}", f"{score.wilson_high:.4f}", score.groups]
            epoch = "" if row.epoch is None else row.epoch
            printed = "" if cell.printed is None else cell.printed
            judged = cell.finetunes and cell.printed is not None
            more += [against_printed(cell, results).outcome if judged else "", "; ".join(results.reasons(cell))]
            ids = " ".join(cell.finetunes)
            writer.writerow([table.name, row.label, epoch, cell.column, *numbers, printed, row.cited, ids, *more])
    return sink.getvalue()
