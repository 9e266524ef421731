"""Makes test/fixtures/preprocessing: images made ready by Hugging Face transformers and by timm.

Run: python tools/make_preprocessing_fixtures.py   (needs transformers, timm, torchvision, numpy, pillow==11.3.0)
See make_resize_fixtures.py for why not a newer Pillow.

index.json lists the cases: a preprocessor_config.json (or timm's pretrained_cfg) as text, of a small size, the sizes
of source and result, and which implementation made it. pixels.bin.gz holds, for each case in order, the source
(8-bit RGB, height x width x 3) and the result (float32, 3 x height x width, mean and deviation applied).
"""

import gzip
import json
import pathlib

import numpy as np
import PIL
import timm
import torchvision
import transformers
from PIL import Image
from timm.data import create_transform, resolve_data_config

if tuple(map(int, PIL.__version__.split(".")[:2])) > (12, 2):
    raise SystemExit(f"Pillow {PIL.__version__} orders its passes otherwise; install pillow==11.3.0")
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "preprocessing"
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
OPENAI = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
rng = np.random.default_rng(11)


def picture(width, height):
    """A few waves with noise on them: edges and flat parts, as photographs have them."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / rng.uniform(1, 9) + c) * np.cos(y / rng.uniform(1, 9)) for c in range(3)]
    data = 127 + 90 * np.stack(waves, -1) + rng.normal(0, 25, (height, width, 3))
    return Image.fromarray(data.clip(0, 255).astype(np.uint8))


PROCESSORS = {
    "CLIP": {"crop_size": 32, "do_center_crop": True, "do_normalize": True, "do_resize": True,
             "feature_extractor_type": "CLIPFeatureExtractor", **OPENAI, "resample": 3, "size": 32},
    "Bit": {"crop_size": {"height": 28, "width": 28}, "do_center_crop": True, "do_convert_rgb": True,
            "do_normalize": True, "do_rescale": True, "do_resize": True, "image_processor_type": "BitImageProcessor",
            **IMAGENET, "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 33}},
    "ViT": {"do_normalize": True, "do_rescale": True, "do_resize": True, "image_processor_type": "ViTImageProcessor",
            **HALVES, "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 32, "width": 32}},
    "Siglip": {"do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
               "image_processor_type": "SiglipImageProcessor", **HALVES, "processor_class": "SiglipProcessor",
               "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 32, "width": 32}},
    "DeiT": {"crop_size": 28, "do_center_crop": True, "do_normalize": True, "do_resize": True,
             "feature_extractor_type": "DeiTFeatureExtractor", **IMAGENET, "resample": 3, "size": 32},
    "DINOv3ViT": {"crop_size": None, "do_center_crop": None, "do_normalize": True, "do_rescale": True,
                  "do_resize": True, "image_processor_type": "DINOv3ViTImageProcessorFast", **IMAGENET,
                  "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 32, "width": 32}},
    "ConvNext": {"crop_pct": 0.875, "do_normalize": True, "do_rescale": True, "do_resize": True,
                 "image_processor_type": "ConvNextImageProcessor", **IMAGENET, "resample": 3,
                 "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 28}},
}
FACTOR = {"do_rescale": True, "rescale_factor": 0.00392156862745098}
# Of every other class that is read: as its repositories write it, in a small size, or silent where the default matters.
OTHERS = {
    "Beit": {"image_processor_type": "BeitImageProcessor", "crop_size": {"height": 24, "width": 24}, **FACTOR, **HALVES,
             "do_center_crop": False, "do_normalize": True, "do_resize": True, "do_reduce_labels": False,
             "resample": 2, "size": {"height": 28, "width": 30}},
    "Blip": {"image_processor_type": "BlipImageProcessor", "do_pad": False, "size": {"height": 28, "width": 28}},
    "Chameleon": {"image_processor_type": "ChameleonImageProcessor", "size": {"shortest_edge": 30}, "crop_size": 28},
    "ChineseCLIP": {"feature_extractor_type": "ChineseCLIPFeatureExtractor", "size": {"height": 28, "width": 28},
                    "crop_size": 26},
    "DPT": {"image_processor_type": "DPTImageProcessor", "keep_aspect_ratio": False, "ensure_multiple_of": 1,
            "do_pad": False, "size": {"height": 28, "width": 28}},
    "EfficientNet": {"image_processor_type": "EfficientNetImageProcessor", **IMAGENET, **FACTOR, "resample": 5,
                     "rescale_offset": False, "include_top": True, "size": {"height": 28, "width": 28}},
    "EfficientNet-offset": {"image_processor_type": "EfficientNetImageProcessor", "do_rescale": True,
                            "rescale_factor": 0.00784313725490196, "rescale_offset": True, "include_top": False,
                            "do_normalize": False, "do_center_crop": True, "crop_size": {"height": 25, "width": 25},
                            "size": {"height": 28, "width": 28}, "resample": 4},
    "Flava": {"feature_extractor_type": "FlavaFeatureExtractor", "size": {"height": 28, "width": 28}, "crop_size": 28},
    "Gemma3": {"image_processor_type": "Gemma3ImageProcessorFast", "size": {"height": 28, "width": 28}},
    "LayoutLMv2": {"image_processor_type": "LayoutLMv2ImageProcessor", "apply_ocr": False,
                   "size": {"height": 28, "width": 28}},
    "LayoutLMv3": {"image_processor_type": "LayoutLMv3ImageProcessor", "apply_ocr": False,
                   "size": {"height": 28, "width": 28}},
    "Levit": {"feature_extractor_type": "LevitFeatureExtractor", "size": 28, "crop_size": 28},
    "Levit-exact": {"feature_extractor_type": "LevitFeatureExtractor", "size": {"height": 30, "width": 32},
                    "crop_size": {"height": 28, "width": 28}},
    "Llava": {"image_processor_type": "LlavaImageProcessor", "size": {"shortest_edge": 28}, "crop_size": 28},
    "MobileNetV1": {"image_processor_type": "MobileNetV1ImageProcessor", "size": {"shortest_edge": 30},
                    "crop_size": {"height": 28, "width": 28}},
    "MobileNetV2": {"feature_extractor_type": "MobileNetV2FeatureExtractor", "size": 32, "crop_size": 28},
    "MobileViT": {"feature_extractor_type": "MobileViTFeatureExtractor", "do_flip_channel_order": True, "resample": 2,
                  "size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28}},
    "MobileViT-normalize": {"image_processor_type": "MobileViTImageProcessorFast", "do_normalize": True, **IMAGENET,
                            "do_flip_channel_order": False, "size": {"shortest_edge": 28}, "crop_size": 34},
    "OwlViT": {"image_processor_type": "OwlViTImageProcessor", "size": 28},
    "PoolFormer": {"image_processor_type": "PoolFormerImageProcessor", "crop_pct": 0.95, "size": {"shortest_edge": 28},
                   "crop_size": {"height": 28, "width": 28}},
    "PoolFormer-square": {"feature_extractor_type": "PoolFormerFeatureExtractor", "size": {"height": 28, "width": 28},
                          "crop_size": 28},
    "Pvt": {"image_processor_type": "PvtImageProcessor", "size": {"height": 28, "width": 28}},
    "Segformer": {"image_processor_type": "SegformerImageProcessor", "reduce_labels": False,
                  "size": {"height": 28, "width": 28}},
    "SegGpt": {"image_processor_type": "SegGptImageProcessor", "size": {"height": 28, "width": 28}},
    "Tipsv2": {"image_processor_type": "Tipsv2ImageProcessor", "size": {"height": 28, "width": 28}},
}
TIMM = {
    "center": {"input_size": [3, 28, 28], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
               "mean": OPENAI["image_mean"], "std": OPENAI["image_std"]},
    "squash": {"input_size": [3, 32, 32], "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "squash",
               "mean": HALVES["image_mean"], "std": HALVES["image_std"]},
    "hamming": {"input_size": [3, 28, 28], "interpolation": "hamming", "crop_pct": 0.875, "crop_mode": "squash",
                "mean": HALVES["image_mean"], "std": HALVES["image_std"]},
}
SIZES = [(61, 47), (45, 80), (32, 32), (20, 25)]

cases, blobs = [], []


def add(kind, name, madeBy, config, source, result):
    result = np.asarray(result, dtype=np.float32)
    cases.append({
        "kind": kind, "name": name, "madeBy": madeBy, "config": json.dumps(config, indent=2),
        "source": source.size, "crop": list(result.shape[1:]),
    })
    blobs.append(np.asarray(source).tobytes())
    blobs.append(result.tobytes())


for name, config in PROCESSORS.items():
    for ending in ["ImageProcessor", "ImageProcessorPil"]:
        kind = getattr(transformers, name + ending, None)
        if kind is None:
            print("no", name + ending)
            continue
        processor = kind.from_dict({k: v for k, v in config.items() if not k.endswith("_type")})
        for size in SIZES:
            # torch's kernel for 8-bit tensors is up to two levels off Pillow's where it enlarges.
            if ending == "ImageProcessor" and min(size) < 28:
                continue
            source = picture(*size)
            made = processor(source, return_tensors="np")["pixel_values"][0]
            add("transformers", name, name + ending, config, source, made)
for name, config in OTHERS.items():
    for ending in ["ImageProcessor", "ImageProcessorPil"]:
        kind = getattr(transformers, name.split("-")[0] + ending, None)
        # Filters that torchvision does not have.
        if kind is None or (ending == "ImageProcessor" and config.get("resample") in (4, 5)):
            print("no", name + ending)
            continue
        processor = kind.from_dict({k: v for k, v in config.items() if not k.endswith("_type")})
        # The pads around a crop that is larger than the image are one pixel apart in the two where they are odd.
        for size in [(61, 47)] if ending == "ImageProcessor" else [(45, 80)]:
            source = picture(*size)
            made = processor(source, return_tensors="np")["pixel_values"][0]
            add("transformers", name, name.split("-")[0] + ending, config, source, made)
for name, config in TIMM.items():
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    for size in SIZES:
        source = picture(*size)
        add("timm", name, "timm.data.create_transform", config, source, transform(source).numpy())

OUT.mkdir(parents=True, exist_ok=True)
made_by = (
    f"transformers {transformers.__version__}, timm {timm.__version__}, torchvision {torchvision.__version__}, "
    f"Pillow {PIL.__version__}"
)
lines = ",\n    ".join(json.dumps(case) for case in cases)
(OUT / "index.json").write_text(f'{{\n  "madeBy": {json.dumps(made_by)},\n  "cases": [\n    {lines}\n  ]\n}}\n')
(OUT / "pixels.bin.gz").write_bytes(gzip.compress(b"".join(blobs), mtime=0))
print(len(cases), "cases")
