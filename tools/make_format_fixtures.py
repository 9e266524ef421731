"""Makes test/fixtures/formats: bitmaps, Netpbm files and CMYK images as Pillow writes and reads them, parquet files in
every compression, and pickles of an array in every protocol. Needs numpy, Pillow and pyarrow.

index.json lists the image files; each has a .rgb beside it, Pillow's own convert("RGB") of it (height x width x 3).
"""

import io
import json
import pathlib
import pickle
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "formats"
OUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(5)
WIDTH, HEIGHT = 13, 7
rgb = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
names = []


def keep(name, data):
    (OUT / name).write_bytes(data)
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"))
    (OUT / f"{name}.rgb").write_bytes(pixels.tobytes())
    names.append({"name": name, "width": pixels.shape[1], "height": pixels.shape[0]})


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bmp(bits, compression, rows, palette=b"", masks=b"", height=HEIGHT, colors=0):
    """A bitmap by hand: Pillow writes only some of those that it reads."""
    offset = 14 + 40 + len(masks) + len(palette)
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(rows), 2835, 2835, colors, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset) + head + masks + palette + rows


def padded(rows):
    return b"".join(row + b"\0" * (-len(row) % 4) for row in rows)


image = Image.fromarray(rgb)
keep("rgb.bmp", saved(image, "BMP"))
keep("gray.bmp", saved(image.convert("L"), "BMP"))
keep("bits.bmp", saved(image.convert("1"), "BMP"))
keep("palette.bmp", saved(image.quantize(200), "BMP"))
keep("alpha.bmp", saved(Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)), "BMP"))
indices = rng.integers(0, 16, (HEIGHT, WIDTH))
sixteen = rng.integers(0, 256, (16, 4), dtype=np.uint8).tobytes()
nibbles = [bytes(((list(r) + [0])[i] << 4) | (list(r) + [0])[i + 1] for i in range(0, WIDTH, 2)) for r in indices]
keep("four.bmp", bmp(4, 0, padded(nibbles), sixteen, colors=16))
words = rng.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
keep("555.bmp", bmp(16, 0, padded([(r & 0x7FFF).astype("<u2").tobytes() for r in words])))
keep("565.bmp", bmp(16, 3, padded([r.astype("<u2").tobytes() for r in words]), masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
longs = rng.integers(0, 2**32, (HEIGHT, WIDTH), dtype=np.uint32)
keep("thirty-two.bmp", bmp(32, 0, padded([r.astype("<u4").tobytes() for r in longs])))
keep("fields.bmp", bmp(32, 3, padded([r.astype("<u4").tobytes() for r in longs]), masks=struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00)))
keep("top-down.bmp", bmp(24, 0, padded([r[:, ::-1].tobytes() for r in rgb]), height=-HEIGHT))
colors = rng.integers(0, 256, (256, 4), dtype=np.uint8).tobytes()
runs = b""
for row in rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8):
    runs += bytes([4, row[0], 0, 5]) + row[4:9].tobytes() + b"\0" + bytes([WIDTH - 9, row[9], 0, 0])
keep("runs8.bmp", bmp(8, 1, runs + b"\0\1", colors))
runs = b"".join(bytes([5, r[0] << 4 | r[1], 0, 6, r[2] << 4 | r[3], r[4] << 4 | r[5], r[6] << 4 | r[7], 0, 2, r[8] << 4, 0, 0]) for r in indices)
keep("runs4.bmp", bmp(4, 2, runs + b"\0\1", sixteen, colors=16))
old = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 26 + 6) + struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 1) + bytes([9, 8, 7, 250, 200, 150])
keep("os2.bmp", old + padded([np.packbits(r % 2).tobytes() for r in indices]))

keep("rgb.ppm", saved(image, "PPM"))
keep("gray.pgm", saved(image.convert("L"), "PPM"))
keep("bits.pbm", saved(image.convert("1"), "PPM"))
text = " ".join(map(str, rgb.reshape(-1).tolist()))
keep("text.ppm", f"P3\n# made by hand\n{WIDTH} {HEIGHT}\n255\n{text}\n".encode())
keep("text.pgm", f"P2 {WIDTH} {HEIGHT} 100\n{' '.join(map(str, (rgb[..., 0] % 101).reshape(-1).tolist()))}\n".encode())
keep("text.pbm", f"P1\n{WIDTH} {HEIGHT}\n{''.join(map(str, (rgb[..., 0] % 2).reshape(-1).tolist()))}\n".encode())
keep("levels.ppm", f"P6 {WIDTH} {HEIGHT} 100\n".encode() + (rgb % 101).tobytes())
keep("deep.ppm", f"P6 {WIDTH} {HEIGHT} 1000\n".encode() + (rgb.astype(np.uint16) * 3).astype(">u2").tobytes())

inks = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8), mode="CMYK")
marked = saved(inks, "JPEG", quality=95)
keep("cmyk.jpg", marked)
at = marked.index(b"\xff\xee")
keep("cmyk-unmarked.jpg", marked[:at] + marked[at + 2 + int.from_bytes(marked[at + 2 : at + 4], "big") :])
keep("cmyk.tif", saved(inks, "TIFF"))
lines = ",\n  ".join(json.dumps(entry) for entry in names)
(OUT / "index.json").write_text(f"[\n  {lines}\n]\n")

png = saved(Image.new("RGB", (4, 4), (10, 20, 30)), "PNG")
table = pa.table({"image": [png + bytes(300)] * 6, "label": [0, 1, 2, 0, 1, 2]})
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    pq.write_table(table, OUT / f"{codec}.parquet", compression=codec, use_dictionary=codec != "zstd")
pq.write_table(table, OUT / "pages-v2.parquet", compression="zstd", data_page_version="2.0")

array = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6)
for protocol in range(6):
    value = {"data": array, b"labels": [0, 1, 2, -300], "names": ["a", "ü"], "deep": {"x": (True, None, 1.5)}}
    (OUT / f"protocol{protocol}.pickle").write_bytes(pickle.dumps(value, protocol))
