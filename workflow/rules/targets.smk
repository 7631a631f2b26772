# What `all` asks for: the report's files, and the results and receipts of every run.

CURVES = [name for name, table in PLAN.tables.items() if table.has_picture]
TABLES = [name for name in PLAN.tables if name not in CURVES]
NUMBERS = ["md", "csv", "tex"]
LEARNING_CURVES = expand(f"{REPORTS}/figures/learning_{{table}}.{{format}}", table=PLAN.tables, format=PICTURES)
REPORT_FILES = [
    *expand(f"{REPORTS}/tables/{{table}}.{{format}}", table=TABLES, format=NUMBERS),
    *expand(f"{REPORTS}/tables/{{table}}.{{format}}", table=CURVES, format=NUMBERS + PICTURES),
    *LEARNING_CURVES,
]
for name, product in products(PLAN).items():
    REPORT_FILES += [f"{REPORTS}/{file}" for file in product.files]
    if USER.svg and name not in RESTORABLE.products:
        pictures = [file for file in product.files if file.endswith(".png") and "mask_check" not in file]
        REPORT_FILES += [f"{REPORTS}/{Path(file).with_suffix('.svg')}" for file in pictures]
FINETUNED = [run_file("finetune", i, "metrics.json") for i in PLAN.finetunings]
PROBED = [run_file("probe", i, "metrics.json") for i in PLAN.probes]
SEGMENTS = [(i, epoch) for i, planned in PLAN.pretrainings.items() for epoch in planned.epochs]
PRETRAINED = [run_file("pretrain", i, f"epoch_{epoch}.json") for i, epoch in SEGMENTS]
STORES = [i for i in PLAN.stores if exist([run_file("store", i, "store.json")])]
# Results and receipts are targets themselves: a new row's are made even where Snakemake has no record of older runs, and
# deleted ones are made again. Checkpoints are not: they may be deleted once finetuning is done. Mask checks and frame
# stores that are there are targets, although nothing that is done asks for them: another limit checks again, and when an
# index was deleted, it is made anew and the store after it.
RUNS = [
    *[f"{RESULTS}/{file}" for result in results_of(PLAN) for file in files_of(result)],
    *[receipt("finetune", i) for i in PLAN.finetunings],
    *[receipt("probe", i) for i in PLAN.probes],
    *[receipt("pretrain", f"{i}_{epoch}") for i, epoch in SEGMENTS],
    *[path for i in PLAN.mask_checks if exist([path := run_file("masks", i, "check.json")])],
    *[
        path
        for i in STORES
        for path in (
            *[run_file("store", i, name) for name in ("store.json", "videos.parquet", "offsets.npy", "sizes.npy")],
            run_file("dataset", PLAN.stores[i].dataset.identify(), "index.parquet"),
        )
    ],
]
