"""Short ids: the beginning of a run's id stands for it where no other run's begins alike."""

import difflib
from collections.abc import Iterable

NEAR, MOST = 3, 10  # runs that are named where none is meant, and where several may be


class UnknownRunError(Exception):
    """No run is meant, or several may be; the message names the candidates."""


def complete(text: str, known: Iterable[str], where: str) -> str:
    """Find the one run that is meant.

    Args:
        text: the beginning of an id, or ``STAGE/`` and such a beginning, and ``/epoch_E`` where runs have epochs.
        known: all runs, as ``STAGE/ID`` or ``STAGE/ID/epoch_E``.
        where: what holds them, for messages.

    Raises:
        UnknownRunError: none or several begin so.
    """
    every = list(known)
    if text in every:
        return text
    stage, begin, epoch = _split(text)
    found = [run for run in every if _is_meant(run, stage, begin, epoch)] if begin else []
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(found[:MOST]) + (", …" if len(found) > MOST else "")
        raise UnknownRunError(
            f"{text}: {len(found)} runs of {where} begin so: {listed} — give more of the one you mean"
        )
    of_stage = [run for run in every if stage in (None, run.split("/")[0])]
    by_id = {run.split("/")[1]: run for run in of_stage}
    near = [by_id[run_id] for run_id in difflib.get_close_matches(begin, by_id, n=NEAR, cutoff=0.0)]
    nearest = f"The nearest: {', '.join(near)}" if near else "It has none"
    way_out = "`python -m mac plan --scale SCALE` lists all, with the rows that use them"
    raise UnknownRunError(f"{text}: no {stage or 'run'} in {where} begins so. {nearest}; {way_out}")


def _split(text: str) -> tuple[str | None, str, str | None]:
    parts = text.split("/")
    if len(parts) == 1:
        return None, text, None
    return parts[0], parts[1], "/".join(parts[2:]) or None


def _is_meant(run: str, stage: str | None, begin: str, epoch: str | None) -> bool:
    own, run_id, *at = run.split("/")
    return stage in (None, own) and run_id.startswith(begin) and (epoch is None or at == [epoch])
