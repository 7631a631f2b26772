"""UCF101: ``UCF-101/Class/v_Class_gNN_cMM.avi`` with lists of training and of test videos for three splits."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mac.data.splits import (
    TEST,
    TRAIN,
    VIDEO_ENDINGS,
    LayoutError,
    Listing,
    SyntheticVideo,
    find_list,
    read_lines,
    spread,
)

if TYPE_CHECKING:
    import pandas as pd

SPLITS = (1, 2, 3)


def read(root: Path) -> "pd.DataFrame":
    """Read the six lists of ``ucfTrainTestlist``."""
    import pandas as pd

    listing, classes = Listing(), {}
    for split in SPLITS:
        for side, name in ((TRAIN, f"trainlist0{split}.txt"), (TEST, f"testlist0{split}.txt")):
            path = find_list(root, "ucfTrainTestlist", name)
            for number, line in read_lines(path):
                name, *numbers = line.split()
                video, place = PurePosixPath(name.replace("\\", "/")), f"{path}, line {number}"
                if len(video.parts) < 2 or not name.lower().endswith(VIDEO_ENDINGS):
                    raise LayoutError(f"{place}: found {line!r} — expected Class/name.avi, and perhaps a number")
                label, file = video.parts[-2:]
                if numbers and numbers[0] != (known := classes.setdefault(label, numbers[0])):
                    raise LayoutError(f"{place}: found number {numbers[0]} for {label}, before {known} — correct one")
                group = video.stem.rsplit("_", 1)[0].removeprefix("v_")
                listing.add(place, split, side, f"UCF-101/{label}/{file}", label, group)
    return pd.DataFrame(listing.rows.values())


def synthesise(names: list[str], videos: int) -> tuple[list[SyntheticVideo], dict[str, str]]:
    """Split s tests groups 7(s−1)+1 … 7s; the lists have CRLF line ends, as the official ones."""
    planned = []
    for motion, name, group, number in spread(names, videos):
        sides = tuple(TEST if 7 * (split - 1) < group <= 7 * split else TRAIN for split in SPLITS)
        path = f"UCF-101/{name}/v_{name}_g{group:02d}_c{number:02d}.avi"
        planned.append(SyntheticVideo(path, motion, group, number, sides))
    lists = {"classInd.txt": [f"{index} {name}" for index, name in enumerate(names, 1)]}
    for split in SPLITS:
        own = [(video.path.removeprefix("UCF-101/"), video.motion + 1, video.sides[split - 1]) for video in planned]
        lists[f"trainlist0{split}.txt"] = [f"{path} {label}" for path, label, side in own if side == TRAIN]
        lists[f"testlist0{split}.txt"] = [path for path, _, side in own if side == TEST]
    return planned, {
        f"ucfTrainTestlist/{name}": "".join(f"{line}\r\n" for line in lines) for name, lines in lists.items()
    }
