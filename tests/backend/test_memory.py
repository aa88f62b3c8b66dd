"""What the C library does with freed memory shows in the page faults of a process."""

import os
import platform
import subprocess
import sys


def page_faults_of_a_loop(after: str = "", **environment: str) -> int:
    """Ten times 25 MB, where every new page would be a fault, in a process of its own. `after` runs after each."""
    code = f"""
import resource, numpy, tinygen.backend
def step(): return [numpy.ones(1_000_000 + 100_000 * i, "float32") for i in range(5)]
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(), step()
before = faults()
for _ in range(10): step(); {after}
print(faults() - before)
"""
    return int(
        subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True).stdout
    )


if platform.libc_ver()[0] == "glibc":  # elsewhere the kernels keep memory themselves: tests/kernels/test_cpu_memory.py

    def test_the_memory_of_freed_arrays_serves_the_next_ones() -> None:
        assert page_faults_of_a_loop() < 100

    def test_who_has_set_glibc_s_own_variables_keeps_that() -> None:
        assert page_faults_of_a_loop(MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072") > 10_000

    def test_memory_that_is_given_back_is_asked_for_again() -> None:
        assert page_faults_of_a_loop(after="tinygen.backend.give_memory_back()") > 10_000
