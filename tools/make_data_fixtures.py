"""Small data set files written by the libraries that the real ones are written by: scipy (.mat), pyarrow
(parquet), tarfile. Needs scipy, pyarrow and Pillow; run from the repository's root. Every image is of one colour,
(50 · label, 100, 200)."""

import io
import json
import pathlib
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat

out = pathlib.Path("test/fixtures/data-sets")
out.mkdir(parents=True, exist_ok=True)


def png(label):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (50 * label, 100, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def cells(texts):
    array = np.empty((len(texts), 1), dtype=object)
    array[:, 0] = texts
    return array


# Flowers-102: seven images; labels as 1 × n bytes, split as 1 × n 16-bit numbers.
labels = np.array([[1, 2, 102, 1, 2, 77, 102]], dtype=np.uint8)
savemat(out / "imagelabels.mat", {"labels": labels}, do_compression=True)
sets = {"trnid": [[2, 1, 3]], "valid": [[4]], "tstid": [[7, 5, 6]]}
savemat(out / "setid.mat", {k: np.array(v, dtype=np.uint16) for k, v in sets.items()}, do_compression=True)

# Stanford Dogs: columns of cells and of doubles.
files = ["n02085620-Chihuahua/n02085620_1.jpg", "n02085782-Japanese_spaniel/n02085782_2.jpg"]
for split, names in (("train", files), ("test", [f.replace("_1.", "_8.").replace("_2.", "_9.") for f in files])):
    lists = {
        "file_list": cells(names),
        "annotation_list": cells([name[:-4] for name in names]),
        "labels": np.array([[1.0], [2.0]]),
    }
    savemat(out / f"{split}_list.mat", lists, do_compression=split == "train")

# ImageNet's devkit: a struct array; its numbers are not the ids' order.
kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
synsets = np.empty((3, 1), dtype=kind)
for row, (number, wnid, words) in enumerate(
    [(1, "n02119789", "kit fox"), (2, "n02100735", "English setter"), (3, "n01440764", "tench, Tinca tinca")]
):
    synsets[row, 0] = (np.array([[number]], dtype=np.uint8), wnid, words, np.array([[0]], dtype=np.uint8))
savemat(out / "meta.mat", {"synsets": synsets}, do_compression=True)

# All kinds of numbers, uncompressed.
kinds = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double"]
savemat(out / "numbers.mat", {k: np.array([[1, 2], [3, 100]], dtype=k) for k in kinds})


# Parquet as `datasets` writes it: {bytes, path} and a class label, row groups of three.
def table(labels):
    image = pa.array([{"bytes": png(c), "path": f"{i}.png"} for i, c in enumerate(labels)],
                     pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    return pa.table({"image": image, "label": pa.array(labels, pa.int64())})


features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["red", "green", "blue"]}}
note = {"huggingface": json.dumps({"info": {"features": features}})}
for name, content in (("train-00000-of-00002", [0, 1, 2, 2, 1, 0, 1]), ("train-00001-of-00002", [2, 0]),
                      ("validation-00000-of-00001", [1, 2, 0]), ("test-00000-of-00001", [-1, -1])):
    pq.write_table(table(content).replace_schema_metadata(note), out / f"{name}.parquet", row_group_size=3)
# Without that note; bare bytes and texts for labels, compressed otherwise.
plain = pa.table({"img": pa.array([png(1), png(0)]), "class": pa.array(["b", "a"])})
pq.write_table(plain, out / "plain.parquet", compression="gzip")


# WebDataset shards, in the two forms that tar has for long names.
def shard(name, form, samples):
    with tarfile.open(out / name, "w", format=form) as tar:
        for path, data in samples:
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


far = "folder/" * 20
shard("set-train-000.tar", tarfile.PAX_FORMAT, [
    ("a/0001.png", png(1)), ("a/0001.cls", b"1"), ("a/0001.json", b"{}"),
    ("a/0002.cls", b"0\n"), ("a/0002.png", png(0)), (f"{far}ü.png", png(2)), (f"{far}ü.cls", b"2"),
])
shard("set-train-001.tar", tarfile.GNU_FORMAT, [(f"{far}3.png", png(2)), (f"{far}3.cls", b"2")])
shard("set-test-000.tar", tarfile.USTAR_FORMAT, [("9.png", png(1)), ("9.cls", b"1")])
