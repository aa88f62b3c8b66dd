"""What a trained model can do: the verbs that `tinygen.load_run` offers.

The options of a script say by their method `trained` which of these classes describes its model.
gan.py and vae.py have those of the GANs and VAEs, and the example of any other model has its own.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from tinygen.command_line import UsageError
from tinygen.engine.tensor import Tensor


class Trained:
    """A trained model. A subclass defines the verbs of its model, and the others raise UsageError.

    Images are (n, H, W, C) from 0 to 1, latent vectors (n, D). The verbs are used in evaluation mode.

    gaussian   how many numbers of a latent vector, the first ones, are from N(0, 1)
    classes    the names of the classes that `draw` can be asked for
    inputs     the inputs of a network, by its name, where there are others than images and labels:
               shapes, and arrays of integers
    """

    gaussian: int = 0
    classes: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[Any, ...]] = {}

    def draw(self, n: int, classes: list[int] | None = None) -> Tensor:
        """n random latent vectors; of these n classes, by number, if any are given."""
        self._refuse("draw")

    def decode(self, z: Tensor) -> Tensor:
        """The images of latent vectors."""
        self._refuse("decode")

    def encode(self, x: Tensor) -> Tensor:
        """The latent vectors of images."""
        self._refuse("encode")

    def classify(self, x: Tensor) -> Tensor:
        """The probabilities (n, K) of the classes of images."""
        self._refuse("classify")

    def write(self, n: int) -> list[str]:
        """n random words."""
        self._refuse("write")

    def _refuse(self, verb: str) -> NoReturn:
        names = {"draw": "sample", "decode": "decode", "encode": "encode", "classify": "classify", "write": "write"}
        can = [name for name in names if getattr(type(self), name) is not getattr(Trained, name)]
        told = (
            f"it can {', '.join(names[name] for name in can)}" if can else "its options have no method `trained` that says what it can do"
        )
        raise UsageError(f"this model cannot {names[verb]}; {told}")
