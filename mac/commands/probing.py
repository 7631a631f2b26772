"""``probe``."""

import argparse
import time
from pathlib import Path

from mac.commands.files import read_config, write_json
from mac.commands.training import facts
from mac.config import ProbeConfig
from mac.data.store import FrameStore
from mac.runtime.atomic import place
from mac.stages import probe as stage
from mac.tracking.journal import Journal
from mac.training import processor


def probe(arguments: argparse.Namespace) -> None:
    """Measure weights without finetuning and write predictions, journal and metrics."""
    config = read_config(arguments.config, ProbeConfig)
    device = processor.prepare(arguments.device, arguments.threads, config.precision)
    began, store, known = time.monotonic(), FrameStore(arguments.store.parent), facts(config.precision, device)
    readers = processor.count_readers(device, arguments.loader_workers, arguments.cores, arguments.threads)
    final, table = stage.run(config, store, arguments.backbone, device, readers)

    def write(partial: Path) -> None:
        events = Journal(partial)
        about = {"device": processor.describe(device), "index_digest": store.digest, "facts": known}
        events.write(
            "start",
            stage="probe",
            id=config.identify(),
            epoch=0,
            until=0,
            epochs=0,
            videos=final["training_videos"],
            **about,
        )
        events.write(
            "end", epoch=0, final={"top1": final["top1"]} | {f"recall_{k}": v for k, v in final["recall"].items()}
        )
        events.close()

    place(arguments.journal, write)
    place(arguments.predictions, lambda partial: table.to_parquet(partial, index=False))
    write_json(
        arguments.metrics,
        {
            "probe_id": config.identify(),
            "pretrain_id": config.pretrain_id,
            "pretrain_epoch": config.epoch,
            **final,
            "videos": len(table),
            "seed": config.seed,
            "split": config.split,
            "dataset": config.store.dataset.name,
            "classes": list(store.labels),
            "index_digest": store.digest,
            "device": processor.describe(device),
            "seconds": round(time.monotonic() - began, 1),
            **known,
        },
    )
