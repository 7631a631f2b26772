"""Short ids: the beginning of a run's id stands for it where no other run's begins alike."""

from collections.abc import Iterable

MOST = 10  # runs that are named where several may be meant


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
    stage, begin, *at = text.split("/") if "/" in text else (None, text)

    def is_meant(run: str) -> bool:
        own, run_id, *epoch = run.split("/")
        return stage in (None, own) and run_id.startswith(begin) and at in ([], epoch)

    found = [run for run in every if begin and is_meant(run)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(found[:MOST]) + (", …" if len(found) > MOST else "")
        raise UnknownRunError(
            f"{text}: {len(found)} runs of {where} begin so: {listed} — give more of the one you mean"
        )
    way_out = "`python -m mac plan --scale SCALE` lists all, with the rows that use them"
    raise UnknownRunError(f"{text}: no {stage or 'run'} in {where} begins so; {way_out}")
