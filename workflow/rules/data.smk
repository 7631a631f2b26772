# From a data set's folder to an index of every video and a store of frames.


def embedded_marker(wildcards):
    """What must be drawn before an index can be made: nothing, where the user brings the data."""
    drawn = PLAN.datasets[wildcards.dataset_id].embedded
    return ancient(f"{dataset_root(wildcards.dataset_id)}/embedded.json") if drawn else []


def root_of_dataset(wildcards):
    return dataset_root(wildcards.dataset_id)


def root_of_store(wildcards):
    return dataset_root(PLAN.stores[wildcards.store_id].dataset.identify())


def index_of_store(wildcards):
    return f"{RESULTS}/dataset/{PLAN.stores[wildcards.store_id].dataset.identify()}/index.parquet"


rule resolve:
    output:
        [f"{RESULTS}/dataset/{i}/config.yaml" for i in PLAN.datasets],
        [f"{RESULTS}/store/{i}/config.yaml" for i in PLAN.stores],
        [f"{RESULTS}/masks/{i}/config.yaml" for i in PLAN.cards],
        [f"{RESULTS}/pretrain/{i}/config.yaml" for i in PLAN.pretrainings],
        [f"{RESULTS}/finetune/{i}/config.yaml" for i in PLAN.finetunings],
    log:
        f"{RESULTS}/logs/resolve/{USER.scale}.log",
    conda:
        ENVIRONMENT
    localrule: True
    shell:
        "python -m mac resolve {SCALE} --results {RESULTS} > {log} 2>&1"


rule draw:
    input:
        config=resolved("dataset", "dataset_id"),
    output:
        f"{USER.data_root}/embedded/{{dataset_id}}/embedded.json",
    log:
        f"{RESULTS}/logs/draw/{{dataset_id}}.log",
    benchmark:
        f"{RESULTS}/logs/draw/{{dataset_id}}.tsv"
    conda:
        ENVIRONMENT
    shell:
        "python -m mac draw --config {input.config} --out {output} --workers {threads} > {log} 2>&1"


rule index:
    input:
        config=resolved("dataset", "dataset_id"),
        drawn=embedded_marker,
    output:
        f"{RESULTS}/dataset/{{dataset_id}}/index.parquet",
    log:
        f"{RESULTS}/logs/index/{{dataset_id}}.log",
    benchmark:
        f"{RESULTS}/logs/index/{{dataset_id}}.tsv"
    conda:
        ENVIRONMENT
    threads: DATA_THREADS
    params:
        root=root_of_dataset,
    shell:
        "python -m mac index --config {input.config} --root {params.root} --out {output}"
        " --max-unusable {USER.max_unusable} --workers {threads} > {log} 2>&1"


rule store:
    input:
        config=resolved("store", "store_id"),
        index=index_of_store,
    output:
        f"{RESULTS}/store/{{store_id}}/store.json",
        f"{RESULTS}/store/{{store_id}}/frames.npy",
        f"{RESULTS}/store/{{store_id}}/videos.parquet",
    log:
        f"{RESULTS}/logs/store/{{store_id}}.log",
    benchmark:
        f"{RESULTS}/logs/store/{{store_id}}.tsv"
    conda:
        ENVIRONMENT
    threads: DATA_THREADS
    params:
        root=root_of_store,
    shell:
        "python -m mac store --config {input.config} --root {params.root} --index {input.index}"
        " --out {output[0]} --workers {threads} > {log} 2>&1"
