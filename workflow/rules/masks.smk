# Mask cards: a degenerate setting stops the workflow before any training starts.


rule masks:
    input:
        config=resolved("masks", "card_id"),
        store=store_of_card,
    output:
        card=f"{RESULTS}/masks/{{card_id}}/card.json",
    log:
        f"{RESULTS}/logs/masks/{{card_id}}.log",
    conda:
        ENVIRONMENT
    params:
        limits=f"{PLAN.mask_limits.min_foreground} {PLAN.mask_limits.max_foreground}",
        picture=f"{RESULTS}/masks/{{card_id}}/card.png",  # undeclared: it outlives a refusal, to be looked at
    shell:
        "python -m mac masks --config {input.config} --store {input.store} --out {output.card}"
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


rule sweep:
    input:
        config=ancient(f"{RESULTS}/masks/{SWEEP_CARD}/config.yaml"),
        store=ancient(store_file(PLAN.cards[SWEEP_CARD])),
    output:
        numbers=f"{REPORTS}/figures/mask_sweep.json",
        pictures=report(
            expand(f"{REPORTS}/figures/mask_sweep.{{format}}", format=["png", "svg"]),
            caption="../report/mask_sweep.rst",
            category="Figures",
        ),
    log:
        f"{RESULTS}/logs/sweep/{USER.scale}.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m mac sweep --config {input.config} --store {input.store} --out {output.numbers}"
        " --pictures {output.pictures} > {log} 2>&1"
