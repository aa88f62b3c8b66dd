"""The memory that Python and NumPy take."""

import tracemalloc
from collections.abc import Callable


def peak_memory(function: Callable[[], object]) -> int:
    """The most bytes that function() holds at a time, beyond what there was before. It has run once already, and has what it keeps."""
    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
