"""Bad configuration: one clear message, all problems together."""

import pytest
import yaml

from mac import plan
from mac.config import ColourConfig, DatasetConfig, EvaluateConfig, ModelConfig, OptimiserConfig, Synthetic
from mac.experiment import merge, unfold
from mac.validation import ConfigError, read_yaml


def spoil(folder, dotted=None, tables=None, scale="smoke"):
    """Override the scale file with dotted keys, and its tables."""
    path = folder / "scales" / f"{scale}.yaml"
    tree = merge(read_yaml(path), unfold(dotted or {}))
    if tables:
        tree["tables"] = merge(tree.get("tables", {}), tables)
    path.write_text(yaml.safe_dump(tree, allow_unicode=True))


def write_scale(folder, name, text):
    (folder / "scales" / f"{name}.yaml").write_text(text)


def problems(folder, scale="smoke"):
    with pytest.raises(ConfigError) as caught:
        plan.load(folder, scale)
    return str(caught.value)


@pytest.mark.parametrize(
    ("dotted", "message"),
    [
        (
            {"pretrain.mask.treshold": 20},
            "pretrain.mask.treshold: unknown key — did you mean 'threshold'? Allowed: source",
        ),
        ({"pretrian.mask.threshold": 20}, "pretrian: unknown key — did you mean 'pretrain'?"),
        ({"pretrain.optimiser.lr": "1e-3"}, "found '1e-3', which YAML reads as text — write 1.0e-3"),
        ({"pretrain.optimiser.lr": "1e5"}, "write 1.0e+5"),
        ({"pretrain.optimiser.lr": "fast"}, "pretrain.optimiser.lr: found the text 'fast' — a number is wanted"),
        ({"pretrain.optimiser.epochs": 2.5}, "pretrain.optimiser.epochs: found 2.5"),
        ({"pretrain.contrast.symmetric": "yes"}, "pretrain.contrast.symmetric: found 'yes'"),
        ({"pretrain.dataset": "ucf100"}, "unknown data set 'ucf100' — did you mean 'ucf101'?"),
        ({"model.backbone": "r2plus1d_12"}, "model.backbone: found 'r2plus1d_12'"),
        ({"pretrain.mask.preset": "papper"}, "did you mean 'paper'?"),
        ({"pretrain.pretext.k": 1}, "pretrain.pretext.k: found 1 — input should be greater than or equal to 2"),
        ({"pretrain.optimiser.milestones": [2]}, "milestones [2] must rise and lie before the last epoch, 2"),
        ({"pretrain.attenuate": {"k": 4, "segments": 2}}, "pretrain: attenuate: the method 'mac' attenuates its views"),
        ({"pretrain.checkpoints": [2, 1]}, "checkpoints [2, 1] must rise"),
        ({"pretrain.checkpoints": [7]}, "checkpoints [7] go past the last epoch, 2"),
        ({"pretrain.contrast.queue": 4}, "contrast.queue 4 must hold the 8 keys of one step"),
        ({"pretrain.clip.size": 30}, "a crop of 30 doesn't fit into frames of 22×16"),
        ({"supervised_baseline": "weights"}, "no Kinetics-400 weights are published of r2plus1d_18 of width 4"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "seeds: [1, 1] names one twice"),
        ({"splits": [4]}, "splits.0: found 4"),
        ({"pretrain.mask.threshold": None}, "pretrain.mask.threshold: found None"),
        ({"pretrain.pretext.segments": 3}, "pretext.segments 3 must divide clip.num_frames 8"),
        ({"pretrain.attenuate": {"k": 4, "segments": 3}}, "attenuate.segments 3 must divide clip.num_frames 8"),
        (
            {"pretrain.attenuate": {"k": 4, "segments": 2}},
            "the method 'mac' attenuates its views already; set it to null",
        ),
        ({"pretrain.method": "vcop"}, "pretrain.method: found 'vcop'"),
        (
            {"pretrain.method": "background_erasing", "pretrain.contrast": None},
            "contrast: the method 'background_erasing' is nothing without it",
        ),
        (
            {"pretrain.method": "cloze", "pretrain.clip.num_frames": 6, "pretrain.pretext.segments": 1},
            "clip.num_frames 6 a multiple of 4",
        ),
        (
            {"pretrain.method": "clip_order", "pretrain.contrast": None, "pretrain.clip_order.interval": 9},
            "clip: clip order needs videos of 42 frames; those of ucf101 have 16 — shorten clip.num_frames",
        ),
        ({"finetune.evaluate.positions": "centers"}, "finetune.evaluate.positions: found 'centers' — input should be"),
        ({"finetune.evaluate.scale": [8, 8]}, "finetune: evaluate.scale [8, 8] is smaller than clip.size 16"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(folder, dotted, message):
    spoil(folder, dotted)
    assert message in problems(folder)


def row(label="new", **settings):
    return {"rows": [{"label": label, "printed": [None], **settings}], "claims": [], "only": None}


def test_a_table_of_no_scale_is_named(folder):
    path = folder / "tables.yaml"
    tree = read_yaml(path)
    tree["X1"]["scales"] = ["papre"]
    path.write_text(yaml.safe_dump(tree, allow_unicode=True))
    assert "X1: scales: none of ['papre'] — did you mean 'paper'?" in problems(folder)


def test_a_scale_may_extend_another(folder):
    write_scale(folder, "small", "extends: smoke\nseeds: [5]\ntables: {X3: null}")
    smoke, small = plan.load(folder, "smoke"), plan.load(folder, "small")
    assert small.tables.keys() == smoke.tables.keys() - {"X3"}
    assert small.experiment.seeds == [5]
    assert small.experiment.model_copy(update={"seeds": smoke.experiment.seeds}) == smoke.experiment


@pytest.mark.parametrize("base", ["smoek", "first", "second"])
def test_a_scale_must_extend_another_that_there_is(folder, base):
    write_scale(folder, "first", "extends: second")
    write_scale(folder, "second", f"extends: {base}")
    with pytest.raises(ConfigError, match=f"second.yaml: extends: no scale '{base}' that does not extend this one"):
        plan.load(folder, "first")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (row(), "row 'new' overrides nothing: give it `set`"),
        (row(set={"pretrain.mask.threshold": 30.0}), "overrides nothing: every value is the default's"),
        (row(set={"pretrain.mask.treshold": 3.0}), "T4, row 'new': pretrain.mask.treshold: unknown key"),
        (
            row(set={"pretrain.contrast": None, "pretrain.contrast.queue": 64}),
            "pretrain.contrast.queue: stands beside pretrain.contrast, which holds it",
        ),
        (row(set={"pretrain.pretext.k": 3}, default=True), "exactly one of `set` (or `random`), `default` and `cited`"),
        ({"rows": row(default=True)["rows"] * 2, "claims": [], "only": None}, "row 'new' stands twice"),
        (
            {"rows": [*row("a", default=True)["rows"], *row("b", default=True)["rows"]], "claims": [], "only": None},
            "row 'b': trains exactly what row 'a' trains",
        ),
        ({"only": ["MSE-m regression"]}, "only: no row 'MSE-m regression' — did you mean 'MSE-n regression'?"),
        (
            {"columns": [{"label": "a"}, {"label": "a", "measure": "probe"}], "claims": []},
            "column 'a' stands twice",
        ),
        ({"titel": "x"}, "titel: unknown key — did you mean 'title'?"),
        ({"claims": [{"text": "c", "best": "nobody"}]}, "claim 'c': no row 'nobody'"),
        (
            {"claims": [{"text": "c", "best": "Cross-entropy", "columns": ["UFC101"]}]},
            "claim 'c': no column 'UFC101' — did you mean 'UCF101'?",
        ),
        (
            {"claims": [{"text": "c", "groups": ["Cross-entropy", "MSE regression"], "columns": ["UCF101"]}]},
            "`groups` and `focus` are of the first column",
        ),
        ({"columns": [{"label": "c", "measure": "recall@5"}]}, "measure: found 'recall@5'"),
        (
            {"columns": [{"label": "c", "measure": "probe"}]},
            "columns: the first, 'c', measures by 'probe'; put",
        ),
        (
            {"rows": [{"label": "p", "printed": [1.0, 2.0], "default": True}], "claims": [], "only": None},
            "2 printed numbers for 1 columns",
        ),
        (row(printed=[], default=True), "0 printed numbers for 1 columns"),
    ],
)
def test_a_bad_table_is_named(folder, table, message):
    spoil(folder, tables={"T4": table})
    text = problems(folder)
    assert message in text
    assert "tables.yaml: T4" in text


def test_a_column_of_probes_wants_their_settings(folder):
    spoil(folder, {"probe": None})
    text = problems(folder)
    assert "X3, row 'random init': probe: is null, and column 'linear probe' measures by 'probe'" in text
    assert "column 'recall@1' measures by 'recall@1' — give it in the column's `set`" in text


def test_a_claim_compares_what_is_measured_alike(folder):
    """A column of the same name may hold another measure."""
    columns = [{"label": "UCF101"}, {"label": "recall@1", "measure": "recall@1"}]
    rows = [{"label": "one", "printed": [None, None], "default": True}]
    claims = [{"text": "c", "greater": ["one", "X3: random init"]}]
    spoil(folder, tables={"T5": {"columns": columns, "rows": rows, "claims": claims, "only": None}})
    assert plan.load(folder, "smoke").tables["T5"].elsewhere
    columns[1]["measure"] = "probe"
    spoil(folder, tables={"T5": {"columns": columns}})
    assert "claim 'c': X3 has no column recall@1 of measure probe" in problems(folder)


@pytest.mark.parametrize(("epochs", "message"), [([0, 2, 1], "must rise"), ([0, 1, 9], "past the last epoch, 3")])
def test_curve_epochs_must_rise_and_fit(folder, epochs, message):
    spoil(folder, tables={"F1": {"curve": {"epochs": epochs}}})
    assert message in problems(folder)


def test_all_problems_come_together(folder):
    bad = {"pretrain.mask.treshold": 1, "model.width": "wide", "finetune.dropout": 2.0}
    spoil(folder, bad, tables={"T5": {"only": ["nothing"]}})
    text = problems(folder)
    assert "4 problems" in text
    for part in ("treshold", "model.width", "finetune.dropout", "no row 'nothing'"):
        assert part in text


def test_problems_of_several_rows_come_together(folder):
    rows = [
        {"label": "a", "printed": [None], "set": {"pretrain.pretext.k": 1}},
        {"label": "b", "printed": [None], "set": {"pretrain.pretext.segments": 5}},
    ]
    spoil(folder, tables={"T4": {"rows": rows, "claims": [], "only": None}})
    text = problems(folder)
    assert "row 'a': pretrain.pretext.k" in text
    assert "row 'b': " in text


def test_an_unknown_scale_and_an_unknown_table_are_named(folder):
    assert "no scale 'demos' — did you mean 'demo'?" in problems(folder, "demos")
    spoil(folder, tables={"T44": {"title": "x"}})
    assert "tables.T44: no such table — did you mean 'T4'?" in problems(folder)


def test_a_key_written_twice_is_refused(folder):
    path = folder / "default.yaml"
    path.write_text(path.read_text() + "\nseeds: [2]\n")
    assert "key 'seeds' stands twice" in problems(folder)


@pytest.mark.parametrize(("text", "told"), [("[1]: 2", "unhashable key"), ("? {a: 1}\n: 2", "unhashable key")])
def test_a_key_that_is_no_word_is_named(tmp_path, text, told):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"c.yaml: .*{told}"):
        read_yaml(tmp_path / "c.yaml")


