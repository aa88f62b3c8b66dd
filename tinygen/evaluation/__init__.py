"""How good the generated images are.

evaluate.py   the command that judges a finished run
metrics.py    distances between two sets of images, by their features
features.py   the classifier whose features those are
"""
