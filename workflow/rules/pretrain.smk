# Pretraining: a chain of segments, each ending at an epoch that is kept.


def store_of_pretraining(wildcards):
    return ancient(store_file(PLAN.pretrainings[wildcards.pretrain_id].config))


def state_before(wildcards):
    """The state this segment continues; none for the first. A finished segment asks for no epoch added since."""

    def state(epoch):
        return checkpoint_file(wildcards.pretrain_id, epoch, "state.pt")

    done = Path(state(wildcards.epoch)).exists()
    earlier = [e for e in PLAN.pretrainings[wildcards.pretrain_id].epochs if e < int(wildcards.epoch)]
    kept = [epoch for epoch in earlier if not done or Path(state(epoch)).exists()]
    return ancient(state(max(kept))) if kept else []


rule pretrain:
    input:
        config=resolved("pretrain", "pretrain_id"),
        store=store_of_pretraining,
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
    conda:
        ENVIRONMENT
    threads: USER.training_threads
    resources:
        gpu=1,
        mem_mb=USER.training_memory,
        runtime=USER.training_minutes,
    shell:
        "python -m mac pretrain --config {input.config} --store {input.store} --until {wildcards.epoch}"
        " $(test -z '{input.state}' || echo --previous {input.state})"
        " --backbone {output.backbone} --state {output.state} --journal {output.journal}"
        " --metrics {output.metrics} {PROCESSOR} --threads {threads} > {log} 2>&1"
