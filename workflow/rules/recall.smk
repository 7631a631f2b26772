# Results committed with a report stand in for their runs: decided by id when the workflow is read.


rule recall_pretraining:
    input:
        config=resolved("pretrain", "pretrain_id"),
        files=kept_files("pretrain/{pretrain_id}/epoch_{epoch}"),
    output:
        recalled_files("pretrain/{pretrain_id}/epoch_{epoch}"),
    log:
        f"{RESULTS}/logs/recall_pretraining/{{pretrain_id}}_{{epoch}}.log",
    wildcard_constraints:
        pretrain_id=any_of(RECALLED.pretrainings),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac recall pretrain/{wildcards.pretrain_id}/epoch_{wildcards.epoch}"
        f" --kept {KEPT} --results {RESULTS} > {{log}} 2>&1"


rule recall_finetuning:
    input:
        config=resolved("finetune", "finetune_id"),
        files=kept_files("finetune/{finetune_id}"),
    output:
        recalled_files("finetune/{finetune_id}"),
    log:
        f"{RESULTS}/logs/recall_finetuning/{{finetune_id}}.log",
    wildcard_constraints:
        finetune_id=any_of(RECALLED.finetunings),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac recall finetune/{wildcards.finetune_id}"
        f" --kept {KEPT} --results {RESULTS} > {{log}} 2>&1"


rule recall_probe:
    input:
        config=resolved("probe", "probe_id"),
        files=kept_files("probe/{probe_id}"),
    output:
        recalled_files("probe/{probe_id}"),
    log:
        f"{RESULTS}/logs/recall_probe/{{probe_id}}.log",
    wildcard_constraints:
        probe_id=any_of(RECALLED.probes),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac recall probe/{wildcards.probe_id}"
        f" --kept {KEPT} --results {RESULTS} > {{log}} 2>&1"
