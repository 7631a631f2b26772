"""The result files of one run, read by key, and what is wrong with them."""

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

Read = Callable[[str], bytes | None]
COLUMNS = ("path", "group", "label", "predicted")
NUMBERS, TEXTS = ("top1", "videos", "seconds"), ("device", "commit", "torch", "index_digest")
FACTS = {
    "finetune": (*NUMBERS, "seed", "split", *TEXTS),
    "probe": (*NUMBERS, "seed", "split", *TEXTS, "recall"),
    "pretrain": ("seconds", "device", "commit", "index_digest"),
}


class DamagedError(Exception):
    """A result can't be used; the message says which file and why, and what to do."""


def from_folder(results: Path) -> Read:
    """Read a results folder's files by key, e.g. ``finetune/ID/metrics.json``; None where there is none yet."""

    def read(key: str) -> bytes | None:
        path = results / key
        if path.is_dir():
            raise DamagedError(f"{path.name} is a folder; {make_again(key)}")
        return path.read_bytes() if path.is_file() else None

    return read


def from_mapping(content: dict[str, Any]) -> Read:
    """Read out of a mapping from the same keys to the files' bytes, or to what a JSON file holds."""

    def read(key: str) -> bytes | None:
        value = content.get(key)
        return value if value is None or isinstance(value, bytes) else json.dumps(value).encode()

    return read


def read_run(read: Read, key: str, config: Any) -> tuple[dict[str, Any], pd.DataFrame | None] | None:
    """Read what a finished run left; None while there is nothing.

    Args:
        read: gives a file's bytes by key.
        key: ``finetune/ID``, ``probe/ID`` or ``pretrain/ID/epoch_E``.
        config: the run's configuration, which its metrics must not contradict.

    Returns:
        The metrics, and one row a test video: ``path``, ``group``, ``label``, ``predicted``; a probe's with
        ``first_match``; None for a pretraining.

    Raises:
        DamagedError: a file is missing, cut or of another run, or metrics and predictions contradict each other.
    """
    stage, run_id, *epoch = key.split("/")
    expected = {f"{stage}_id": run_id}
    if stage == "pretrain":
        expected["epoch"] = int(epoch[0].removeprefix("epoch_"))
        metrics = _json(read, f"{key}.json", FACTS[stage], expected)
        return None if metrics is None else (expected | metrics, None)
    expected |= {name: getattr(config, name) for name in ("pretrain_id", "seed", "split")}
    metrics = _json(read, f"{key}/metrics.json", FACTS[stage], expected)
    raw = read(f"{key}/predictions.parquet")
    if metrics is None and raw is None:
        return None
    if metrics is None or raw is None:
        there, lacking = ("metrics.json", "predictions.parquet") if metrics else ("predictions.parquet", "metrics.json")
        raise DamagedError(f"{lacking} is missing beside {there}; {make_again(key)}")
    columns = (*COLUMNS, "first_match") if stage == "probe" else COLUMNS
    predictions = parse_predictions(raw, "predictions.parquet", make_again(key), columns)
    top1 = 100 * float((predictions["label"] == predictions["predicted"]).mean())
    if len(predictions) != metrics["videos"] or abs(top1 - metrics["top1"]) > 1e-6:
        found = f"{len(predictions)} videos at {top1:.2f} %"
        said = f"{metrics['videos']} at {metrics['top1']:.2f} %"
        raise DamagedError(f"predictions.parquet gives {found}, metrics.json says {said}; {make_again(key)}")
    return metrics, predictions


