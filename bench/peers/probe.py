"""scikit-learn's side of bench/runs/probe.ts: RidgeClassifier in memory, SGDClassifier in one streamed pass.

Each has a time limit, and gives how many rows it has learned from when that is up.
"""

import os
import signal
import time

import numpy as np
from protocol import limit_memory, peak_bytes, serve
from sklearn.linear_model import RidgeClassifier, SGDClassifier
from threadpoolctl import threadpool_limits

state = {}


def load(folder, d, classes, threads):
    threadpool_limits(threads)
    limit_memory()
    state.update(folder=folder, d=d, classes=np.arange(classes))
    for split in ("train", "test"):
        state[split] = np.fromfile(os.path.join(folder, f"{split}.f32.labels"), np.int32)


def features(split, first, last):
    """Rows of a split; read rather than mapped, because the pages of a mapped file count as this process's memory."""
    d, path = state["d"], os.path.join(state["folder"], f"{split}.f32")
    return np.fromfile(path, np.float32, (last - first) * d, offset=4 * first * d).reshape(-1, d)


def judged(model, start, rows):
    seconds, peak = time.perf_counter() - start, peak_bytes()
    y = state["test"]
    top1 = float((model.predict(features("test", 0, len(y))) == y).mean())
    return {"seconds": seconds, "peakMemoryBytes": peak, "top1": top1, "rows": rows}


def up(_signal, _frame):
    raise TimeoutError


def fitted(shift, count):
    """The ridge of the first `count` rows, which it holds in memory."""
    start = time.perf_counter()
    y = state["train"][:count]
    model = RidgeClassifier(alpha=shift, solver="cholesky").fit(features("train", 0, count), y)
    return judged(model, start, count)


def ridge(shift, rows, seconds):
    """All rows; where those need too much memory or time, the most of a half, a quarter, ... that did not."""
    n = len(state["train"])
    signal.signal(signal.SIGALRM, up)
    # Few rows first: where all would take too long, nothing longer is begun.
    counts = [n // 2**k for k in (4, 3, 2, 1, 0)] if n > 200_000 else [n]
    best, stopped, left = None, None, seconds
    for count in counts:
        if best is not None and best["seconds"] * count / best["rows"] > left:
            stopped = "time"
            break
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.01))
        try:
            best = fitted(shift, count)
        except MemoryError:
            stopped = "memory"
        except TimeoutError:
            stopped = "time"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        left -= time.perf_counter() - start
        if stopped is not None:
            break
    if best is None:
        raise RuntimeError(f"not enough {stopped} for {counts[0]:,} rows")
    return {**best, "stopped": stopped}


def sgd(shift, rows, seconds):
    y = state["train"]
    model = SGDClassifier(random_state=0, n_jobs=2)
    start = time.perf_counter()
    done = 0
    while done < len(y) and time.perf_counter() - start < seconds:
        last = min(done + rows, len(y))
        model.partial_fit(features("train", done, last), y[done:last], classes=state["classes"])
        done = last
    return {**judged(model, start, done), "stopped": None if done == len(y) else "time"}


serve({"load": load, "ridge": ridge, "sgd": sgd})
