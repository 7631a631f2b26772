# What `all` asks for: the report's files, and the results and receipts of every run.

CURVES = [name for name, table in PLAN.tables.items() if table.is_curve]
GRADCAM_FIGURES = ["F2", "F3", "F4"]
TABLES = [name for name in PLAN.tables if name not in CURVES]
LEARNING_CURVES = expand(
    f"{REPORTS}/figures/learning_{{table}}.{{format}}",
    table=PLAN.tables,
    format=["png", "svg"],
)
REPORT_FILES = [
    *expand(
        f"{REPORTS}/tables/{{table}}.{{format}}",
        table=TABLES,
        format=["md", "csv", "tex"],
    ),
    *expand(
        f"{REPORTS}/tables/{{table}}.{{format}}",
        table=CURVES,
        format=["md", "csv", "tex", "png", "svg"],
    ),
    *expand(f"{REPORTS}/data/{{dataset}}.md", dataset=DATASETS),
    *LEARNING_CURVES,
]
if PLAN.shown_card:
    REPORT_FILES += [
        f"{REPORTS}/figures/mask_card.png",
        *expand(
            f"{REPORTS}/figures/mask_sweep.{{format}}", format=["png", "svg", "json"]
        ),
        *expand(f"{REPORTS}/figures/mask_foreground.{{format}}", format=["png", "svg"]),
    ]
FINETUNED = [f"{RESULTS}/finetune/{i}/metrics.json" for i in PLAN.finetunings]
PROBED = [f"{RESULTS}/probe/{i}/metrics.json" for i in PLAN.probes]
PRETRAINED = [
    f"{RESULTS}/pretrain/{i}/epoch_{epoch}.json"
    for i, p in PLAN.pretrainings.items()
    for epoch in p.epochs
]
# Results and receipts are targets themselves: a new row's are made even where Snakemake has no record of older runs, and
# deleted ones are made again. Checkpoints are not: they may be deleted once finetuning is done.
RUNS = [
    *FINETUNED,
    *[f"{RESULTS}/tracking/finetune/{i}.json" for i in PLAN.finetunings],
    *PROBED,
    *[f"{RESULTS}/tracking/probe/{i}.json" for i in PLAN.probes],
    *[
        f"{RESULTS}/tracking/pretrain/{i}_{epoch}.json"
        for i, p in PLAN.pretrainings.items()
        for epoch in p.epochs
    ],
]
