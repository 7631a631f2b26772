# Pretraining: a chain of segments, each ending at an epoch that is kept.


rule pretrain:
    input:
        asked("pretrain"),
    output:
        backbone=f"{RESULTS}/pretrain/{{run_id}}/epoch_{{epoch}}.safetensors",
        state=f"{RESULTS}/pretrain/{{run_id}}/epoch_{{epoch}}.state.pt",
        journal=f"{RESULTS}/pretrain/{{run_id}}/epoch_{{epoch}}.jsonl",
        metrics=f"{RESULTS}/pretrain/{{run_id}}/epoch_{{epoch}}.json",
    log:
        f"{RESULTS}/logs/pretrain/{{run_id}}_{{epoch}}.log",
    benchmark:
        f"{RESULTS}/logs/pretrain/{{run_id}}_{{epoch}}.tsv"
    wildcard_constraints:
        run_id=any_of(PLAN.pretrainings.keys() - RESTORABLE.pretrainings),
    conda:
        ENVIRONMENT
    threads: lambda wildcards: needs("pretrain", wildcards).cores
    resources:
        gpu=USER.gpus_per_run,
        mem_mb=lambda wildcards: needs("pretrain", wildcards).memory,
        runtime=USER.training_minutes,
        slurm_extra=SAVES_ITSELF,
    params:
        files=options("pretrain"),
    shell:
        f"{LEASE} python -m mac pretrain {{params.files}} --until {{wildcards.epoch}}"
        " --backbone {output.backbone:q} --state {output.state:q} --journal {output.journal:q}"
        f" --folder {AT}/pretrain/{{wildcards.run_id}}/running_{{wildcards.epoch}}"
        f" --metrics {{output.metrics:q}} {TRAINING} --monitor-epochs {USER.monitor_epochs} > {{log:q}} 2>&1"
