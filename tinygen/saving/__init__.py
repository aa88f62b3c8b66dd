"""How a run is kept.

checkpoint.py   arrays and text in one file, written whole or not at all
lock.py         one process at a time
log.py          a line of numbers per epoch
run_folder.py   which files a run leaves, and what they say about it
state.py        the check that a saved state fits its owner
"""
