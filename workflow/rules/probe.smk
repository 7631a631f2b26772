# Zero-training measures: a linear probe and video retrieval on the weights that finetunings start from.


rule probe:
    input:
        asked("probe"),
    output:
        predictions=f"{RESULTS}/probe/{{run_id}}/predictions.parquet",
        journal=f"{RESULTS}/probe/{{run_id}}/journal.jsonl",
        metrics=f"{RESULTS}/probe/{{run_id}}/metrics.json",
    log:
        f"{RESULTS}/logs/probe/{{run_id}}.log",
    benchmark:
        f"{RESULTS}/logs/probe/{{run_id}}.tsv"
    wildcard_constraints:
        run_id=any_of(PLAN.probes.keys() - RESTORABLE.probes),
    priority: 10
    conda:
        ENVIRONMENT
    threads: lambda wildcards: needs("probe", wildcards).cores
    resources:
        gpu=1,
        mem_mb=lambda wildcards: needs("probe", wildcards).memory,
        runtime=USER.training_minutes,
        slurm_extra=SAVES_ITSELF,
    params:
        files=options("probe"),
    shell:
        f"{LEASE} python -m mac probe {{params.files}} --predictions {{output.predictions:q}}"
        f" --journal {{output.journal:q}} --metrics {{output.metrics:q}} {PROCESSOR} > {{log:q}} 2>&1"