def parse_predictions(raw: bytes, name: str, way_out: str, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Parse a file of predictions: ``path``, ``group``, ``label``, ``predicted``, or other ``columns``.

    Raises:
        DamagedError: it is no parquet file, lacks a column or a value, is empty or names a video twice.
    """
    try:
        predictions = pd.read_parquet(io.BytesIO(raw), columns=list(columns))
    except Exception as error:  # pyarrow raises errors of many types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedError(f"{name} can't be read ({reason[:80]}); {way_out}") from None
    if predictions.empty or predictions["path"].duplicated().any():
        raise DamagedError(f"{name} {'is empty' if predictions.empty else 'names a video twice'}; {way_out}")
    if predictions.isna().any(axis=None):
        lacking = ", ".join(predictions.columns[predictions.isna().any()])
        raise DamagedError(f"{name} lacks values of {lacking}; {way_out}")
    return predictions


def read_shares(read: Read, pair: tuple[str, str], index_digest: str) -> pd.DataFrame | None:
    """Read how much of two finetunings' maps (figures 2–4) lies on what moves; None while nothing is measured.

    Args:
        read: gives the report's files by key.
        pair: ids of the finetunings.
        index_digest: the content of their data set.

    Returns:
        One row a video that counts: ``path``, ``chance`` (the foreground's share of the area) and, under each
        finetuning's id, the share of its map's mass on the foreground, all three in [0, 1]. Empty if no video counts.

    Raises:
        DamagedError: the file is cut, lacks numbers, or is of other finetunings or other data.
    """
    key = "figures/gradcam.json"
    content = _json(read, key, ("models", "overlap", "index_digest"), {"index_digest": index_digest})
    if content is None:
        return None
    try:
        ids = [model["finetune_id"] for model in content["models"]]
        each = content["overlap"]["each"] or {"path": [], "mask_area": [], "share_inside": [[], []]}
        shares = dict(zip(ids, each["share_inside"], strict=True))
        found = pd.DataFrame({"path": each["path"], "chance": each["mask_area"], **shares})
        numbers = found.drop(columns="path").astype(float)
        is_whole = numbers.ge(0).all(axis=None) and numbers.le(1).all(axis=None) and found["path"].is_unique
    except (KeyError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        raise DamagedError(f"gradcam.json lacks the numbers of single videos; {make_again(key)}")
    if set(ids) != set(pair):
        others = " and ".join(map(str, ids))
        raise DamagedError(f"gradcam.json is of finetunings {others}, not of {' and '.join(pair)}; {make_again(key)}")
    return found


def content_of_store(read: Read, store_id: str) -> str | None:
    """Read which content of its data set a frame store holds: the index digest; None where there is no whole store."""
    try:
        found = _json(read, f"store/{store_id}/store.json", ("index_digest",), {})
    except DamagedError:
        return None  # the next extraction names the damage
    return found and found["index_digest"]


def _json(read: Read, key: str, wanted: Sequence[str], expected: dict[str, Any]) -> dict[str, Any] | None:
    raw = read(key)
    if raw is None:
        return None
    try:
        content = json.loads(raw)
        problem = _problem(content, wanted, expected)
    except ValueError:
        problem = " is cut or no JSON"
    if problem:
        raise DamagedError(f"{key.rsplit('/', 1)[1]}{problem}; {make_again(key)}")
    return content


def _problem(content: Any, wanted: Sequence[str], expected: dict[str, Any]) -> str | None:
    """Say what is wrong with the content of a JSON file, as the end of a sentence."""
    if not isinstance(content, dict):
        return " holds no mapping"
    if lacking := [fact for fact in wanted if fact not in content]:
        return f" lacks {', '.join(lacking)}"
    numbers, texts = ([content[fact] for fact in facts if fact in content] for facts in (NUMBERS, TEXTS))
    are_numbers = all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
    if not are_numbers or not all(isinstance(text, str) for text in texts):
        return f": {', '.join(NUMBERS)} must be numbers, {', '.join(TEXTS)} text"
    warnings = content.get("warnings", [])
    if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
        return ": warnings must be a list of texts"
    for fact, value in expected.items():
        if content.get(fact, value) != value:
            return f" is another run's: {fact} {content[fact]}, not {value}"
    return None


def make_again(key: str) -> str:
    """Say how to make a damaged file or a run's result again: delete the run's folder, or a pretraining's one file."""
    is_segment = key.startswith("pretrain/") and key.endswith(".json")
    return f"delete {key if is_segment else '/'.join(key.split('/')[:2])} and run again"
