"""Reading one run's result files, and saying in plain words what is wrong with them."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

Read = Callable[[str], bytes | None]
COLUMNS = ["path", "group", "label", "predicted"]
NUMBERS, TEXTS = ("top1", "videos", "seconds"), ("device", "commit", "torch", "index_digest")
FACTS = (*NUMBERS, "seed", "split", *TEXTS)
PRETRAIN_FACTS = ("seconds", "device", "commit", "index_digest")


class DamagedError(Exception):
    """A result can't be used; the message says which file and why, and what to do."""


def from_folder(results: Path) -> Read:
    """Read a results folder's files by key, e.g. ``finetune/ID/metrics.json``; None where there is none yet."""

    def read(key: str) -> bytes | None:
        path = results / key
        if path.is_dir():
            raise DamagedError(f"{path.name} is a folder; {_again(key)}")
        return path.read_bytes() if path.is_file() else None

    return read


def from_mapping(content: dict[str, Any]) -> Read:
    """Read out of a mapping from the same keys to the files' bytes, or to what a JSON file holds."""

    def read(key: str) -> bytes | None:
        value = content.get(key)
        return value if value is None or isinstance(value, bytes) else json.dumps(value).encode()

    return read


def finetuning(read: Read, run_id: str, expected: dict[str, Any]) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """Read a finetuning's metrics and predictions; None while it has neither.

    Args:
        read: gives a file's bytes by key.
        run_id: of the finetuning.
        expected: what its metrics must say of the run, where they say it.

    Returns:
        The metrics, and one row a test video: ``path``, ``group``, ``label``, ``predicted``.

    Raises:
        DamagedError: one of them is missing, cut, of another run, or they contradict each other.
    """
    return _tested(read, f"finetune/{run_id}", FACTS, expected, COLUMNS)


def _tested(
    read: Read, folder: str, facts: tuple[str, ...], expected: dict[str, Any], columns: list[str]
) -> tuple[dict[str, Any], pd.DataFrame] | None:
    metrics = _json(read, f"{folder}/metrics.json", facts, expected)
    raw = read(f"{folder}/predictions.parquet")
    if metrics is None and raw is None:
        return None
    if metrics is None or raw is None:
        there, lacking = ("metrics.json", "predictions.parquet") if metrics else ("predictions.parquet", "metrics.json")
        raise DamagedError(f"{lacking} is missing beside {there}; {_again(folder)}")
    predictions = parse_predictions(raw, "predictions.parquet", _again(folder), columns)
    correct = int((predictions["label"] == predictions["predicted"]).sum())
    top1 = 100 * correct / max(len(predictions), 1)
    if len(predictions) != metrics["videos"] or abs(top1 - metrics["top1"]) > 1e-6:
        found = f"{len(predictions)} videos at {top1:.2f} %"
        said = f"{metrics['videos']} at {metrics['top1']:.2f} %"
        raise DamagedError(f"predictions.parquet gives {found}, metrics.json says {said}; {_again(folder)}")
    return metrics, predictions


def parse_predictions(raw: bytes, name: str, way_out: str, columns: list[str] = COLUMNS) -> pd.DataFrame:
    """Parse a file of predictions: ``path``, ``group``, ``label``, ``predicted``, or other ``columns``.

    Raises:
        DamagedError: it is no parquet file, lacks a column or a value, is empty or names a video twice.
    """
    try:
        predictions = pd.read_parquet(io.BytesIO(raw), columns=columns)
    except Exception as error:  # pyarrow raises what it likes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedError(f"{name} can't be read ({reason[:80]}); {way_out}") from None
    if predictions.empty or predictions["path"].duplicated().any():
        raise DamagedError(f"{name} {'is empty' if predictions.empty else 'names a video twice'}; {way_out}")
    if predictions.isna().any(axis=None):
        lacking = ", ".join(predictions.columns[predictions.isna().any()])
        raise DamagedError(f"{name} lacks values of {lacking}; {way_out}")
    return predictions


def pretraining(read: Read, run_id: str, epoch: int) -> dict[str, Any] | None:
    """Read what a pretraining said of itself at an epoch; None where it isn't there yet.

    Raises:
        DamagedError: it is cut or of another run.
    """
    expected = {"pretrain_id": run_id, "epoch": epoch}
    return _json(read, f"pretrain/{run_id}/epoch_{epoch}.json", PRETRAIN_FACTS, expected)


def probe(read: Read, run_id: str, expected: dict[str, Any]) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """Read a probe's metrics and predictions, which also have ``first_match``; None while it has neither.

    Raises:
        DamagedError: as :func:`finetuning`.
    """
    return _tested(read, f"probe/{run_id}", (*FACTS, "recall"), expected, [*COLUMNS, "first_match"])


def content_of_store(read: Read, store_id: str) -> str | None:
    """Read which content of its data set a frame store holds: the index digest; None where there is no whole store."""
    try:
        found = _json(read, f"store/{store_id}/store.json", ("index_digest",), {})
    except DamagedError:
        return None  # the next extraction says so
    return found and found["index_digest"]


def _json(read: Read, key: str, wanted: tuple[str, ...], expected: dict[str, Any]) -> dict[str, Any] | None:
    name, way_out = key.rsplit("/", 1)[1], _again(key)
    raw = read(key)
    if raw is None:
        return None
    try:
        content = json.loads(raw)
    except ValueError:
        raise DamagedError(f"{name} is cut or no JSON; {way_out}") from None
    if not isinstance(content, dict):
        raise DamagedError(f"{name} holds no mapping; {way_out}")
    lacking = [fact for fact in wanted if fact not in content]
    if lacking:
        raise DamagedError(f"{name} lacks {', '.join(lacking)}; {way_out}")
    numbers = [fact for fact in NUMBERS if not _is_number(content.get(fact, 0))]
    if numbers or any(not isinstance(content.get(fact, ""), str) for fact in TEXTS):
        wanted = f"{', '.join(NUMBERS)} must be numbers, {', '.join(TEXTS)} text"
        raise DamagedError(f"{name}: {wanted}; {way_out}")
    for fact, value in expected.items():
        if content.get(fact, value) != value:
            raise DamagedError(f"{name} is another run's: {fact} {content[fact]}, not {value}; {way_out}")
    return content


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _again(key: str) -> str:
    """Name the way out: of a finetuning its folder is made again, of a pretraining only the segment."""
    return f"delete {key if key.startswith('pretrain/') else '/'.join(key.split('/')[:2])} and run again"
