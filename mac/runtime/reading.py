"""Files that are read: a damaged one is named, with the way out."""

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # most that read files have no table
    import pandas as pd

AGAIN = "delete it and run the same command again"


class DamagedFileError(Exception):
    """A file is empty, cut off or otherwise damaged; the message names it, what was found and the way out."""


@contextmanager
def naming(path: Path, way_out: str = AGAIN) -> Iterator[None]:
    """Name a file that can't be read within.

    Raises:
        DamagedFileError: a library can't make sense of the file.
        OSError: the file is missing or may not be read.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # for a cut file libraries raise what they like: OSError, EOFError, RuntimeError …
        if type(error).__module__.startswith("mac."):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedFileError(f"{path}: damaged, {path.stat().st_size:,} bytes — {reason} — {way_out}") from None


def read_text(path: Path) -> str:
    """Read text: UTF-8 with or without a byte-order mark, or UTF-16 with one, and the line ends of any system.

    Raises:
        DamagedFileError: the text is in another encoding; the message names the line if it can.
    """
    content, wanted = path.read_bytes(), "text in UTF-8 is read, or in UTF-16 with its mark — save it as UTF-8"
    encoding = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DamagedFileError(
            f"{path}, line {line}: found {content[error.start : error.start + 8]!r} — {wanted}"
        ) from None
    if "\0" in text:
        raise DamagedFileError(f"{path}: found NUL bytes — {wanted}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, way_out: str = AGAIN) -> Any:
    """Read a JSON file; errors as of :func:`naming`."""
    with naming(path, way_out):
        return json.loads(path.read_text(encoding="utf-8"))


def read_table(path: Path, way_out: str = AGAIN) -> "pd.DataFrame":
    """Read a table (parquet); errors as of :func:`naming`."""
    import pandas as pd

    with naming(path, way_out):
        return pd.read_parquet(path)
