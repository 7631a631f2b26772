# What a rule reads, as functions of its wildcards.


def resolved(stage, wildcard):
    """The resolved configuration of a run: its path is its content, so its age means nothing."""
    return ancient(f"{RESULTS}/{stage}/{{{wildcard}}}/config.yaml")


def dataset_root(dataset_id):
    """The folder of a data set: drawn by us, or the user's."""
    dataset = PLAN.datasets[dataset_id]
    return (
        f"{USER.data_root}/embedded/{dataset_id}"
        if dataset.embedded
        else f"{USER.data_root}/{dataset.name}"
    )


def store_file(stage_config):
    """The frame store that a run reads."""
    return f"{RESULTS}/store/{stage_config.store.identify()}/store.json"


def checkpoint_file(pretrain_id, epoch, ending):
    """A file of a pretraining at an epoch."""
    return f"{RESULTS}/pretrain/{pretrain_id}/epoch_{epoch}.{ending}"


def embedded_marker(wildcards):
    """What must be drawn before an index can be made: nothing, where the user brings the data."""
    drawn = PLAN.datasets[wildcards.dataset_id].embedded
    return (
        ancient(f"{dataset_root(wildcards.dataset_id)}/embedded.json") if drawn else []
    )


def root_of_dataset(wildcards):
    return dataset_root(wildcards.dataset_id)


def root_of_store(wildcards):
    return dataset_root(PLAN.stores[wildcards.store_id].dataset.identify())


def index_of_store(wildcards):
    return f"{RESULTS}/dataset/{PLAN.stores[wildcards.store_id].dataset.identify()}/index.parquet"


def store_of_card(wildcards):
    return ancient(store_file(PLAN.cards[wildcards.card_id]))


def store_of_pretraining(wildcards):
    return ancient(store_file(PLAN.pretrainings[wildcards.pretrain_id].config))


def state_before(wildcards):
    """The state this segment continues; none for the first. A finished segment asks for no epoch added since."""

    def state(epoch):
        return checkpoint_file(wildcards.pretrain_id, epoch, "state.pt")

    done = Path(state(wildcards.epoch)).exists()
    earlier = [
        e
        for e in PLAN.pretrainings[wildcards.pretrain_id].epochs
        if e < int(wildcards.epoch)
    ]
    kept = [epoch for epoch in earlier if not done or Path(state(epoch)).exists()]
    return ancient(state(max(kept))) if kept else []


def store_of_finetuning(wildcards):
    return ancient(store_file(PLAN.finetunings[wildcards.finetune_id].config))


def starting_point(wildcards):
    """The backbone a finetuning starts from; none for random weights."""
    config = PLAN.finetunings[wildcards.finetune_id].config
    if config.initial == "pretrained":
        return ancient(checkpoint_file(config.pretrain_id, config.epoch, "safetensors"))
    return (
        ancient(f"{RESULTS}/weights/{config.model.backbone}.safetensors")
        if config.initial != "random"
        else []
    )


def journals_of(wildcards):
    """A pretraining's journals and metrics: its segments up to this one, and later ones that are there already."""
    files = []
    for epoch in sorted(PLAN.pretrainings[wildcards.pretrain_id].epochs):
        journal, metrics = (
            checkpoint_file(wildcards.pretrain_id, epoch, ending)
            for ending in ("jsonl", "json")
        )
        if epoch <= int(wildcards.epoch):
            files += [journal, metrics]
        elif Path(metrics).exists():
            files += [ancient(journal), ancient(metrics)]
    return files


def receipt_before(wildcards):
    """The receipt of the segment before this one, so that a longer recording never gives way to a shorter one."""
    epochs = PLAN.pretrainings[wildcards.pretrain_id].epochs
    earlier = [epoch for epoch in epochs if epoch < int(wildcards.epoch)]
    if not earlier:
        return []
    return ancient(
        f"{RESULTS}/tracking/pretrain/{wildcards.pretrain_id}_{max(earlier)}.json"
    )


def parent_receipt(wildcards):
    """The recorded run of the pretraining a finetuning starts from; none for random or published weights."""
    config = PLAN.finetunings[wildcards.finetune_id].config
    if config.initial != "pretrained":
        return []
    return ancient(
        f"{RESULTS}/tracking/pretrain/{config.pretrain_id}_{config.epoch}.json"
    )


def metrics_of_table(wildcards):
    return [
        f"{RESULTS}/finetune/{i}/metrics.json"
        for i in PLAN.tables[wildcards.table].finetunes
    ]


def content_of_table(wildcards):
    """What a table says besides its numbers: a changed label rebuilds this table and no other."""
    return repr(PLAN.tables[wildcards.table])
