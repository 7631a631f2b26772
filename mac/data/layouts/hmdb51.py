"""HMDB51: ``videos/class/name.avi``, and for each class and split a list of names with 1 train, 2 test or 0 unused."""

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mac.data.splits import (
    TEST,
    TRAIN,
    UNUSED,
    VIDEO_ENDINGS,
    LayoutError,
    Listing,
    SyntheticVideo,
    find_list,
    is_own,
    read_lines,
    spread,
)

if TYPE_CHECKING:
    import pandas as pd

SPLITS = (1, 2, 3)
USES = {"0": UNUSED, "1": TRAIN, "2": TEST}
_FACTS = re.compile(r"_(?:h|u|l|f)_(?:nm|cm)_np\d+_(?:fr|ri|le|ba)_(?:goo|med|bad)_\d+$")


def read(root: Path) -> "pd.DataFrame":
    """Read the lists of ``test_train_splits``."""
    import pandas as pd

    folder, listing = find_list(root, "test_train_splits", "*_test_split1.txt").parent, Listing()
    for listed in sorted(path for path in folder.glob("*_test_split[123].txt") if is_own(path.relative_to(root))):
        label, split = listed.stem.rsplit("_test_split", 1)
        for number, line in read_lines(listed):
            video, _, use = line.replace("\t", " ").rpartition(" ")
            if use not in USES or not video.rstrip().lower().endswith(VIDEO_ENDINGS):
                raise LayoutError(f"{listed}, line {number}: found {line!r} — expected a file name and 0, 1 or 2")
            name = PurePosixPath(video.strip().replace("\\", "/")).name
            place, path = f"{listed}, line {number}", f"videos/{label}/{name}"
            listing.add(place, int(split), USES[use], path, label, film_of(name, label))
    return pd.DataFrame(listing.rows.values())


def film_of(video: str, label: str) -> str:
    """Return the name of a clip's film; clips are named ``FILM_class_body_camera_persons_view_quality_N.avi``."""
    stem = Path(video.strip()).stem
    film = _FACTS.sub("", stem)
    return film.removesuffix(f"_{label}") if film != stem else stem.rsplit("_", 1)[0]


def synthesise(names: list[str], videos: int) -> tuple[list[SyntheticVideo], dict[str, str]]:
    """Split s tests every third group; the last video of each class is unused."""
    planned, lists = [], defaultdict(str)
    uses = {side: use for use, side in USES.items()}
    for place, (motion, name, group, number) in enumerate(spread(names, videos), 1):
        label = name.lower()
        file = f"figure_{group:02d}_{label}_f_cm_np1_fr_med_{number - 1}.avi"
        used = [TEST if group % 3 == split % 3 else TRAIN for split in SPLITS]
        sides = used if place % videos else [UNUSED] * len(SPLITS)
        planned.append(SyntheticVideo(f"videos/{label}/{file}", motion, group, number, tuple(sides)))
        for split, side in zip(SPLITS, sides, strict=True):
            lists[f"test_train_splits/{label}_test_split{split}.txt"] += f"{file} {uses[side]} \n"
    return planned, dict(lists)
