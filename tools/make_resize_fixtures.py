"""Makes test/fixtures/resize: random images resized by Pillow and preprocessed by torchvision.

Run: python tools/make_resize_fixtures.py   (needs pillow==11.3.0, torchvision, numpy)
Every Pillow up to 12.2 gives the same pixels. Later ones run the vertical pass first for some tall images, which
changes the rounding between the passes; pre-trained encoders met the earlier order.

index.json lists the cases; pixels.bin.gz holds, for each case in order, the source and the expected pixels,
8-bit RGB, height x width x 3. decoded.jpg is a JPEG with halved chroma, decoded.bin.gz its pixels as Pillow
decodes them.
"""

import gzip
import json
import pathlib

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms import InterpolationMode

if tuple(map(int, PIL.__version__.split(".")[:2])) > (12, 2):
    raise SystemExit(f"Pillow {PIL.__version__} orders its passes otherwise; install pillow==11.3.0")
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "resize"
FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
rng = np.random.default_rng(7)


def picture(width, height, kind):
    """noise: every pixel independent; edges: only 0 and 255, which makes the cubic overshoot."""
    if kind == "edges":
        data = rng.integers(0, 2, (height, width, 3)) * 255
    else:
        data = rng.integers(0, 256, (height, width, 3))
    return Image.fromarray(data.astype(np.uint8))


cases, blobs = [], []


def add(source, expected, **case):
    case |= {"source": source.size, "expected": expected.size}
    cases.append(case)
    blobs.append(np.asarray(source).tobytes())
    blobs.append(np.asarray(expected).tobytes())


# (source w, h) -> (target w, h): shrink, enlarge, one axis only, mixed, to and from one pixel, prime sizes.
for (w, h), (tw, th) in [
    ((37, 29), (16, 11)), ((16, 11), (37, 29)), ((40, 30), (40, 13)), ((40, 30), (17, 30)), ((50, 9), (21, 27)),
    ((1, 1), (5, 4)), ((23, 31), (1, 1)), ((61, 47), (60, 46)), ((64, 48), (32, 24)),
]:
    for name, resampling in FILTERS.items():
        source = picture(w, h, "edges" if (w + tw) % 2 else "noise")
        add(source, source.resize((tw, th), resampling), kind="resize", interpolation=name)

# Resize of the shorter edge and center crop, odd margins both ways, crops larger than the image.
MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
for (w, h), resize, (ch, cw) in [
    ((50, 37), 26, (22, 22)), ((37, 50), 26, (23, 23)), ((33, 47), 20, (17, 19)), ((31, 64), 24, (24, 24)),
    ((20, 20), 32, (28, 28)), ((45, 30), None, (21, 18)), ((45, 30), [19, 23], (19, 23)), ((19, 26), None, (32, 21)),
    ((13, 10), 15, (22, 31)), ((41, 52), 29, (24, 26)),
]:
    for name, mode in MODES.items():
        source = picture(w, h, "noise")
        steps = [] if resize is None else [v2.Resize(resize, mode)]
        expected = v2.Compose([*steps, v2.CenterCrop((ch, cw))])(source)
        add(source, expected, kind="preprocess", interpolation=name, resize=resize, crop=[ch, cw])

OUT.mkdir(parents=True, exist_ok=True)
with open(OUT / "pixels.bin.gz", "wb") as file:
    file.write(gzip.compress(b"".join(blobs), mtime=0))
y, x = np.mgrid[0:45, 0:61]
waves = np.stack([128 + 90 * np.sin(x / a + y / b) for a, b in [(5, 9), (11, 4), (7, -6)]], -1)
Image.fromarray((waves + rng.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)).save(
    OUT / "decoded.jpg", quality=90, subsampling="4:2:0"
)
decoded = np.asarray(Image.open(OUT / "decoded.jpg").convert("RGB"))
(OUT / "decoded.bin.gz").write_bytes(gzip.compress(decoded.tobytes(), mtime=0))
made_by = f"Pillow {PIL.__version__}, torchvision {torchvision.__version__.split('+')[0]}"
lines = ",\n".join("    " + json.dumps(case) for case in cases)
(OUT / "index.json").write_text(f'{{\n  "madeBy": "{made_by}",\n  "cases": [\n{lines}\n  ]\n}}\n')
