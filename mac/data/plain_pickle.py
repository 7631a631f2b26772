"""Pickles that hold plain values alone: dictionaries, lists, numbers, texts, and NumPy's arrays of numbers.

A pickle can run any code when it is read. Here it may name nothing but plain types and what NumPy's arrays are written
with; the latter are built by this module, because NumPy's own functions would let a file make up memory addresses.
"""

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np

ALLOWED = "dictionaries, lists, numbers, texts and NumPy's arrays of these"
_HEADERS = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
_TYPES = (bool, int, float, str, bytes, list, tuple, dict, set)


class ForbiddenError(Exception):
    """A pickle holds what isn't allowed; the message says what, and what is."""


class _Type:
    """Stands for a ``numpy.dtype``."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def read(self, values: Any, shape: tuple[int, ...], order: str = "C") -> np.ndarray:
        """Make an array of a list of objects or of the bytes of numbers (Python 2: text)."""
        kind = np.dtype(self.code)
        if kind.kind == "O" and isinstance(values, list):
            return np.fromiter(values, object, len(values)).reshape(shape)  # in C order, whatever the array's is
        if kind.kind not in "biuf":
            raise ForbiddenError(f"holds an array of {kind}, but only {ALLOWED} are allowed")
        raw = values.encode("latin1") if isinstance(values, str) else values
        return np.frombuffer(raw, kind.newbyteorder(self.order)).reshape(shape, order=order)


class _Array:
    """Stands for a ``numpy.ndarray``; NumPy takes its values from ``__array__``."""

    __slots__ = ("values",)

    def __init__(self, *_: Any) -> None:
        self.values = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, is_fortran, values = state
        self.values = kind.read(values, shape, "F" if is_fortran else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values if dtype is None else self.values.astype(dtype)


def _names() -> dict[tuple[str, str], Any]:
    """What a pickle may name, as old and new versions of Python and NumPy write it."""
    found: dict[tuple[str, str], Any] = {("builtins", kind.__name__): kind for kind in _TYPES}
    found |= {("collections", kind.__name__): kind for kind in (collections.OrderedDict, collections.defaultdict)}
    found["_codecs", "encode"] = lambda text, _: text.encode("latin1")  # how Python 3 writes bytes for Python 2
    found |= {("numpy", "ndarray"): None, ("numpy", "dtype"): _Type}
    for numpy in ("numpy.core", "numpy._core"):
        found[f"{numpy}.multiarray", "_reconstruct"] = _Array
        found[f"{numpy}.multiarray", "scalar"] = lambda kind, raw: kind.read(raw, ()).item()
        found[f"{numpy}.numeric", "_frombuffer"] = lambda raw, kind, shape, order: kind.read(raw, shape, order)
    return found


class _Unpickler(pickle.Unpickler):
    names = _names()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.names:
            raise ForbiddenError(f"holds {module}.{name}, but only {ALLOWED} are allowed")
        return self.names[module, name]


def load(file: Path) -> Any:
    """Read a ``.npy`` file: an array of numbers, or of one object that Python 2 or 3 pickled.

    Raises:
        ForbiddenError: it holds something else.
        Exception: the file is empty, cut off or of another kind; a damaged pickle may raise any.
    """
    with file.open("rb") as stream:
        major, _ = np.lib.format.read_magic(stream)
        if not _HEADERS[major](stream)[2].hasobject:
            return np.load(file)
        found = _Unpickler(stream, encoding="latin1").load()
    found = found.values if isinstance(found, _Array) else found
    return found.item() if isinstance(found, np.ndarray) and not found.shape else found
