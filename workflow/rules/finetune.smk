# Finetuning from a checkpoint, from published weights or from random ones, and testing in the same job.


rule weights:
    output:
        f"{RESULTS}/weights/{{backbone}}.safetensors",
    log:
        f"{RESULTS}/logs/weights/{{backbone}}.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m mac weights --backbone {wildcards.backbone} --out {output:q} > {log:q} 2>&1"


rule finetune:
    input:
        asked("finetune"),
    output:
        classifier=f"{RESULTS}/finetune/{{run_id}}/classifier.safetensors",
        predictions=f"{RESULTS}/finetune/{{run_id}}/predictions.parquet",
        journal=f"{RESULTS}/finetune/{{run_id}}/journal.jsonl",
        metrics=f"{RESULTS}/finetune/{{run_id}}/metrics.json",
    log:
        f"{RESULTS}/logs/finetune/{{run_id}}.log",
    benchmark:
        f"{RESULTS}/logs/finetune/{{run_id}}.tsv"
    wildcard_constraints:
        run_id=any_of(PLAN.finetunings.keys() - RESTORABLE.finetunings),
    priority: 10
    conda:
        ENVIRONMENT
    threads: lambda wildcards: needs("finetune", wildcards).cores
    resources:
        gpu=USER.gpus_per_run,
        mem_mb=lambda wildcards: needs("finetune", wildcards).memory,
        runtime=USER.training_minutes,
        slurm_extra=SAVES_ITSELF,
    params:
        files=options("finetune"),
    shell:
        f"{LEASE} python -m mac finetune {{params.files}}"
        " --classifier {output.classifier:q} --predictions {output.predictions:q}"
        " --journal {output.journal:q} --metrics {output.metrics:q}"
        f" --folder {AT}/finetune/{{wildcards.run_id}}/running {TRAINING} > {{log:q}} 2>&1"
