# Runs into MLflow as they end; tables, curve and summary as numbers land.


rule track_pretraining:
    input:
        config=resolved("pretrain", "pretrain_id"),
        files=journals_of,
        before=receipt_before,
    output:
        f"{RESULTS}/tracking/pretrain/{{pretrain_id}}_{{epoch}}.json",
    log:
        f"{RESULTS}/logs/track_pretraining/{{pretrain_id}}_{{epoch}}.log",
    priority: 5
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac track run --stage pretrain --id {wildcards.pretrain_id} --receipt {output}"
        f" --results {RESULTS} --tracking-uri '{TRACKING}' {SCALE} > {{log}} 2>&1"


rule track_finetuning:
    input:
        config=resolved("finetune", "finetune_id"),
        files=multiext(
            f"{RESULTS}/finetune/{{finetune_id}}/",
            "journal.jsonl",
            "metrics.json",
            "predictions.parquet",
        ),
        parent=parent_receipt,
    output:
        f"{RESULTS}/tracking/finetune/{{finetune_id}}.json",
    log:
        f"{RESULTS}/logs/track_finetuning/{{finetune_id}}.log",
    priority: 20
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac track run --stage finetune --id {wildcards.finetune_id} --receipt {output}"
        f" --report {REPORTS} {RUNS_PAGE}"
        f" --results {RESULTS} --tracking-uri '{TRACKING}' {SCALE} > {{log}} 2>&1"


rule track_probe:
    input:
        config=resolved("probe", "probe_id"),
        files=multiext(
            f"{RESULTS}/probe/{{probe_id}}/",
            "journal.jsonl",
            "metrics.json",
            "predictions.parquet",
        ),
        parent=parent_receipt_of_probe,
    output:
        f"{RESULTS}/tracking/probe/{{probe_id}}.json",
    log:
        f"{RESULTS}/logs/track_probe/{{probe_id}}.log",
    priority: 20
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac track run --stage probe --id {wildcards.probe_id} --receipt {output}"
        f" --results {RESULTS} --tracking-uri '{TRACKING}' {SCALE} > {{log}} 2>&1"


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
        f"{REPORTS}/tables/{{table}}.tex",
    log:
        f"{RESULTS}/logs/table/{USER.scale}_{{table}}.log",
    wildcard_constraints:
        table="|".join(TABLES) or "none",
    priority: 20
    localrule: True
    conda:
        ENVIRONMENT
    params:
        content=content_of_table,
    shell:
        f"python -m mac report {REPORT} --table {{wildcards.table}} > {{log}} 2>&1"


rule curve:
    input:
        metrics_of_table,
    output:
        f"{REPORTS}/tables/{{table}}.md",
        f"{REPORTS}/tables/{{table}}.csv",
        f"{REPORTS}/tables/{{table}}.tex",
        report(
            f"{REPORTS}/tables/{{table}}.png",
            caption="../report/curve.rst",
            category="Figures",
        ),
        f"{REPORTS}/tables/{{table}}.svg",
    log:
        f"{RESULTS}/logs/curve/{USER.scale}_{{table}}.log",
    wildcard_constraints:
        table="|".join(CURVES) or "none",
    priority: 20
    localrule: True
    conda:
        ENVIRONMENT
    params:
        content=content_of_table,
    shell:
        f"python -m mac report {REPORT} --table {{wildcards.table}} > {{log}} 2>&1"


rule summary:
    input:
        FINETUNED,
        PROBED,
        PRETRAINED,
    output:
        report(
            f"{REPORTS}/README.md", caption="../report/summary.rst", category="Summary"
        ),
        f"{REPORTS}/claims.md",
    log:
        f"{RESULTS}/logs/summary/{USER.scale}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        content=repr((PLAN.tables, PLAN.experiment.verdicts, sorted(PLAN.probes))),
    shell:
        f"python -m mac report {REPORT} > {{log}} 2>&1"


rule learning:
    input:
        FINETUNED,
        PRETRAINED,
    output:
        report(
            LEARNING_CURVES,
            caption="../report/learning.rst",
            category="Learning curves",
        ),
    log:
        f"{RESULTS}/logs/learning/{USER.scale}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        content=repr(PLAN.tables),
    shell:
        f"python -m mac learning {SCALE} --results {RESULTS} --out {REPORTS}/figures > {{log}} 2>&1"


rule page:
    input:
        REPORT_FILES,
        PROBED,
        PRETRAINED,
        f"{REPORTS}/README.md",
        ledger=ancient(LEDGER),
    output:
        report(
            f"{REPORTS}/index.html", caption="../report/page.rst", category="Summary"
        ),
    log:
        f"{RESULTS}/logs/page/{USER.scale}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        content=repr((PLAN.tables, PLAN.experiment.verdicts, sorted(PLAN.probes))),
    shell:
        f"python -m mac page {REPORT} --ledger {{input.ledger}} > {{log}} 2>&1"
