# Pretraining: a chain of segments, each ending at an epoch that is kept.


rule pretrain:
    input:
        config=resolved("pretrain", "pretrain_id"),
        store=store_of_pretraining,
        boxes=boxes_of_pretraining,
        passed=ancient(CARD_GATE),
        state=state_before,
    output:
        backbone=f"{RESULTS}/pretrain/{{pretrain_id}}/epoch_{{epoch}}.safetensors",
        state=f"{RESULTS}/pretrain/{{pretrain_id}}/epoch_{{epoch}}.state.pt",
        journal=f"{RESULTS}/pretrain/{{pretrain_id}}/epoch_{{epoch}}.jsonl",
        metrics=f"{RESULTS}/pretrain/{{pretrain_id}}/epoch_{{epoch}}.json",
    log:
        f"{RESULTS}/logs/pretrain/{{pretrain_id}}_{{epoch}}.log",
    benchmark:
        f"{RESULTS}/logs/pretrain/{{pretrain_id}}_{{epoch}}.tsv"
    wildcard_constraints:
        pretrain_id=not_of(RECALLED.pretrainings, PLAN.pretrainings),
    conda:
        ENVIRONMENT
    threads: lambda wildcards: needs_of_pretraining(wildcards).cores
    resources:
        gpu=USER.gpus_per_run,
        mem_mb=lambda wildcards: needs_of_pretraining(wildcards).memory,
        runtime=USER.training_minutes,
    shell:
        f"{LEASE} python -m mac pretrain"
        " --config {input.config} --store {input.store} --until {wildcards.epoch}"
        " $(test -z '{input.boxes}' || echo --boxes {input.boxes})"
        " $(test -z '{input.state}' || echo --previous {input.state})"
        " --backbone {output.backbone} --state {output.state} --journal {output.journal}"
        f" --folder {RESULTS}/pretrain/{{wildcards.pretrain_id}}/running_{{wildcards.epoch}}"
        f" --metrics {{output.metrics}} {TRAINING} > {{log}} 2>&1"
