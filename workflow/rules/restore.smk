# Results committed with a report stand in for their runs: decided by id when the workflow is read. `ancient`, although
# no job makes the kept files: they may be newer than a user's own results, and must not replace them.


rule restore:
    input:
        ancient([f"{KEPT}/{{stage}}/{{run_id}}/{kept_name(file)}" for file in TESTED.values()]),
    output:
        [f"{RESULTS}/{{stage}}/{{run_id}}/{file}" for file in TESTED.values()],
    log:
        f"{RESULTS}/logs/restore/{{stage}}_{{run_id}}.log",
    wildcard_constraints:
        stage="finetune|probe",
        run_id=any_of(RESTORABLE.finetunings | RESTORABLE.probes),
    conda:
        ENVIRONMENT
    shell:
        "python -m mac restore {wildcards.stage}/{wildcards.run_id}"
        f" --kept {quoted(KEPT)} --results {AT} > {{log:q}} 2>&1"


rule restore_pretraining:
    input:
        ancient([f"{KEPT}/{kept_name(file)}" for file in files_of("pretrain/{run_id}/epoch_{epoch}")]),
    output:
        [f"{RESULTS}/{file}" for file in files_of("pretrain/{run_id}/epoch_{epoch}")],
    log:
        f"{RESULTS}/logs/restore_pretraining/{{run_id}}_{{epoch}}.log",
    wildcard_constraints:
        run_id=any_of(RESTORABLE.pretrainings),
    conda:
        ENVIRONMENT
    shell:
        "python -m mac restore pretrain/{wildcards.run_id}/epoch_{wildcards.epoch}"
        f" --kept {quoted(KEPT)} --results {AT} > {{log:q}} 2>&1"
