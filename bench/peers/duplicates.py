"""imagededup's side of bench/runs/duplicates.ts: pairs of images that are nearly the same.

    duplicates.py FOLDER NAMES FEATURES D

FOLDER has the images, NAMES is a JSON list of their files, FEATURES holds n x d float32, one row for each. Prints one line of JSON: for
each method, with the thresholds that are its defaults, the pairs found (by their places in the list) and the seconds. `cnn` is
imagededup's search by the cosine of features, on the features given.
"""

import json
import sys
import time

import imagededup
import numpy as np
import torch
from imagededup.methods import CNN, AHash, DHash, PHash, WHash
from imagededup.utils.models import CustomModel

folder, names, features, d = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3], int(sys.argv[4])
place = {name: i for i, name in enumerate(names)}


def pairs(found):
    return sorted({tuple(sorted((place[a], place[b]))) for a, others in found.items() for b in others})


methods = {}
for name, method in (("phash", PHash), ("dhash", DHash), ("ahash", AHash), ("whash", WHash)):
    begin = time.perf_counter()
    found = method(verbose=False).find_duplicates(image_dir=folder)
    methods[name] = {"pairs": pairs(found), "seconds": time.perf_counter() - begin}

rows = np.fromfile(features, np.float32).reshape(-1, d)
model = CustomModel(model=torch.nn.Identity(), transform=lambda image: image, name="features given")
begin = time.perf_counter()
found = CNN(verbose=False, model_config=model).find_duplicates(encoding_map=dict(zip(names, rows)))
methods["cnn"] = {"pairs": pairs(found), "seconds": time.perf_counter() - begin}
print(json.dumps({"version": getattr(imagededup, "__version__", "unknown"), "methods": methods}))
