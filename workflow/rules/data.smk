# From nothing, or from what the user has, to an index of every video and a store of frames.


rule generate:
    output:
        f"{USER.data_root}/synthetic/{{run_id}}/synthetic.json",
    log:
        f"{RESULTS}/logs/generate/{{run_id}}.log",
    benchmark:
        f"{RESULTS}/logs/generate/{{run_id}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=DATA_MEMORY,
        runtime=60,
    shell:
        f"python -m mac generate --config {AT}/dataset/{{wildcards.run_id}}/config.yaml"
        " --out {output:q} --workers {threads} > {log:q} 2>&1"


rule fetch:
    output:
        f"{RESULTS}/dataset/{{run_id}}/fetched.json",
    log:
        f"{RESULTS}/logs/fetch/{{run_id}}.log",
    conda:
        ENVIRONMENT
    params:
        name=lambda wildcards: dataset_of(wildcards).name,
        root=root_of,
    shell:
        "python -m mac fetch {params.name} --root {params.root:q} --out {output:q}"
        f" {CONFIG_DIR} {OFFLINE} > {{log:q}} 2>&1"


rule list:
    input:
        marker_of,
    output:
        f"{RESULTS}/dataset/{{run_id}}/listing.parquet",
    log:
        f"{RESULTS}/logs/list/{{run_id}}.log",
    conda:
        ENVIRONMENT
    params:
        root=root_of,
    shell:
        f"python -m mac list --config {AT}/dataset/{{wildcards.run_id}}/config.yaml {CONFIG_DIR}"
        " --root {params.root:q} --out {output:q} > {log:q} 2>&1"


rule scan:
    input:
        f"{RESULTS}/dataset/{{run_id}}/listing.parquet",
    output:
        f"{RESULTS}/dataset/{{run_id}}/scan/{{shard}}-of-{{shards}}.parquet",
    log:
        f"{RESULTS}/logs/scan/{{run_id}}_{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{RESULTS}/logs/scan/{{run_id}}_{{shard}}-of-{{shards}}.tsv"
    conda:
        ENVIRONMENT
    threads: DATA_THREADS
    resources:
        mem_mb=DATA_MEMORY,
        runtime=240,
    params:
        root=root_of,
    shell:
        "python -m mac scan --listing {input:q} --root {params.root:q} --out {output:q}"
        " --shard {wildcards.shard} {wildcards.shards} --workers {threads} > {log:q} 2>&1"


rule index:
    input:
        listing=f"{RESULTS}/dataset/{{run_id}}/listing.parquet",
        scans=shards(f"{RESULTS}/dataset/{{run_id}}/scan"),
    output:
        f"{RESULTS}/dataset/{{run_id}}/index.parquet",
    log:
        f"{RESULTS}/logs/index/{{run_id}}.log",
    conda:
        ENVIRONMENT
    params:
        root=root_of,
    shell:
        f"python -m mac index --config {AT}/dataset/{{wildcards.run_id}}/config.yaml {CONFIG_DIR}"
        " --listing {input.listing:q} --scans {input.scans:q} --root {params.root:q} --out {output:q}"
        f" --max-unusable {MAX_UNUSABLE} > {{log:q}} 2>&1"


rule extract:
    input:
        index_of,
    output:
        f"{RESULTS}/store/{{run_id}}/shards/{{shard}}-of-{{shards}}.parquet",
    log:
        f"{RESULTS}/logs/extract/{{run_id}}_{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{RESULTS}/logs/extract/{{run_id}}_{{shard}}-of-{{shards}}.tsv"
    conda:
        ENVIRONMENT
    threads: DATA_THREADS
    resources:
        mem_mb=DATA_MEMORY,
        runtime=240,
    params:
        root=root_of,
    shell:
        f"python -m mac extract --config {AT}/store/{{wildcards.run_id}}/config.yaml"
        " --root {params.root:q} --index {input:q} --out {output:q}"
        " --shard {wildcards.shard} {wildcards.shards} --workers {threads} > {log:q} 2>&1"


rule store:
    input:
        index=index_of,
        parts=shards(f"{RESULTS}/store/{{run_id}}/shards"),
    output:
        facts=f"{RESULTS}/store/{{run_id}}/store.json",
        tables=multiext(f"{RESULTS}/store/{{run_id}}/", "videos.parquet", "offsets.npy", "sizes.npy"),
    log:
        f"{RESULTS}/logs/store/{{run_id}}.log",
    conda:
        ENVIRONMENT
    shell:
        f"python -m mac store --config {AT}/store/{{wildcards.run_id}}/config.yaml"
        " --index {input.index:q} --parts {input.parts:q} --out {output.facts:q} > {log:q} 2>&1"


rule describe:
    input:
        lambda wildcards: run_file("dataset", DATASETS[wildcards.dataset], "index.parquet"),
    output:
        numbers=f"{REPORTS}/data/{{dataset}}.json",
        page=report(f"{REPORTS}/data/{{dataset}}.md", caption="../report/data_card.rst", category="Data"),
        pictures=expand(f"{REPORTS}/data/{{{{dataset}}}}.{{format}}", format=PICTURES),
    log:
        f"{RESULTS}/logs/describe/{USER.scale}_{{dataset}}.log",
    wildcard_constraints:
        dataset=any_of(name for name in DATASETS if f"data/{name}" not in RESTORABLE.products),
    conda:
        ENVIRONMENT
    params:
        title=lambda wildcards: (
            f"{wildcards.dataset} ({ABOUT[wildcards.dataset]})" if ABOUT[wildcards.dataset] else wildcards.dataset
        ),
    shell:
        "python -m mac describe --title {params.title:q} --index {input:q} --out {output.page:q}"
        " --pictures {output.pictures:q} > {log:q} 2>&1"


rule data:
    input:
        [run_file("store", i, "store.json") for i in PLAN.stores],
        [run_file("masks", i, "check.json") for i in PLAN.mask_checks],
        expand(f"{REPORTS}/data/{{dataset}}.md", dataset=DATASETS),
