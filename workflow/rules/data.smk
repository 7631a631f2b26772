# From a data set's folder to an index of every video and a store of frames.


rule resolve:
    output:
        [f"{RESULTS}/dataset/{i}/config.yaml" for i in PLAN.datasets],
        [f"{RESULTS}/store/{i}/config.yaml" for i in PLAN.stores],
        [f"{RESULTS}/masks/{i}/config.yaml" for i in PLAN.cards],
        [f"{RESULTS}/pretrain/{i}/config.yaml" for i in PLAN.pretrainings],
        [f"{RESULTS}/finetune/{i}/config.yaml" for i in PLAN.finetunings],
    log:
        f"{RESULTS}/logs/resolve/{USER.scale}.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        f"python -m mac resolve {SCALE} --results {RESULTS} > {{log}} 2>&1"


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
        f" --max-unusable {USER.max_unusable} --workers {{threads}} > {{log}} 2>&1"


rule store:
    input:
        config=resolved("store", "store_id"),
        index=index_of_store,
    output:
        facts=f"{RESULTS}/store/{{store_id}}/store.json",
        frames=f"{RESULTS}/store/{{store_id}}/frames.npy",
        videos=f"{RESULTS}/store/{{store_id}}/videos.parquet",
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
        " --out {output.facts} --workers {threads} > {log} 2>&1"
