"""scikit-learn's side of bench/probe.ts: RidgeClassifier in memory, SGDClassifier in one streamed pass."""

import os
import time

import numpy as np
from protocol import peak_bytes, serve
from sklearn.linear_model import RidgeClassifier, SGDClassifier
from threadpoolctl import threadpool_limits

state = {}


def load(folder, n, held_out, d, classes, threads):
    threadpool_limits(threads)
    for split, count in (("train", n), ("test", held_out)):
        path = os.path.join(folder, f"{split}.f32")
        state[split] = (
            np.memmap(path, np.float32, "r", shape=(count, d)),
            np.fromfile(f"{path}.labels", np.int32),
        )
    state["classes"] = np.arange(classes)


def judged(model, start):
    seconds, peak = time.perf_counter() - start, peak_bytes()
    X, y = state["test"]
    return {"seconds": seconds, "peakMemoryBytes": peak, "top1": float((model.predict(X) == y).mean())}


def ridge(shift, rows):
    X, y = state["train"]
    start = time.perf_counter()
    return judged(RidgeClassifier(alpha=shift, solver="cholesky").fit(np.array(X), y), start)


def sgd(shift, rows):
    X, y = state["train"]
    model = SGDClassifier(random_state=0, n_jobs=2)
    start = time.perf_counter()
    for first in range(0, len(y), rows):
        model.partial_fit(np.array(X[first : first + rows]), y[first : first + rows], classes=state["classes"])
    return judged(model, start)


serve({"load": load, "ridge": ridge, "sgd": sgd})
