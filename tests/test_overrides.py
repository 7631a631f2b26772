"""Rows from the command line: the same runs as rows of tables.yaml, and one clear message for what can't be."""

import pytest
from test_plan import counts, edit

from mac import plan
from mac.cli import main
from mac.overrides import Overrides
from mac.validation import ConfigError


def words(*sets, sweep=()):
    return Overrides.from_words(sets, sweep)


def load(root, overrides, scale="paper"):
    return plan.load(root / "config", scale, overrides)


def runs(planned, table):
    """The finetunings of each row of a table with one column."""
    return [row.cells[0].runs for row in planned.tables[table].rows]


@pytest.mark.parametrize(
    ("sets", "table", "place"),
    [
        (["pretrain.mask.threshold=10"], "T8", 0),
        (["pretrain.mask.threshold=10.0"], "T8", 0),
        (["pretrain.clip.strides=[1, 2, 3]", "pretrain.pretext.segments=4"], "T5", 3),
        (["model.backbone=r3d_18"], "T5", 0),
        (["pretrain.contrast=null", "pretrain.pretext.weight=1"], "T2", 2),
        (["finetune.dataset=hmdb51", "model.backbone=r2plus1d_10"], "T1", 4),
    ],
)
def test_a_set_row_is_the_run_of_an_equal_row_of_tables_yaml(root, sets, table, place):
    planned, before = load(root, words(*sets)), load(root, words())
    assert runs(planned, "S1") == [before.tables[table].rows[place].cells[-1].runs]
    assert (planned.finetunings.keys(), planned.pretrainings.keys()) == (
        before.finetunings.keys(),
        before.pretrainings.keys(),
    )
    assert planned.tables["S1"].columns == before.tables[table].columns[-1:]
    assert planned.default == before.default


def test_a_row_is_named_by_what_it_changes_and_its_run_knows_it(root):
    planned = load(root, words("pretrain.mask.threshold=20.0", "pretrain.colour.hue=clip"))
    assert counts(planned) == (22, 25, 28)
    (row,) = planned.tables["S1"].rows
    assert row.label == "pretrain.mask.threshold = 20, pretrain.colour.hue = clip"
    (run,) = row.cells[0].runs
    start = planned.pretrainings[planned.finetunings[run].config.pretrain_id]
    assert start.used_by == planned.finetunings[run].used_by == [f"S1: {row.label}"]
    assert start.config.mask.threshold == 20.0


def test_a_sweep_is_a_row_for_each_value_the_defaults_among_them(root):
    planned = load(root, words(sweep=["pretrain.pretext.k=2,3,4,5,6"]))
    assert counts(planned) == counts(load(root, words()))
    assert runs(planned, "S1") == runs(planned, "T6")
    table = planned.tables["S1"]
    assert (table.swept, [row.value for row in table.rows]) == ("pretrain.pretext.k", [2, 3, 4, 5, 6])
    assert [row.label for row in table.rows] == [f"pretrain.pretext.k = {k}" for k in (2, 3, 4, 5, 6)]


def test_what_is_set_holds_in_every_row_of_every_sweep(root):
    sweeps = ["pretrain.mask.momentum=.1,.5", "pretrain.clip.strides=[1],[1, 2]"]
    planned = load(root, words("pretrain.mask.threshold=20", sweep=sweeps))
    assert [name for name in planned.tables if name.startswith("S")] == ["S1", "S2"]
    assert "pretrain.mask.threshold = 20" in planned.tables["S2"].title
    for name in ("S1", "S2"):
        for (run,) in runs(planned, name):
            start = planned.pretrainings[planned.finetunings[run].config.pretrain_id].config
            assert start.mask.threshold == 20.0
    assert [row.value for row in planned.tables["S2"].rows] == ["[1]", "[1, 2]"]


def test_a_sweep_may_stand_in_tables_yaml(folder):
    sweep = {"key": "pretrain.pretext.k", "values": [2, 4]}
    edit(folder / "tables.yaml", lambda t: t.update(T9={"title": "k", "columns": [{"label": "x"}], "sweep": sweep}))
    planned = plan.load(folder, "paper")
    assert runs(planned, "T9") == [runs(planned, "T6")[0], runs(planned, "T6")[2]]


@pytest.mark.parametrize(
    ("sets", "sweeps", "as_words"),
    [
        ({"pretrain.mask.threshold": "20"}, {}, ["pretrain.mask.threshold=20"]),
        ({"pretrain": {"mask": {"threshold": "20", "momentum": "1e-1"}}}, {},
         ["pretrain.mask.threshold=20", "pretrain.mask.momentum=1e-1"]),
        ({"pretrain.contrast": "null", "pretrain.contrast_": "true"}, {},
         ["pretrain.contrast=null", "pretrain.contrast_=true"]),
        ({"pretrain.attenuate": {"k": "4", "segments": "2"}}, {}, ["pretrain.attenuate={k: 4, segments: 2}"]),
        ({}, {"pretrain.pretext.k": ["2", "3"]}, "pretrain.pretext.k=2,3"),
        ({}, {"pretrain.clip.strides": [["1"], ["1", "2"]]}, "pretrain.clip.strides=[1],[1,2]"),
        ({}, {"pretrain.contrast": {"queue": [256, "512"]}}, "pretrain.contrast.queue=256, 512"),
    ],
)  # fmt: skip
def test_snakemakes_text_a_files_values_and_words_mean_the_same(sets, sweeps, as_words):
    found = Overrides.from_settings(sets, sweeps)
    assert found == (words(sweep=[as_words]) if sweeps else words(*as_words))
    again = found.words()
    pairs = list(zip(again[::2], again[1::2], strict=True))
    assert found == Overrides.from_words(*([w for o, w in pairs if o == option] for option in ("--set", "--sweep")))


