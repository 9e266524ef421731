"""Makes test/fixtures/ridge/adjoint.json: ridge solutions and their adjoints in 50 decimal digits.

Run: python tools/make_ridge_fixtures.py   (needs mpmath)

With K = Z Zt, r = lambda tr(K)/m, A = (K + r I)^-1 Y, U = (K + r I)^-1 Z G: W = Zt A,
dZ = A Gt - (U At + A Ut) Z - (2 lambda/m) tr(Ut A) Z, dY = U. Inputs are multiples of 1/1024, so that both sides
start from the same numbers; each `condition` is the 2-norm condition number of the smaller system.
"""

import json
import pathlib
import random

from mpmath import eye, matrix, mp, mpf, svd_r

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "ridge" / "adjoint.json"
mp.dps = 50
rng = random.Random(5)


def draw(rows, cols):
    return matrix([[mpf(rng.randint(-1024, 1024)) / 1024 for _ in range(cols)] for _ in range(rows)])


def flat(a):
    return [float(a[i, j]) for i in range(a.rows) for j in range(a.cols)]


cases = []
for m, d, classes in ((5, 8, 5), (6, 8, 2), (8, 5, 2), (8, 5, 7), (6, 6, 3), (7, 6, 3)):
    for lam in (0.125, 2**-13, 2**-27):
        Z, Y, G = draw(m, d), draw(m, classes), draw(d, classes)
        K = Z * Z.T
        r = mpf(lam) * sum(K[i, i] for i in range(m)) / m
        inverse = (K + r * eye(m)) ** -1
        A = inverse * Y
        U = inverse * (Z * G)
        trace = sum(U[i, j] * A[i, j] for i in range(m) for j in range(classes))
        dZ = A * G.T - (U * A.T + A * U.T) * Z - (2 * mpf(lam) / m) * trace * Z
        s = svd_r(Z, compute_uv=False)
        cases.append(
            {
                "m": m,
                "d": d,
                "classes": classes,
                "lambda": lam,
                "condition": float((max(s) ** 2 + r) / (min(s) ** 2 + r)),
                "Z": flat(Z),
                "Y": flat(Y),
                "G": flat(G),
                "W": flat(Z.T * A),
                "dZ": flat(dZ),
                "dY": flat(U),
            }
        )
OUT.parent.mkdir(parents=True, exist_ok=True)
OUT.write_text(json.dumps(cases) + "\n")
print(OUT, OUT.stat().st_size, "bytes")
