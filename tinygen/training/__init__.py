"""How a run goes.

options.py     the options that every script has
descent.py     the options of how weights are moved
loop.py        epochs and steps, and what is written after each
parts.py       what a run is made of
averaging.py   how a run makes its samples with averaged weights
resume.py      how a run goes on from its checkpoint
gan.py         what the GANs share
vae.py         what the VAEs share
"""
