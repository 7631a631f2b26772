# Runs into MLflow as they end; tables, curve and summary as numbers land.


rule track_pretraining:
    input:
        recorded,
    output:
        receipt("pretrain", "{run_id}_{epoch}"),
    log:
        f"{RESULTS}/logs/track_pretraining/{{run_id}}_{{epoch}}.log",
    priority: 5
    conda:
        ENVIRONMENT
    shell:
        f"python -m mac track run --stage pretrain --id {{wildcards.run_id}} --receipt {{output:q}} {TRACK} > {{log:q}} 2>&1"


rule track:
    input:
        multiext(f"{RESULTS}/{{stage}}/{{run_id}}/", "journal.jsonl", "metrics.json", "predictions.parquet"),
        parent,
    output:
        receipt("{stage}", "{run_id}"),
    log:
        f"{RESULTS}/logs/track/{{stage}}_{{run_id}}.log",
    wildcard_constraints:
        stage="finetune|probe",
    priority: 20
    conda:
        ENVIRONMENT
    shell:
        "python -m mac track run --stage {wildcards.stage} --id {wildcards.run_id} --receipt {output:q}"
        f" --report {quoted(REPORTS)} {RUNS_PAGE} {TRACK} > {{log:q}} 2>&1"


rule table:
    input:
        lambda wildcards: [run_file("finetune", i, "metrics.json") for i in PLAN.tables[wildcards.table].finetunes],
        lambda wildcards: [run_file("probe", i, "metrics.json") for i in PLAN.tables[wildcards.table].probes],
        lambda wildcards: focus_of([PLAN.tables[wildcards.table]]),
    output:
        report(f"{REPORTS}/tables/{{table}}.md", caption="../report/table.rst", category="Tables"),
        multiext(f"{REPORTS}/tables/{{table}}", ".csv", ".tex"),
    log:
        f"{RESULTS}/logs/table/{USER.scale}_{{table}}.log",
    wildcard_constraints:
        table=any_of(TABLES),
    priority: 20
    conda:
        ENVIRONMENT
    params:
        # what a table says besides its numbers: a changed label rebuilds this table and no other
        content=lambda wildcards: repr((PLAN.tables[wildcards.table], PLAN.experiment.verdicts)),
    shell:
        f"python -m mac report {REPORT} --table {{wildcards.table}} {SVG} > {{log:q}} 2>&1"


use rule table as curve with:
    output:
        multiext(f"{REPORTS}/tables/{{table}}", ".md", ".csv", ".tex"),
        figure("tables/{{table}}", "curve"),
    log:
        f"{RESULTS}/logs/curve/{USER.scale}_{{table}}.log",
    wildcard_constraints:
        table=any_of(CURVES),


rule summary:
    input:
        FINETUNED,
        PROBED,
        PRETRAINED,
        focus_of(PLAN.tables.values()),
    output:
        report(f"{REPORTS}/README.md", caption="../report/summary.rst", category="Summary"),
        f"{REPORTS}/claims.md",
    log:
        f"{RESULTS}/logs/summary/{USER.scale}.log",
    conda:
        ENVIRONMENT
    params:
        content=repr((PLAN.tables, PLAN.experiment.verdicts, sorted(PLAN.probes))),
    shell:
        f"python -m mac report {REPORT} > {{log:q}} 2>&1"


rule learning:
    input:
        FINETUNED,
        PRETRAINED,
    output:
        report(LEARNING_CURVES, caption="../report/learning.rst", category="Learning curves"),
    log:
        f"{RESULTS}/logs/learning/{USER.scale}.log",
    conda:
        ENVIRONMENT
    params:
        content=repr(PLAN.tables),
    shell:
        f"python -m mac learning {SCALE} --results {AT} --out {quoted(REPORTS)}/figures {SVG} > {{log:q}} 2>&1"


rule page:
    input:
        REPORT_FILES,
        PROBED,
        PRETRAINED,
        f"{REPORTS}/README.md",
        ledger=ancient(workflow.source_path("../../docs/discrepancies.md")),
    output:
        report(f"{REPORTS}/index.html", caption="../report/page.rst", category="Summary"),
    log:
        f"{RESULTS}/logs/page/{USER.scale}.log",
    conda:
        ENVIRONMENT
    params:
        content=repr((PLAN.tables, PLAN.experiment.verdicts, sorted(PLAN.probes))),
    shell:
        f"python -m mac page {REPORT} --ledger {{input.ledger:q}} > {{log:q}} 2>&1"
