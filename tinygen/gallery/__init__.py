"""What does a failed training look like? Six of them, each with the line that does it and the line that cures it.

failure.py         a failure: its training, its number, its two lines
small.py           small images and networks, which train in seconds
collapse.py        mode collapse
winner.py          a discriminator that wins
posterior.py       posterior collapse of a VAE
checkerboard.py    checkerboards
learning_rate.py   too high a learning rate
detach.py          a forgotten detach
page.py            all of them on a page for a browser
"""

from tinygen.gallery import checkerboard, collapse, detach, learning_rate, posterior, winner

FAILURES = {
    module.__name__.rpartition(".")[2]: module.FAILURE for module in (collapse, winner, detach, posterior, checkerboard, learning_rate)
}
