"""Prints the versions of the peers on one line."""

from importlib.metadata import version

print(", ".join(f"{label} {version(name)}" for label, name in (
    ("PyTorch", "torch"), ("timm", "timm"), ("NumPy", "numpy"), ("SciPy", "scipy"), ("scikit-learn", "scikit-learn"),
)))  # fmt: skip
