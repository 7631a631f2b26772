# What a rule reads, as functions of its wildcards.


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
    """Where a recalled run's files go: where the run would have left them."""
    return [f"{RESULTS}/{name}" for name in files_of(run)]


def resolved(stage, wildcard):
    """The resolved configuration of a run: its path is its content, so its age means nothing."""
    return ancient(f"{RESULTS}/{stage}/{{{wildcard}}}/config.yaml")


def shards(dataset_id):
    """How work on a data set is cut into jobs: names of the shards, so many videos each."""
    dataset = PLAN.datasets[dataset_id]
    videos = (
        dataset.embedded.classes * dataset.embedded.videos_per_class
        if dataset.embedded
        else catalog.count_videos(dataset.name, dataset.subset, Path(USER.config_dir))
    )
    count = -(-videos // USER.videos_per_job)
    return [f"{number}-of-{count}.parquet" for number in range(count)]


def store_file(stage_config):
    """The frame store that a run reads."""
    return f"{RESULTS}/store/{stage_config.store.identify()}/store.json"


def checkpoint_file(pretrain_id, epoch, ending):
    """A file of a pretraining at an epoch."""
    return f"{RESULTS}/pretrain/{pretrain_id}/epoch_{epoch}.{ending}"


def marker_of_dataset(wildcards):
    """What says that a data set's files are there: drawn by us, or fetched or found by us."""
    dataset_id = wildcards.dataset_id
    if PLAN.datasets[dataset_id].embedded:
        return ancient(f"{root_of(dataset_id)}/embedded.json")
    return ancient(f"{RESULTS}/dataset/{dataset_id}/fetched.json")


def name_of_dataset(wildcards):
    return PLAN.datasets[wildcards.dataset_id].name


def root_of(dataset_id):
    return str(dataset_root(Path(USER.data_root), PLAN.datasets[dataset_id]))


def root_of_dataset(wildcards):
    return root_of(wildcards.dataset_id)


def root_of_store(wildcards):
    return root_of(PLAN.stores[wildcards.store_id].dataset.identify())


def index_of_store(wildcards):
    return f"{RESULTS}/dataset/{PLAN.stores[wildcards.store_id].dataset.identify()}/index.parquet"


def data_memory(wildcards, threads):
    """MB for a job that reads videos in so many processes."""
    return 1000 + 500 * threads


def scans_of_dataset(wildcards):
    folder = f"{RESULTS}/dataset/{wildcards.dataset_id}/scan"
    return [f"{folder}/{shard}" for shard in shards(wildcards.dataset_id)]


def shards_of_store(wildcards):
    dataset_id = PLAN.stores[wildcards.store_id].dataset.identify()
    folder = f"{RESULTS}/store/{wildcards.store_id}/shards"
    return [f"{folder}/{shard}" for shard in shards(dataset_id)]


def index_of_boxes(wildcards):
    return f"{RESULTS}/dataset/{PLAN.boxes[wildcards.boxes_id].dataset.identify()}/index.parquet"


def root_of_boxes(wildcards):
    return root_of(PLAN.boxes[wildcards.boxes_id].dataset.identify())


def shards_of_boxes(wildcards):
    dataset_id = PLAN.boxes[wildcards.boxes_id].dataset.identify()
    folder = f"{RESULTS}/boxes/{wildcards.boxes_id}/shards"
    return [f"{folder}/{shard}" for shard in shards(dataset_id)]


def gpus_of_boxes(wildcards):
    """Published boxes are read, not computed."""
    return 0 if PLAN.boxes[wildcards.boxes_id].detector == "published" else 1


def needs(config):
    """CPU cores, readers and memory of a run."""
    return machine.needs(config, MACHINE, USER.of_each_training, SPEEDS)


def needs_of_pretraining(wildcards):
    return needs(PLAN.pretrainings[wildcards.pretrain_id].config)


def needs_of_finetuning(wildcards):
    return needs(PLAN.finetunings[wildcards.finetune_id].config)


def needs_of_gradcam():
    """One process looks into both networks, as a probe looks at clips."""
    return machine.needs_alone(
        PLAN.finetunings[PLAN.gradcam_pair[0]].config,
        MACHINE,
        USER.of_each_training,
        SPEEDS,
    )


def needs_of_probe(wildcards):
    return machine.needs_alone(
        PLAN.probes[wildcards.probe_id].config, MACHINE, USER.of_each_training, SPEEDS
    )


def index_of_name(wildcards):
    return f"{RESULTS}/dataset/{DATASETS[wildcards.dataset]}/index.parquet"


def title_of_dataset(wildcards):
    dataset = PLAN.datasets[DATASETS[wildcards.dataset]]
    if dataset.embedded:
        return f"{dataset.name} (embedded data, drawn)"
    return f"{dataset.name} ({dataset.subset})" if dataset.subset else dataset.name


def boxes_file(stage_config):
    """The person boxes a run reads; none where its masks need none."""
    boxes = stage_config.boxes
    return ancient(f"{RESULTS}/boxes/{boxes.identify()}/boxes.parquet") if boxes else []


def boxes_of_card(wildcards):
    return boxes_file(PLAN.cards[wildcards.card_id])


def boxes_of_pretraining(wildcards):
    return boxes_file(PLAN.pretrainings[wildcards.pretrain_id].config)


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
    return weights_file(PLAN.finetunings[wildcards.finetune_id].config)


def probed_weights(wildcards):
    """The backbone a probe measures; none for random weights."""
    return weights_file(PLAN.probes[wildcards.probe_id].config)


def weights_file(config):
    """The weights that a finetuning or a probe starts from; none if they are random."""
    if config.initial == "pretrained":
        return ancient(checkpoint_file(config.pretrain_id, config.epoch, "safetensors"))
    return (
        ancient(f"{RESULTS}/weights/{config.model.backbone}.safetensors")
        if config.initial != "random"
        else []
    )


def store_of_probe(wildcards):
    return ancient(store_file(PLAN.probes[wildcards.probe_id].config))


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
    return receipt_of_weights(PLAN.finetunings[wildcards.finetune_id].config)


def parent_receipt_of_probe(wildcards):
    return receipt_of_weights(PLAN.probes[wildcards.probe_id].config)


def receipt_of_weights(config):
    """The recorded run of the pretraining that made them; none for random or published ones."""
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
    return repr((PLAN.tables[wildcards.table], PLAN.experiment.verdicts))


def of_gradcam_pair(name):
    """A file of each of the two finetunings that figures 2–4 compare, MAC's first."""
    return [f"{RESULTS}/finetune/{i}/{name}" for i in PLAN.gradcam_pair]


def pretraining_of_gradcam():
    """The pretraining of the first of them: what the figures call it, and its mask setting."""
    config = PLAN.finetunings[PLAN.gradcam_pair[0]].config
    return f"{RESULTS}/pretrain/{config.pretrain_id}/config.yaml"
