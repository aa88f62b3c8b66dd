"""How a run goes.

options.py   the options that every script has
loop.py      epochs and steps, and what is written after each
resume.py    how a run goes on from its checkpoint
gan.py       what the GANs share
vae.py       what the VAEs share
"""
