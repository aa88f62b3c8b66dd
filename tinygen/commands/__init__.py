"""What can be done with a run that is there.

loaded.py        `load_run`: its networks, ready to sample, interpolate, encode and classify
latent.py        the way from one latent vector to another
scripts.py       the script that builds its networks
program.py       the program `tinygen`; a file for each command that is not elsewhere:
launch.py        a script on several processes
sample.py        random images
interpolate.py   a walk through the latent space
reporting.py     a page for a browser
export.py        the networks as ONNX graphs, or as weights for PyTorch and others
listing.py       a table of all runs in a folder
doctor.py        what there is to compute with, and what is missing
journey.py       one batch through one training step of an example
gallery.py       trainings that fail, and their cures
output.py        the files that commands write: a picture, a film, a folder, arrays
"""
