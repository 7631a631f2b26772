# Finetuning from a checkpoint, from published weights or from random ones, and testing in the same job.


def store_of_finetuning(wildcards):
    return ancient(store_file(PLAN.finetunings[wildcards.finetune_id].config))


def starting_point(wildcards):
    """The backbone a finetuning starts from; none for random weights."""
    config = PLAN.finetunings[wildcards.finetune_id].config
    if config.initial == "pretrained":
        return ancient(checkpoint_file(config.pretrain_id, config.epoch, "safetensors"))
    return ancient(f"{RESULTS}/weights/{config.model.backbone}.safetensors") if config.initial != "random" else []


rule weights:
    output:
        f"{RESULTS}/weights/{{backbone}}.safetensors",
    log:
        f"{RESULTS}/logs/weights/{{backbone}}.log",
    conda:
        ENVIRONMENT
    localrule: True
    shell:
        "python -m mac weights --backbone {wildcards.backbone} --out {output} > {log} 2>&1"


rule finetune:
    input:
        config=resolved("finetune", "finetune_id"),
        store=store_of_finetuning,
        backbone=starting_point,
    output:
        predictions=f"{RESULTS}/finetune/{{finetune_id}}/predictions.parquet",
        journal=f"{RESULTS}/finetune/{{finetune_id}}/journal.jsonl",
        metrics=f"{RESULTS}/finetune/{{finetune_id}}/metrics.json",
    log:
        f"{RESULTS}/logs/finetune/{{finetune_id}}.log",
    benchmark:
        f"{RESULTS}/logs/finetune/{{finetune_id}}.tsv"
    conda:
        ENVIRONMENT
    threads: USER.training_threads
    priority: 10
    resources:
        gpu=1,
        mem_mb=USER.training_memory,
        runtime=USER.training_minutes,
    shell:
        "python -m mac finetune --config {input.config} --store {input.store}"
        " $(test -z '{input.backbone}' || echo --backbone {input.backbone})"
        " --predictions {output.predictions} --journal {output.journal} --metrics {output.metrics}"
        " {PROCESSOR} --threads {threads} > {log} 2>&1"
