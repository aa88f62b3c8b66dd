"""Runs that were never trained: their networks have the initial weights. They take no time."""

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import numpy

import tinygen as tg
from tinygen.data import ImageDataset, NameDataset, TextDataset
from tinygen.saving.run_folder import Run, RunFolder

IMAGES = ImageDataset.of_form({"shape": [28, 28, 1], "classes": [f"class {k}" for k in range(10)]})
NAMES = NameDataset(("anna", "otto"), ("nat",), "three names")


def saved_run(folder: Path, example: str, form: Any = "that of its data", **options: Any) -> Run:
    """The run of an example, as if trained for two epochs on data that are gone."""
    module = import_module(example)
    chosen = get_type_hints(module.main)["options"](out=folder, data=folder / "gone", **options)
    images = IMAGES.padded(32) if "DCGAN" in str(type(chosen).__mro__) else IMAGES
    data: Any = {"attention_names": NAMES, "transformer": TextDataset.of_form({})}.get(example, images)
    if example == "cifar_vae":
        data = dataclasses.replace(data, **{f"{part}_images": numpy.zeros((1, 32, 32, 3), numpy.uint8) for part in ("train", "test")})
    tg.manual_seed(1)
    run = Run(
        script=chosen.script,
        options=chosen.plain(),
        data=data.digest(),
        form=data.form() if form == "that of its data" else form,
        epoch=2,
        batch=0,
        seconds=0.0,
        parts={name: network.state_dict() for name, network in module.build(chosen, data).items()},
        random=tg.random_state(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    run.save(RunFolder(folder).checkpoint)
    return run
