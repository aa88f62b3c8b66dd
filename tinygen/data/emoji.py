"""Noto Emoji: 32x32 images in colour, in the nine classes of the Unicode standard.

Source: Google LLC and the Noto Emoji authors, https://github.com/googlefonts/noto-emoji.
"""

from dataclasses import replace
from pathlib import Path

from tinygen.data.dataset import ImageDataset
from tinygen.data.readers.npz import load_npz

EMBEDDED_FILE = Path(__file__).parent / "noto_emoji" / "noto-emoji-32.npz"


def load_emoji() -> ImageDataset:
    """Load the 3,161 training and 325 test images. All skin tones of an emoji are in one part."""
    return replace(load_npz(EMBEDDED_FILE), source="embedded Noto Emoji")
