"""UCF101: ``UCF-101/Class/v_Class_gNN_cMM.avi`` with lists of training and of test videos for three splits."""

from pathlib import Path
from typing import TYPE_CHECKING

from mac.data.splits import TEST, TRAIN, UNUSED, SyntheticVideo, find_list, read_lines, spread

if TYPE_CHECKING:
    import pandas as pd

SPLITS = (1, 2, 3)


def read(root: Path) -> "pd.DataFrame":
    """Read the six lists of ``ucfTrainTestlist``."""
    import pandas as pd

    rows: dict[str, dict[str, str]] = {}
    for split in SPLITS:
        for side, name in ((TRAIN, f"trainlist0{split}.txt"), (TEST, f"testlist0{split}.txt")):
            for line in read_lines(find_list(root, "ucfTrainTestlist", name)):
                video = line.split()[0]
                group = Path(video).stem.rsplit("_", 1)[0].removeprefix("v_")
                facts = {"path": f"UCF-101/{video}", "label": video.split("/")[0], "group": group}
                rows.setdefault(video, facts | {f"split_{s}": UNUSED for s in SPLITS})[f"split_{split}"] = side
    return pd.DataFrame(rows.values())


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
