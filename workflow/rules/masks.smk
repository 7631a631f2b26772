# Person boxes where masks need them; mask checks: a degenerate setting stops the trainings that would use it.


rule detect:
    input:
        index_of,
    output:
        f"{RESULTS}/boxes/{{run_id}}/shards/{{shard}}-of-{{shards}}.parquet",
    log:
        f"{RESULTS}/logs/detect/{{run_id}}_{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{RESULTS}/logs/detect/{{run_id}}_{{shard}}-of-{{shards}}.tsv"
    conda:
        ENVIRONMENT
    threads: machine.needs_of_detector(MACHINE, USER.of_each_training).cores
    resources:
        gpu=lambda wildcards: 0 if PLAN.boxes[wildcards.run_id].detector == "published" else 1,
        mem_mb=machine.needs_of_detector(MACHINE, USER.of_each_training).memory,
        runtime=USER.training_minutes,
    params:
        root=root_of,
    shell:
        f"{LEASE} python -m mac detect --config {AT}/boxes/{{wildcards.run_id}}/config.yaml"
        " --root {params.root:q} --index {input:q} --out {output:q}"
        f" --shard {{wildcards.shard}} {{wildcards.shards}} {PROCESSOR} {WEIGHTS} > {{log:q}} 2>&1"


rule boxes:
    input:
        shards(f"{RESULTS}/boxes/{{run_id}}/shards"),
    output:
        f"{RESULTS}/boxes/{{run_id}}/boxes.parquet",
    log:
        f"{RESULTS}/logs/boxes/{{run_id}}.log",
    conda:
        ENVIRONMENT
    shell:
        f"python -m mac boxes --config {AT}/boxes/{{wildcards.run_id}}/config.yaml"
        " --parts {input:q} --out {output:q} > {log:q} 2>&1"


rule mask_check:
    input:
        lambda wildcards: [*reads("masks", wildcards).values()],
    output:
        f"{RESULTS}/masks/{{run_id}}/check.json",
    log:
        f"{RESULTS}/logs/mask_check/{{run_id}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        files=options("masks"),
        limits=f"{PLAN.experiment.mask_limits.min_foreground} {PLAN.experiment.mask_limits.max_foreground}",
        picture=f"{RESULTS}/masks/{{run_id}}/check.png",  # undeclared: it outlives a refusal, to be looked at
    shell:
        "python -m mac masks check {params.files} --out {output:q}"
        f" --picture {{params.picture:q}} --limits {{params.limits}} {SCALE} > {{log:q}} 2>&1"


if PLAN.shown_check and "figures/mask" not in RESTORABLE.products:

    rule sweep:
        input:
            run_file("store", PLAN.mask_checks[PLAN.shown_check].store.identify(), "store.json"),
        output:
            numbers=f"{REPORTS}/figures/mask_sweep.json",
            pictures=figure("figures/mask_sweep", "mask_sweep"),
            check=report(f"{REPORTS}/figures/mask_check.png", caption="../report/mask_check.rst", category="Figures"),
            foreground=figure("figures/mask_foreground", "mask_foreground"),
        log:
            f"{RESULTS}/logs/sweep/{USER.scale}.log",
        conda:
            ENVIRONMENT
        resources:
            mem_mb=2000,
            runtime=60,
        shell:
            f"python -m mac masks sweep --config {AT}/masks/{PLAN.shown_check}/config.yaml --store {{input:q}}"
            " --out {output.numbers:q} --pictures {output.pictures:q} --foreground {output.foreground:q}"
            " --check {output.check:q} > {log:q} 2>&1"
