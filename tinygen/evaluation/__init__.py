"""How good the generated images are.

evaluate.py   the command that judges a finished run
judge.py      quality and novelty of a set of images
estimate.py   numbers with their margins of error
metrics.py    distances between two sets of images, by their features
features.py   the classifier whose features those are
"""