@pytest.mark.parametrize(
    ("sets", "sweep", "message"),
    [
        (["pretrain.mask.treshold=20"], [], "pretrain.mask.treshold: unknown key — did you mean 'threshold'?"),
        ([], ["pretrain.pretext.kk=2,3,4"], "pretrain.pretext.kk: unknown key — did you mean 'k'?"),
        (["pretrain.mask.momentum=3"], [], "pretrain.mask.momentum: found 3 — input should be less than or equal to 1"),
        ([], ["pretrain.pretext.k=1,2"], "pretrain.pretext.k: found 1 — input should be greater than or equal to 2"),
        (["pretrain.optimiser.lr=1e-3"], [], "lr: found '1e-3', which YAML reads as text — write 1.0e-3"),
        (["pretrain.mask.threshold=30"], [], "pretrain.mask.threshold: has no effect"),
        (["pretrain.mask.threshold=20", "pretrain.pretext.k=4"], [], "pretrain.pretext.k: has no effect"),
        (["pretrain.pace.k=3"], [], "pretrain.pace.k: unknown key"),
        (["figures.rows=1"], [], "figures.rows: has no effect"),
        ([], ["figures.rows=1,2"], "row 'figures.rows = 2': trains exactly what row 'figures.rows = 1' trains"),
        (["pretrain.pretext.k=3"], ["pretrain.pretext.k=2,4"], "pretrain.pretext.k: is both set and swept"),
        (["pretrain.contrast=null"], ["pretrain.contrast.queue=64,128"], "stands beside pretrain.contrast"),
        ([], ["pretrain.pretext.k=2"], "pretrain.pretext.k: swept over [2] — a list of two values or more is wanted"),
        ([], ["pretrain.attenuate={k: 2},{k: 3}"], "pretrain.attenuate: swept over"),
        ([], ["pretrain.pretext.k=2,2"], "row 'pretrain.pretext.k = 2' stands twice"),
        (["pretrain.mask.threshold"], [], "--set pretrain.mask.threshold: wanted is KEY=VALUE"),
        (["pretrain.mask.threshold="], [], "pretrain.mask.threshold: found no value — write null"),
        (["pretrain.mask={}"], [], "pretrain.mask: has no effect"),
        (["pretrain.mask.threshold=20"] * 2, [], "pretrain.mask.threshold stands twice"),
        (["pretrain.clip.strides=[1"], [], "pretrain.clip.strides: found '[1' — a value as YAML writes it is wanted"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_one_clear_error(root, sets, sweep, message):
    with pytest.raises(ConfigError) as caught:
        load(root, words(*sets, sweep=sweep))
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


def test_an_override_that_another_one_needs_has_an_effect(root):
    sets = ["pretrain.method=pace", "pretrain.contrast=null", "pretrain.attenuate.k=4", "pretrain.attenuate.segments=2"]
    planned = load(root, words(*sets), "smoke")
    (row,) = (row for row in planned.tables["X3"].rows if row.label == "Pace prediction on MAC's clips")
    assert runs(planned, "S1") == [row.cells[0].runs]


def test_a_table_of_the_same_name_is_refused(folder):
    edit(folder / "tables.yaml", lambda tables: tables.update(S1=tables.pop("R2") | {"scales": ["paper"]}))
    with pytest.raises(ConfigError, match="tables.yaml has a table S1, too; rename it"):
        plan.load(folder, "paper", words("pretrain.mask.threshold=20"))


def test_the_plan_command_counts_them(root, capsys):
    own = ["plan", "--scale", "smoke", "--config-dir", str(root / "config")]
    main([*own, "--set", "pretrain.mask.threshold=20", "pretrain.pretext.k=3"])
    assert capsys.readouterr().out.count("S1: pretrain.mask.threshold = 20, pretrain.pretext.k = 3") == 2
    with pytest.raises(SystemExit, match="mac plan: .*\n.*command line: pretrain.pretext.kk: unknown key"):
        main([*own, "--sweep", "pretrain.pretext.kk=2,3"])


def test_the_rows_command_wants_a_row(root, tmp_path, capsys):
    folders = [word for name in ("data-root", "results", "out") for word in (f"--{name}", str(tmp_path))]
    with pytest.raises(SystemExit) as exited:
        main(["rows", "--scale", "smoke", "--config-dir", str(root / "config"), *folders])
    assert exited.value.code == 2
    assert "Give --rows, --set or --sweep." in capsys.readouterr().err
