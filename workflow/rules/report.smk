# Runs into MLflow as they end; tables, curve and summary as numbers land.


def journals_up_to(wildcards):
    """A pretraining's journals and metrics, from its first segment to this one."""
    planned = sorted(PLAN.pretrainings[wildcards.pretrain_id].epochs)
    epochs = [epoch for epoch in planned if epoch <= int(wildcards.epoch)]
    return [
        checkpoint_file(wildcards.pretrain_id, epoch, ending) for epoch in epochs for ending in ("jsonl", "json")
    ]


def parent_receipt(wildcards):
    """The recorded run of the pretraining a finetuning starts from; none for random or published weights."""
    config = PLAN.finetunings[wildcards.finetune_id].config
    if config.initial != "pretrained":
        return []
    return ancient(f"{RESULTS}/tracking/pretrain/{config.pretrain_id}_{config.epoch}.json")


def metrics_of_table(wildcards):
    return [f"{RESULTS}/finetune/{i}/metrics.json" for i in PLAN.tables[wildcards.table].finetunes]


def content_of_table(wildcards):
    """What a table says besides its numbers: a changed label rebuilds this table and no other."""
    return repr(PLAN.tables[wildcards.table])


rule track_pretraining:
    input:
        config=resolved("pretrain", "pretrain_id"),
        files=journals_up_to,
    output:
        f"{RESULTS}/tracking/pretrain/{{pretrain_id}}_{{epoch}}.json",
    log:
        f"{RESULTS}/logs/track_pretraining/{{pretrain_id}}_{{epoch}}.log",
    conda:
        ENVIRONMENT
    localrule: True
    priority: 5
    shell:
        "python -m mac track --stage pretrain --config {input.config} --receipt {output} --files {input.files}"
        " --tracking-uri '{TRACKING}' {SCALE} > {log} 2>&1"


rule track_finetuning:
    input:
        config=resolved("finetune", "finetune_id"),
        files=multiext(f"{RESULTS}/finetune/{{finetune_id}}/", "journal.jsonl", "metrics.json", "predictions.parquet"),
        parent=parent_receipt,
    output:
        f"{RESULTS}/tracking/finetune/{{finetune_id}}.json",
    log:
        f"{RESULTS}/logs/track_finetuning/{{finetune_id}}.log",
    conda:
        ENVIRONMENT
    localrule: True
    priority: 20
    shell:
        "python -m mac track --stage finetune --config {input.config} --receipt {output} --files {input.files}"
        " $(test -z '{input.parent}' || echo --parent {input.parent})"
        " --tracking-uri '{TRACKING}' {SCALE} > {log} 2>&1"
        " && python -m mac report {SCALE} --results {RESULTS} --out {REPORTS} >> {log} 2>&1"


rule table:
    input:
        metrics_of_table,
    output:
        report(
            f"{REPORTS}/tables/{{table}}.md",
            caption="../report/table.rst",
            category="Tables",
        ),
        f"{REPORTS}/tables/{{table}}.csv",
    log:
        f"{RESULTS}/logs/table/{USER.scale}_{{table}}.log",
    conda:
        ENVIRONMENT
    params:
        content=content_of_table,
    wildcard_constraints:
        table="|".join(TABLES),
    localrule: True
    priority: 20
    shell:
        "python -m mac report {SCALE} --results {RESULTS} --out {REPORTS} --table {wildcards.table} > {log} 2>&1"


rule curve:
    input:
        metrics_of_table,
    output:
        f"{REPORTS}/tables/{{table}}.md",
        f"{REPORTS}/tables/{{table}}.csv",
        report(
            f"{REPORTS}/tables/{{table}}.png",
            caption="../report/curve.rst",
            category="Figures",
        ),
        f"{REPORTS}/tables/{{table}}.svg",
    log:
        f"{RESULTS}/logs/curve/{USER.scale}_{{table}}.log",
    conda:
        ENVIRONMENT
    params:
        content=content_of_table,
    wildcard_constraints:
        table="|".join(CURVES),
    localrule: True
    priority: 20
    shell:
        "python -m mac report {SCALE} --results {RESULTS} --out {REPORTS} --table {wildcards.table} > {log} 2>&1"


rule summary:
    input:
        [f"{RESULTS}/tracking/finetune/{i}.json" for i in PLAN.finetunings],
    output:
        report(f"{REPORTS}/README.md", caption="../report/summary.rst", category="Summary"),
    log:
        f"{RESULTS}/logs/summary/{USER.scale}.log",
    conda:
        ENVIRONMENT
    params:
        content=repr(PLAN.tables),
    localrule: True
    shell:
        "python -m mac report {SCALE} --results {RESULTS} --out {REPORTS} > {log} 2>&1"
