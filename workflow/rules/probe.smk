# Zero-training measures: a linear probe and video retrieval on the weights that finetunings start from.


rule probe:
    input:
        config=resolved("probe", "probe_id"),
        store=store_of_probe,
        backbone=probed_weights,
    output:
        predictions=f"{RESULTS}/probe/{{probe_id}}/predictions.parquet",
        journal=f"{RESULTS}/probe/{{probe_id}}/journal.jsonl",
        metrics=f"{RESULTS}/probe/{{probe_id}}/metrics.json",
    log:
        f"{RESULTS}/logs/probe/{{probe_id}}.log",
    benchmark:
        f"{RESULTS}/logs/probe/{{probe_id}}.tsv"
    wildcard_constraints:
        probe_id=not_of(RECALLED.probes, PLAN.probes),
    priority: 10
    conda:
        ENVIRONMENT
    threads: lambda wildcards: needs_of_probe(wildcards).cores
    resources:
        gpu=1,
        mem_mb=lambda wildcards: needs_of_probe(wildcards).memory,
        runtime=USER.training_minutes,
    shell:
        f"{LEASE} python -m mac probe --config {{input.config}} --store {{input.store}}"
        " $(test -z '{input.backbone}' || echo --backbone {input.backbone})"
        " --predictions {output.predictions} --journal {output.journal} --metrics {output.metrics}"
        f" {PROCESSOR} > {{log}} 2>&1"
