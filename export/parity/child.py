"""Run by the emulated processor: python child.py PACKAGE FORMAT PRECISION RUNTIME DIRECTORY.

Embeds DIRECTORY/windows.npy with the package's network into DIRECTORY/embeddings.npy. It imports the device's package
and nothing of the workstation's.
"""

import sys
from pathlib import Path

import numpy as np

from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model

package, network_format, precision, runtime, folder = sys.argv[1:]
embedder = load_embedder(load_model(Path(package), precision, (network_format,)), runtime)
np.save(Path(folder) / "embeddings.npy", embedder.embed(np.load(Path(folder) / "windows.npy")))
