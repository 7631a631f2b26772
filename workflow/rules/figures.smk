# Figures 2–4: where the finetuned default model and the supervised one look. Only where the plan has both.

if PLAN.gradcam_pair and "figures/gradcam" not in RESTORABLE.products:
    gradcam_default = PLAN.finetunings[PLAN.gradcam_pair[0]].config
    gradcam_store = run_file("store", gradcam_default.store.identify(), "store.json")
    gradcam_configs = [quoted(run_file("finetune", i, "config.yaml")) for i in PLAN.gradcam_pair]
    gradcam_needs = machine.needs_alone(gradcam_default, MACHINE, USER.of_each_training, SPEEDS)

    rule gradcam:
        input:
            lambda wildcards: [] if exist(rules.gradcam.output) else gradcam_store,
            classifiers=[run_file("finetune", i, "classifier.safetensors") for i in PLAN.gradcam_pair],
            predictions=[run_file("finetune", i, "predictions.parquet") for i in PLAN.gradcam_pair],
        output:
            facts=f"{REPORTS}/figures/gradcam.json",
            pictures=[picture for n in (2, 3, 4) for picture in figure(f"figures/F{n}", "gradcam")],
        log:
            f"{RESULTS}/logs/gradcam/{USER.scale}.log",
        benchmark:
            f"{RESULTS}/logs/gradcam/{USER.scale}.tsv"
        conda:
            ENVIRONMENT
        threads: gradcam_needs.cores
        resources:
            gpu=1,
            mem_mb=gradcam_needs.memory,
            runtime=60,
        params:
            rows=PLAN.experiment.figures.rows,
        shell:
            f"{LEASE} python -m mac gradcam --configs {' '.join(gradcam_configs)}"
            f" --pretraining {AT}/pretrain/{gradcam_default.pretrain_id}/config.yaml --store {quoted(gradcam_store)}"
            " --classifiers {input.classifiers:q} --predictions {input.predictions:q} --rows {params.rows}"
            f" --out {{output.facts:q}} --pictures {{output.pictures:q}} {PROCESSOR} > {{log:q}} 2>&1"


# In which test videos and classes a gain sits. Only where a scale asks for it.

if PLAN.gains and "figures/gains" not in RESTORABLE.products:

    rule gains:
        input:
            [run_file("finetune", i, "metrics.json") for i in PLAN.gains.runs],
            store=run_file("store", PLAN.finetunings[PLAN.gains.cell.runs[0]].config.store.identify(), "store.json"),
        output:
            facts=f"{REPORTS}/figures/gains.json",
            pictures=figure("figures/gains", "gains"),
        log:
            f"{RESULTS}/logs/gains/{USER.scale}.log",
        conda:
            ENVIRONMENT
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            content=repr(PLAN.gains),
        shell:
            f"python -m mac gains {SCALE} --results {AT} --store {{input.store:q}}"
            " --out {output.facts:q} --pictures {output.pictures:q} > {log:q} 2>&1"
