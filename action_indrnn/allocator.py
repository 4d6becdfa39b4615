"""How this process keeps memory that it has freed."""

import ctypes
import sys
from functools import cache

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2  # of mallopt(3)
LARGEST = 32 << 20  # bytes of a piece that is taken from the heap; glibc allows no more
KEPT = 1 << 30  # bytes at the heap's end that are kept though they are free
AHEAD = 64 << 20  # bytes that the heap grows by


@cache
def keep_freed_memory() -> bool:
    """Makes the heap keep what a training step frees, for the next one; whether it could be told so.

    A step frees and takes some hundred tensors of a megabyte. glibc by default gives such memory back to the
    system at once, which hands it out anew page by page, zeroed: a fifth of a small network's step. Where the
    C library is another one nothing is done.
    """
    if sys.platform != "linux" or not hasattr(library := ctypes.CDLL(None), "mallopt"):
        return False
    settings = ((_MMAP_THRESHOLD, LARGEST), (_TRIM_THRESHOLD, KEPT), (_TOP_PAD, AHEAD))
    return all(library.mallopt(name, value) for name, value in settings)