def test_a_number_and_a_word_are_two_keys(tmp_path):
    (tmp_path / "c.yaml").write_text("1: a\n'1': b\n")
    assert read_yaml(tmp_path / "c.yaml") == {1: "a", "1": "b"}


def test_a_file_in_another_encoding_is_read_or_named(folder):
    path = folder / "default.yaml"
    text, before = path.read_text(), plan.load(folder, "demo").scale
    path.write_bytes(text.encode("utf-16"))
    assert plan.load(folder, "demo").scale == before
    path.write_bytes(text.encode() + b"\n# caf\xe9\n")
    assert "found b'\\xe9\\n' — text in UTF-8 is read" in problems(folder)


def test_the_channels_are_part_of_an_id_only_where_there_is_a_choice():
    def model(backbone, **more):
        return ModelConfig(backbone=backbone, width=64, **more)

    assert model("r2plus1d_18", channels="torchvision").canonical() == {"backbone": "r2plus1d_18", "width": 64}
    assert model("r2plus1d_18", channels="torchvision") == model("r2plus1d_18")
    assert model("r2plus1d_18", channels="paper").identify() != model("r2plus1d_18").identify()
    for backbone in ("r3d_18", "s3d"):
        assert model(backbone, channels="paper") == model(backbone)
    read = ModelConfig(**model("r2plus1d_18", channels="paper").canonical())
    assert read.network == ("r2plus1d_18", 64, "paper", 1e-5)


