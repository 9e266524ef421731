"""SciPy's side of bench/runs/ridge.ts: the ridge probe and its adjoint by LAPACK's Cholesky, in double.

The formulas are those of src/probe/ridge.ts; the smaller of the two systems is solved, in the cheaper association.
"""

import os
import time

import numpy as np
from protocol import serve
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

state = {}


def threads(count):
    threadpool_limits(count)


def load(m, d, C, penalty, folder):
    read = lambda name, shape: np.fromfile(os.path.join(folder, f"{name}.f64")).reshape(shape)
    state.update(Z=read("Zs", (m, d)), Y=read("Ys", (m, C)), G=read("G", (d, C)), penalty=penalty, folder=folder)


def solve(Z, Y, penalty):
    m, d = Z.shape
    gram = Z @ Z.T if m <= d else Z.T @ Z
    shift = penalty * np.trace(gram) / m
    gram[np.diag_indices_from(gram)] += shift
    system = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    if m <= d:
        A = cho_solve(system, Y, check_finite=False)
        return system, A, Z.T @ A, shift
    W = cho_solve(system, Z.T @ Y, check_finite=False)
    return system, (Y - Z @ W) / shift, W, shift


def adjoint(Z, G, penalty, system, A, W, shift):
    """With U = (K + rI)^-1 Z G:  dZ = A (G - Z'U)' - U W' - (2 penalty/m) tr(U'A) Z,  dY = U."""
    m, d = Z.shape
    if m <= d:
        U = cho_solve(system, Z @ G, check_finite=False)
        if m * (W.shape[1] + d) < 2 * d * W.shape[1]:
            # With few rows, A G' - (U A' + A U') Z takes less.
            outer = U @ A.T
            outer = outer + outer.T
            outer[np.diag_indices_from(outer)] += 2 * penalty / m * np.vdot(U, A)
            return A @ G.T - outer @ Z, U
        rest = G - Z.T @ U
    else:
        V = cho_solve(system, G, check_finite=False)
        U, rest = Z @ V, shift * V
    dZ = A @ rest.T - U @ W.T - (2 * penalty / m) * np.vdot(U, A) * Z
    return dZ, U


def run():
    Z, Y, G, penalty = (state[k] for k in ("Z", "Y", "G", "penalty"))
    start = time.perf_counter()
    solution = solve(Z, Y, penalty)
    middle = time.perf_counter()
    dZ, dY = adjoint(Z, G, penalty, *solution)
    end = time.perf_counter()
    state["results"] = {"W": solution[2], "dZs": dZ, "dYs": dY}
    return {"solve": 1000 * (middle - start), "adjoint": 1000 * (end - middle)}


def save():
    for name, values in state["results"].items():
        np.ascontiguousarray(values).tofile(os.path.join(state["folder"], f"{name}.f64"))


serve({"threads": threads, "load": load, "run": run, "save": save})
