"""A declared, seeded choice of classes and videos from a larger data set (MiniKinetics, supplementary §5)."""

import numpy as np
import pandas as pd

from mac.randomness import uniform


class ChoiceError(Exception):
    """A choice can't be made as declared; the message says what is asked for and what there is."""


def choose(
    annotations: dict[str, pd.DataFrame], ids: dict[str, set[str]], classes: int, counts: dict[str, int], seed: int
) -> dict[str, pd.DataFrame]:
    """Draw classes, and from each an equal number of videos per part.

    Args:
        annotations: of the larger data set, by part (``train``, ``val``), with columns ``label`` and ``youtube_id``.
        ids: the videos that may be drawn, by part.
        classes: how many classes to draw, of those that have videos in both parts.
        counts: videos to draw, by part; what doesn't divide evenly goes to the first classes drawn.
        seed: everything drawn follows from it.

    Returns:
        The drawn rows of ``annotations``, by part, sorted by label and id.

    Raises:
        ChoiceError: there are fewer classes, or fewer videos of a drawn class, than asked for.
    """
    allowed = {part: table[table["youtube_id"].isin(ids[part])] for part, table in annotations.items()}
    names = sorted(set.intersection(*(set(table["label"]) for table in allowed.values())))
    if len(names) < classes:
        raise ChoiceError(f"{classes} classes are asked for, {len(names)} have videos in every part")
    order = np.argsort([uniform((seed, "choice", "class", name), 1)[0] for name in names], kind="stable")
    drawn = [names[i] for i in order[:classes]]
    result = {}
    for part, table in allowed.items():
        base, more = divmod(counts[part], classes)
        chosen = []
        for place, name in enumerate(drawn):
            own = table[table["label"] == name].sort_values("youtube_id")
            wanted = base + (place < more)
            if len(own) < wanted:
                raise ChoiceError(f"{part}: {wanted} videos of {name!r} are asked for, there are {len(own)}")
            rank = [uniform((seed, "choice", part, i), 1)[0] for i in own["youtube_id"]]
            chosen.append(own.iloc[np.argsort(rank, kind="stable")[:wanted]])
        result[part] = pd.concat(chosen).sort_values(["label", "youtube_id"], ignore_index=True)
    return result