@pytest.mark.parametrize(
    ("section", "key", "other"),
    [
        (ColourConfig(jitter_probability=0.8, gray_probability=0.2), "hue", "clip"),
        (EvaluateConfig(num_clips=10, stride=2, scale=[171, 128]), "positions", "centres"),
    ],
)
def test_a_setting_that_came_later_is_part_of_an_id_only_where_it_is_used(section, key, other):
    assert key not in section.canonical()
    changed = type(section)(**section.canonical(), **{key: other})
    assert changed.canonical() == section.canonical() | {key: other}
    assert changed.identify() != section.identify()


def test_ids_follow_values_not_spelling():
    base = {
        "name": "sgd", "sgd_momentum": 0.9, "weight_decay": 1e-4, "gradient_clip": 40.0, "batch_size": 32,
        "epochs": 3, "schedule": "step", "milestones": [], "gamma": 0.1, "warmup_epochs": 0,
    }  # fmt: skip
    whole, real = OptimiserConfig(lr=1, **base), OptimiserConfig(lr=1.0, **base)
    assert whole.identify() == real.identify()
    assert len(whole.identify()) == 10
    assert OptimiserConfig(lr=2, **base).identify() != whole.identify()
    assert OptimiserConfig(**dict(reversed({"lr": 1, **base}.items()))).identify() == whole.identify()


def test_ids_include_the_version():
    synthetic_data = Synthetic(classes=2, videos_per_class=1, num_frames=2, seed=1)
    first = DatasetConfig(name="ucf101", layout="ucf101", subset=None, synthetic=synthetic_data)
    assert first.model_copy(update={"version": 2}).identify() != first.identify()
