# Figures 2–4: where the finetuned default model and the supervised one look. Only where the plan has both.

if PLAN.gradcam_pair:
    REPORT_FILES += [
        f"{REPORTS}/figures/gradcam.json",
        *expand(
            f"{REPORTS}/figures/{{figure}}.{{format}}",
            figure=GRADCAM_FIGURES,
            format=["png", "svg"],
        ),
    ]

if PLAN.gradcam_pair and "figures/gradcam" not in RECALLED.products:

    rule gradcam:
        input:
            configs=[ancient(path) for path in of_gradcam_pair("config.yaml")],
            classifiers=of_gradcam_pair("classifier.safetensors"),
            predictions=of_gradcam_pair("predictions.parquet"),
            pretraining=ancient(pretraining_of_gradcam()),
            store=ancient(store_file(PLAN.finetunings[PLAN.gradcam_pair[0]].config)),
        output:
            facts=f"{REPORTS}/figures/gradcam.json",
            pictures=report(
                expand(f"{REPORTS}/figures/{{figure}}.png", figure=GRADCAM_FIGURES),
                caption="../report/gradcam.rst",
                category="Figures",
            ),
            drawings=expand(f"{REPORTS}/figures/{{figure}}.svg", figure=GRADCAM_FIGURES),
        log:
            f"{RESULTS}/logs/gradcam/{USER.scale}.log",
        benchmark:
            f"{RESULTS}/logs/gradcam/{USER.scale}.tsv"
        conda:
            ENVIRONMENT
        threads: needs_of_gradcam().cores
        resources:
            gpu=1,
            mem_mb=needs_of_gradcam().memory,
            runtime=60,
        shell:
            f"{LEASE} python -m mac gradcam"
            " --configs {input.configs} --classifiers {input.classifiers} --predictions {input.predictions}"
            " --pretraining {input.pretraining} --store {input.store} --out {output.facts}"
            " --pictures {output.pictures} {output.drawings}"
            f" {PROCESSOR} > {{log}} 2>&1"
