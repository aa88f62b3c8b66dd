"""How a run goes.

options.py     the options that every script has
descent.py     the options of how weights are moved
loop.py        epochs and steps, and what is written after each
parts.py       what a run is made of
averaging.py   how a run makes its samples with averaged weights
trained.py     what a trained model can do
progress.py    the bar of an epoch, in a terminal or a notebook
resume.py      how a run goes on from its checkpoint
finish.py      what a finished run leaves
distributed.py several processes that share each batch: why and how
mpi.py         how they meet through MPI
nccl.py        how the arrays of their GPUs are added up
gan.py         what the GANs share
vae.py         what the VAEs share
denoising.py   what flow, diffusion and super-resolution share
"""
