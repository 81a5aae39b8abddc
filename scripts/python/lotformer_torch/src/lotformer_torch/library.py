# SPDX-License-Identifier: MIT
"""Finds liblotformer_ops.so and makes its operators known to torch."""
import os
import pathlib

import torch

NAME = "liblotformer_ops.so"


def find():
    """The library that LOTFORMER_OPS_LIBRARY names, else the one in the package, else the newest of build/<preset> in a checkout."""
    named = os.environ.get("LOTFORMER_OPS_LIBRARY")
    if named:
        return pathlib.Path(named)
    here = pathlib.Path(__file__).resolve()
    if (here.parent / NAME).is_file():
        return here.parent / NAME
    built = []
    if len(here.parents) > 5:
        built = sorted((here.parents[5] / "build").glob(f"*/lib/{NAME}"), key=lambda path: path.stat().st_mtime)
    return built[-1] if built else here.parent / NAME


LIBRARY = find()


def load():
    """Loads the library once; ImportError with one sentence where that fails."""
    if not LIBRARY.is_file():
        raise ImportError(f"lotformer_torch: there is no {LIBRARY}; install the wheel, or build the target lotformer_ops_shared and name the "
                          "library with LOTFORMER_OPS_LIBRARY")
    try:
        torch.ops.load_library(str(LIBRARY))
    except OSError as error:
        raise ImportError(f"lotformer_torch: {LIBRARY} does not load beside torch {torch.__version__}; it wants the minor version it was built "
                          f"with (2.11) and the same kind (with or without CUDA): {error}") from None
