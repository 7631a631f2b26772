# Results committed with a report stand in for their runs: decided by id when the workflow is read.


def any_of(names):
    """A pattern of these names; of none it matches nothing."""
    return "|".join(sorted(names)) or "none"


def not_of(recalled, planned):
    """A pattern of the planned ids that are not recalled."""
    return any_of(set(planned) - recalled) if recalled else "[0-9a-f]{10}"


def kept_files(run):
    """The kept files of a run that has wildcards in its name; what they say is older than any run."""
    return ancient([f"{KEPT}/{name}" for name in files_of(run)])


def recalled_files(run):
    return [f"{RESULTS}/{name}" for name in files_of(run)]


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
