"""How a run goes.

options.py   the options that every script has
loop.py      epochs and steps, and what is written after each
gan.py       what the GANs share
vae.py       what the VAEs share
"""
