"""The forms in which images and names lie on a disk, one a file. Nothing is ever unpickled."""
