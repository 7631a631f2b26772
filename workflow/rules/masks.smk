# Person boxes where masks need them; mask cards: a degenerate setting stops the workflow before any training starts.


rule detect:
    input:
        config=resolved("boxes", "boxes_id"),
        index=index_of_boxes,
    output:
        f"{RESULTS}/boxes/{{boxes_id}}/shards/{{shard}}-of-{{shards}}.parquet",
    log:
        f"{RESULTS}/logs/detect/{{boxes_id}}_{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{RESULTS}/logs/detect/{{boxes_id}}_{{shard}}-of-{{shards}}.tsv"
    conda:
        ENVIRONMENT
    threads: machine.needs_of_detector(MACHINE, USER.of_each_training).cores
    resources:
        gpu=gpus_of_boxes,
        mem_mb=machine.needs_of_detector(MACHINE, USER.of_each_training).memory,
        runtime=USER.training_minutes,
    params:
        root=root_of_boxes,
    shell:
        f"{LEASE} python -m mac detect"
        " --config {input.config} --root {params.root} --index {input.index} --out {output}"
        " --shard {wildcards.shard} {wildcards.shards}"
        f" {PROCESSOR} {WEIGHTS} > {{log}} 2>&1"


rule boxes:
    input:
        config=resolved("boxes", "boxes_id"),
        parts=shards_of_boxes,
    output:
        f"{RESULTS}/boxes/{{boxes_id}}/boxes.parquet",
    log:
        f"{RESULTS}/logs/boxes/{{boxes_id}}.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac boxes --config {input.config} --parts {input.parts} --out {output} > {log} 2>&1"


rule card:
    input:
        config=resolved("masks", "card_id"),
        store=store_of_card,
        boxes=boxes_of_card,
    output:
        card=f"{RESULTS}/masks/{{card_id}}/card.json",
    log:
        f"{RESULTS}/logs/card/{{card_id}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        limits=f"{PLAN.experiment.mask_limits.min_foreground} {PLAN.experiment.mask_limits.max_foreground}",
        picture=f"{RESULTS}/masks/{{card_id}}/card.png",  # undeclared: it outlives a refusal, to be looked at
    shell:
        "python -m mac masks card --config {input.config} --store {input.store} --out {output.card}"
        " $(test -z '{input.boxes}' || echo --boxes {input.boxes})"
        f" --picture {{params.picture}} --limits {{params.limits}} {SCALE} > {{log}} 2>&1"


rule cards_passed:
    input:
        [f"{RESULTS}/masks/{i}/card.json" for i in PLAN.cards],
    output:
        touch(CARD_GATE),
    log:
        f"{RESULTS}/logs/cards_passed/{USER.scale}.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "echo {input} > {log}"


if PLAN.shown_card and "figures/mask" not in RECALLED.products:

    rule sweep:
        input:
            config=ancient(f"{RESULTS}/masks/{PLAN.shown_card}/config.yaml"),
            store=ancient(store_file(PLAN.cards[PLAN.shown_card])),
        output:
            numbers=f"{REPORTS}/figures/mask_sweep.json",
            pictures=report(
                expand(
                    f"{REPORTS}/figures/mask_sweep.{{format}}", format=["png", "svg"]
                ),
                caption="../report/mask_sweep.rst",
                category="Figures",
            ),
            card=report(
                f"{REPORTS}/figures/mask_card.png",
                caption="../report/mask_card.rst",
                category="Figures",
            ),
            foreground=report(
                expand(
                    f"{REPORTS}/figures/mask_foreground.{{format}}",
                    format=["png", "svg"],
                ),
                caption="../report/mask_foreground.rst",
                category="Figures",
            ),
        log:
            f"{RESULTS}/logs/sweep/{USER.scale}.log",
        conda:
            ENVIRONMENT
        resources:
            mem_mb=2000,
            runtime=60,
        shell:
            "python -m mac masks sweep --config {input.config} --store {input.store} --out {output.numbers}"
            " --pictures {output.pictures} --foreground {output.foreground} --card {output.card} > {log} 2>&1"
