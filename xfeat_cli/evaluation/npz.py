"""Published .npz files, whose arrays of objects are pickles: read without running what they ask for."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from xfeat_cli.errors import UsageError

MAX_BYTES = 1 << 30
"""Of a file's arrays, unpacked: the published ones have some megabytes."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays by name. Raises UsageError for what cannot be read, is far too large, or holds anything but
    arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise UsageError(f"{path} claims more than {MAX_BYTES >> 20} MB of arrays")
            arrays = {}
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    arrays[entry.filename.removesuffix(".npy")] = _read(file)
            return arrays
    except UsageError:
        raise
    except Exception as error:  # damaged archives, headers and pickles raise whatever they please
        raise UsageError(f"{path} cannot be read as an .npz file ({error})") from None


def _read(file: IO[bytes]) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        array: Any = _ArraysOnly(file).load()
        if not isinstance(array, np.ndarray):
            raise ValueError("an entry is no array")
        return array
    flat = np.frombuffer(file.read(), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays, numbers, texts and their containers, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("multiarray", "_reconstruct"): _empty_array,
            ("multiarray", "scalar"): _scalar,
            ("numeric", "_frombuffer"): _from_buffer,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _encode,
        }
        place = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        if (place, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return allowed[place, name]


def _empty_array(kind: Any, shape: Any, dtype: Any) -> np.ndarray:
    """Return what numpy begins every array with; its content comes from the file."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array begins in an unknown way")
    return np.ndarray.__new__(np.ndarray, (0,), np.int8)


def _scalar(dtype: np.dtype, content: bytes) -> Any:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a number of an unknown kind")
    return np.frombuffer(content, dtype)[0]


def _from_buffer(content: bytes, dtype: np.dtype, shape: Any, order: str) -> np.ndarray:
    if dtype.hasobject:
        raise pickle.UnpicklingError("an array of an unknown kind")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")
