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
    planned = [
        SyntheticVideo(
            f"UCF-101/{name}/v_{name}_g{group:02d}_c{number:02d}.avi",
            motion,
            group,
            number,
            tuple(TEST if 7 * (split - 1) < group <= 7 * split else TRAIN for split in SPLITS),
        )
        for motion, name in enumerate(names)
        for group, number in spread(videos)
    ]
    lists = {"classInd.txt": [f"{index} {name}" for index, name in enumerate(names, 1)]}
    for split in SPLITS:
        sides = {TRAIN: [], TEST: []}
        for video in planned:
            sides[video.sides[split - 1]].append(video)
        official = {side: [video.path.removeprefix("UCF-101/") for video in part] for side, part in sides.items()}
        train = zip(official[TRAIN], sides[TRAIN], strict=True)
        lists[f"trainlist0{split}.txt"] = [f"{path} {video.motion + 1}" for path, video in train]
        lists[f"testlist0{split}.txt"] = official[TEST]
    return planned, {
        f"ucfTrainTestlist/{name}": "".join(f"{line}\r\n" for line in lines) for name, lines in lists.items()
    }
