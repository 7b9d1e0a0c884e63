"""Cache of quantities of one cell, kept while the cell stays: for dynamics and batches."""

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from threading import Lock
from typing import Any, TypeVar, final

import torch
from torch import Tensor

T = TypeVar("T")
_ENTRY = 300  # bytes of the place in the dictionary and what belongs to it


@final
class CellCache:
    """The values used last, up to a number of bytes together.

    Args:
        limit: bytes of what is kept, with its keys.
        most: values that are kept, however small they are: where the cell changes at every step,
            memory is soon as large as it gets.
    """

    def __init__(self, limit: int, most: int = 5000) -> None:
        self.limit, self.most = limit, most
        self.size = 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, build: Callable[[], T]) -> T:
        """The value of `key`, built without gradients if it is not there.

        A value that is larger than a quarter of the limit is built and not kept: it would push all
        others out.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        # inference tensors could not take part in a later backward pass
        with torch.inference_mode(mode=False), torch.no_grad():
            value = build()
        size = _bytes(value) + _key_bytes(key) + _ENTRY
        if 4 * size > self.limit:
            return value
        with self._lock:
            if key not in self._kept:
                self._kept[key] = (value, size)
                self.size += size
            while self.size > self.limit or len(self._kept) > self.most:
                _, (_, dropped) = self._kept.popitem(last=False)
                self.size -= dropped
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self.size = 0


def tensor_key(*tensors: Tensor) -> Hashable:
    """Values, type and device of small tensors, for a key; moves them to the host."""
    return tuple(
        (t.dtype, t.device, tuple(t.shape), t.detach().cpu().numpy().tobytes()) for t in tensors
    )


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, (tuple, list)):
        return sum(_bytes(v) for v in value)
    if is_dataclass(value):
        return _ENTRY + sum(_bytes(getattr(value, f.name)) for f in fields(value))
    return sys.getsizeof(value)


def _key_bytes(key: Any) -> int:
    """Of a key: its numbers; classes and settings are there anyway."""
    if isinstance(key, tuple):
        return sys.getsizeof(key) + sum(map(_key_bytes, key))
    return sys.getsizeof(key) if isinstance(key, (bytes, float)) else 0


CELL_CACHE = CellCache(256 * 2**20)  # shared by all methods
