# From nothing, or from what the user has, to an index of every video and a store of frames.


rule resolve:
    output:
        [f"{RESULTS}/dataset/{i}/config.yaml" for i in PLAN.datasets],
        [f"{RESULTS}/store/{i}/config.yaml" for i in PLAN.stores],
        [f"{RESULTS}/boxes/{i}/config.yaml" for i in PLAN.boxes],
        [f"{RESULTS}/masks/{i}/config.yaml" for i in PLAN.cards],
        [f"{RESULTS}/pretrain/{i}/config.yaml" for i in PLAN.pretrainings],
        [f"{RESULTS}/finetune/{i}/config.yaml" for i in PLAN.finetunings],
        [f"{RESULTS}/probe/{i}/config.yaml" for i in PLAN.probes],
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
    resources:
        mem_mb=data_memory,
        runtime=60,
    shell:
        "python -m mac draw --config {input.config} --out {output} --workers {threads} > {log} 2>&1"


rule fetch:
    output:
        f"{RESULTS}/dataset/{{dataset_id}}/fetched.json",
    log:
        f"{RESULTS}/logs/fetch/{{dataset_id}}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        name=name_of_dataset,
        root=root_of_dataset,
    shell:
        "python -m mac fetch {params.name} --root {params.root} --out {output}"
        f" --config-dir {USER.config_dir} {OFFLINE} > {{log}} 2>&1"


rule list:
    input:
        config=resolved("dataset", "dataset_id"),
        there=marker_of_dataset,
    output:
        f"{RESULTS}/dataset/{{dataset_id}}/listing.parquet",
    log:
        f"{RESULTS}/logs/list/{{dataset_id}}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        root=root_of_dataset,
    shell:
        "python -m mac list --config {input.config} --root {params.root} --out {output}"
        f" --config-dir {USER.config_dir} > {{log}} 2>&1"


rule scan:
    input:
        listing=f"{RESULTS}/dataset/{{dataset_id}}/listing.parquet",
    output:
        f"{RESULTS}/dataset/{{dataset_id}}/scan/{{shard}}-of-{{shards}}.parquet",
    log:
        f"{RESULTS}/logs/scan/{{dataset_id}}_{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{RESULTS}/logs/scan/{{dataset_id}}_{{shard}}-of-{{shards}}.tsv"
    conda:
        ENVIRONMENT
    threads: DATA_THREADS
    resources:
        mem_mb=data_memory,
        runtime=240,
    params:
        root=root_of_dataset,
    shell:
        "python -m mac scan --listing {input.listing} --root {params.root} --out {output}"
        " --shard {wildcards.shard} {wildcards.shards} --workers {threads} > {log} 2>&1"


rule index:
    input:
        config=resolved("dataset", "dataset_id"),
        listing=f"{RESULTS}/dataset/{{dataset_id}}/listing.parquet",
        scans=scans_of_dataset,
    output:
        f"{RESULTS}/dataset/{{dataset_id}}/index.parquet",
    log:
        f"{RESULTS}/logs/index/{{dataset_id}}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        root=root_of_dataset,
    shell:
        "python -m mac index --config {input.config} --listing {input.listing} --scans {input.scans}"
        " --root {params.root} --out {output}"
        f" --config-dir {USER.config_dir} --max-unusable {MAX_UNUSABLE} > {{log}} 2>&1"


rule extract:
    input:
        config=resolved("store", "store_id"),
        index=index_of_store,
    output:
        f"{RESULTS}/store/{{store_id}}/shards/{{shard}}-of-{{shards}}.parquet",
    log:
        f"{RESULTS}/logs/extract/{{store_id}}_{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{RESULTS}/logs/extract/{{store_id}}_{{shard}}-of-{{shards}}.tsv"
    conda:
        ENVIRONMENT
    threads: DATA_THREADS
    resources:
        mem_mb=data_memory,
        runtime=240,
    params:
        root=root_of_store,
    shell:
        "python -m mac extract --config {input.config} --root {params.root} --index {input.index} --out {output}"
        " --shard {wildcards.shard} {wildcards.shards} --workers {threads} > {log} 2>&1"


rule store:
    input:
        config=resolved("store", "store_id"),
        index=index_of_store,
        parts=shards_of_store,
    output:
        facts=f"{RESULTS}/store/{{store_id}}/store.json",
        tables=multiext(
            f"{RESULTS}/store/{{store_id}}/",
            "videos.parquet",
            "offsets.npy",
            "sizes.npy",
        ),
    log:
        f"{RESULTS}/logs/store/{{store_id}}.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m mac store --config {input.config} --index {input.index} --parts {input.parts}"
        " --out {output.facts} > {log} 2>&1"


rule describe:
    input:
        index=index_of_name,
    output:
        numbers=f"{REPORTS}/data/{{dataset}}.json",
        page=report(
            f"{REPORTS}/data/{{dataset}}.md",
            caption="../report/data_card.rst",
            category="Data",
        ),
        pictures=multiext(f"{REPORTS}/data/{{dataset}}", ".png", ".svg"),
    log:
        f"{RESULTS}/logs/describe/{USER.scale}_{{dataset}}.log",
    wildcard_constraints:
        dataset=any_of(
            name for name in DATASETS if f"data/{name}" not in RECALLED.products
        ),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        title=title_of_dataset,
    shell:
        "python -m mac describe --title {params.title:q} --index {input.index} --out {output.page}"
        " --pictures {output.pictures} > {log} 2>&1"


rule data:
    input:
        CARD_GATE,
        [f"{RESULTS}/store/{i}/store.json" for i in PLAN.stores],
        expand(f"{REPORTS}/data/{{dataset}}.md", dataset=DATASETS),
    localrule: True
