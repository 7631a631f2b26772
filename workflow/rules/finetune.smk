# Finetuning from a checkpoint, from published weights or from random ones, and testing in the same job.


rule weights:
    output:
        f"{RESULTS}/weights/{{backbone}}.safetensors",
    log:
        f"{RESULTS}/logs/weights/{{backbone}}.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac weights --backbone {wildcards.backbone} --out {output} > {log} 2>&1"


rule finetune:
    input:
        config=resolved("finetune", "finetune_id"),
        store=store_of_finetuning,
        passed=ancient(CARD_GATE),
        backbone=starting_point,
    output:
        classifier=f"{RESULTS}/finetune/{{finetune_id}}/classifier.safetensors",
        predictions=f"{RESULTS}/finetune/{{finetune_id}}/predictions.parquet",
        journal=f"{RESULTS}/finetune/{{finetune_id}}/journal.jsonl",
        metrics=f"{RESULTS}/finetune/{{finetune_id}}/metrics.json",
    log:
        f"{RESULTS}/logs/finetune/{{finetune_id}}.log",
    benchmark:
        f"{RESULTS}/logs/finetune/{{finetune_id}}.tsv"
    wildcard_constraints:
        finetune_id=not_of(RECALLED.finetunings, PLAN.finetunings),
    priority: 10
    conda:
        ENVIRONMENT
    threads: lambda wildcards: needs_of_finetuning(wildcards).cores
    resources:
        gpu=USER.gpus_per_run,
        mem_mb=lambda wildcards: needs_of_finetuning(wildcards).memory,
        runtime=USER.training_minutes,
    shell:
        f"{LEASE} python -m mac finetune"
        " --config {input.config} --store {input.store}"
        " $(test -z '{input.backbone}' || echo --backbone {input.backbone})"
        " --classifier {output.classifier} --predictions {output.predictions}"
        " --journal {output.journal} --metrics {output.metrics}"
        f" --folder {RESULTS}/finetune/{{wildcards.finetune_id}}/running"
        f" {TRAINING} > {{log}} 2>&1"
