import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ImageSource } from "../image-source.ts";
import { openCifar } from "./cifar.ts";
import { cifarPickles } from "./cifar-pickles.ts";
import { openCub } from "./cub.ts";
import { openDogs } from "./dogs.ts";
import { openFlowers } from "./flowers.ts";
import { openFood } from "./food.ts";
import { idxFile, openIdx } from "./idx.ts";
import { openImageNet } from "./imagenet.ts";
import { imagenetSubsets } from "./imagenet-subsets.ts";
import { openSpawrious } from "./spawrious.ts";
import { isTinyImageNet, openTinyImageNet } from "./tiny-imagenet.ts";
import { isWaterbirds, openWaterbirds } from "./waterbirds.ts";

/** A known data set: what it is, where it comes from, how its files are laid out, and how they are opened. */
export interface DataSet {
  /** What a person types, as in NAME:PATH. */
  readonly name: string;
  readonly title: string;
  /** Images in training and test, and in validation where that is a third. */
  readonly images: readonly number[] | null;
  readonly classes: number;
  /** Page that describes it and leads to its files. */
  readonly page: string;
  /** License, or what is known of the terms. */
  readonly terms: string;
  /** How the files must be laid out under PATH, one line each. */
  readonly layout: readonly string[];
  /** Each must be there; where several are joined with "|", one of them. */
  readonly required: readonly string[];
  /** Whether a folder holds its files, where `required` cannot say it. */
  readonly isThere?: (root: string) => boolean;
  /** Whether a folder is laid out so that it can be nothing else: then its path is enough. */
  readonly isRecognized?: (root: string) => boolean;
  /** A folder where a system's package puts it. */
  readonly usual?: string;
  open(root: string): Promise<ImageSource>;
}

const imagenetLayout: readonly string[] = [
  "train/<wnid>/*.JPEG                 a folder per class, such as n01440764",
  "val/<wnid>/*.JPEG                   or val/*.JPEG, with one of:",
  "  LOC_val_solution.csv              (Kaggle's labels)",
  "  ILSVRC2012_devkit_t12/data/       (ILSVRC2012_validation_ground_truth.txt",
  "                                    and meta.mat)",
  "Kaggle's own ILSVRC/Data/CLS-LOC/train and val are found too.",
];
const imagenetTerms = "research, by registration";
const imagenetPage = "https://www.image-net.org/download.php";
const imagenetRequired = ["train|ILSVRC/Data/CLS-LOC/train", "val|ILSVRC/Data/CLS-LOC/val"];

const cifarPage = "https://www.cs.toronto.edu/~kriz/cifar.html";
const fashionClasses = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];

function imagenetSubset(
  name: string,
  title: string,
  images: readonly number[] | null,
  own?: { page: string; terms: string },
): DataSet {
  return {
    name,
    title,
    images,
    classes: imagenetSubsets[name].length,
    page: own?.page ?? imagenetPage,
    terms: own?.terms ?? imagenetTerms,
    layout: [
      ...imagenetLayout,
      own ? "Its own folder, with train and val, or that of ImageNet-1K." : "The folder of ImageNet-1K.",
    ],
    required: imagenetRequired,
    open: (root) => openImageNet(root, name, imagenetSubsets[name]),
  };
}

function cifar(name: "cifar-10" | "cifar-100", classes: number, folder: string, files: string[]): DataSet {
  const binary = (root: string) =>
    [root, join(root, folder)].some((base) => files.every((file) => existsSync(join(base, file))));
  return {
    name,
    classes,
    images: [50_000, 10_000],
    title: `CIFAR-${classes}${classes === 100 ? " (fine labels)" : ""}, binary or Python version`,
    page: cifarPage,
    terms: "see its page",
    layout: [
      `${folder}/ or the folder itself, with`,
      ...files.map((file) => `  ${file}`),
      `or cifar-${classes}-${classes === 10 ? "batches-py" : "python"}/ or that folder itself`,
    ],
    required: [],
    isThere: (root) => binary(root) || cifarPickles(root, name) !== undefined,
    isRecognized: (root) => binary(root) || cifarPickles(root, name) !== undefined,
    open: (root) => openCifar(root, name),
  };
}

function idx(
  name: string,
  title: string,
  page: string,
  terms: string,
  classes: readonly string[],
  usual?: string,
): DataSet {
  return {
    name,
    title,
    page,
    terms,
    classes: classes.length,
    images: [60_000, 10_000],
    layout: [
      "train-images-idx3-ubyte.gz          each compressed (.gz) or not",
      "train-labels-idx1-ubyte.gz",
      "t10k-images-idx3-ubyte.gz",
      "t10k-labels-idx1-ubyte.gz",
    ],
    required: [],
    isThere: isIdxFolder,
    ...(usual ? { usual } : {}),
    open: (root) => openIdx(root, name, classes),
  };
}

function spawrious(level: "easy" | "medium" | "hard"): DataSet {
  const name = `spawrious-o2o-${level}`;
  return {
    name,
    title: `Spawrious, one-to-one, ${level} (dogs × backgrounds; groups)`,
    images: [25_344, 25_344],
    classes: 4,
    page: "https://github.com/aengusl/spawrious",
    terms: "see its page",
    layout: [
      "spawrious224/0/<location>/<class>/*   or the folder spawrious224 itself",
      "spawrious224/1/<location>/<class>/*",
      "(beach … snow; bulldog, corgi, dachshund, labrador)",
    ],
    required: ["0|spawrious224/0", "1|spawrious224/1"],
    open: (root) => openSpawrious(root, name),
  };
}

/** The known data sets, in the order in which they are listed. */
export const dataSets: readonly DataSet[] = [
  {
    name: "imagenet",
    title: "ImageNet-1K (ILSVRC 2012)",
    images: [1_281_167, 50_000],
    classes: 1000,
    page: imagenetPage,
    terms: imagenetTerms,
    layout: imagenetLayout,
    required: imagenetRequired,
    // With val in class folders it is an image folder like any other.
    isRecognized: (root) =>
      has("LOC_val_solution.csv")(root) && (has("train", "val")(root) || has("ILSVRC/Data/CLS-LOC")(root)),
    open: (root) => openImageNet(root, "imagenet", null),
  },
  imagenetSubset("imagenet-100", "ImageNet-100, the list of CMC (Tian et al. 2020)", null),
  imagenetSubset("imagenette", "Imagenette", [9469, 3925], {
    page: "https://github.com/fastai/imagenette",
    terms: "images of ImageNet",
  }),
  imagenetSubset("imagewoof", "Imagewoof", [9025, 3929], {
    page: "https://github.com/fastai/imagenette",
    terms: "images of ImageNet",
  }),
  imagenetSubset("imagefruit", "ImageFruit of MTT (Cazenavette et al. 2022)", null),
  imagenetSubset("imagemeow", "ImageMeow (cats) of MTT", null),
  imagenetSubset("imagesquawk", "ImageSquawk (birds) of MTT", null),
  imagenetSubset("imageyellow", "ImageYellow of MTT", null),
  ...["a", "b", "c", "d", "e"].map((letter) =>
    imagenetSubset(
      `glad-${letter}`,
      `ImageNet-${letter.toUpperCase()} of GLaD (Cazenavette et al. 2023)`,
      null,
    ),
  ),
  {
    name: "tiny-imagenet",
    title: "Tiny ImageNet (CS231n)",
    images: [100_000, 10_000],
    classes: 200,
    page: "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    terms: "images of ImageNet",
    layout: ["train/<wnid>/images/*.JPEG", "val/images/*.JPEG  val/val_annotations.txt"],
    required: ["train", "val/images", "val/val_annotations.txt"],
    isRecognized: isTinyImageNet,
    open: (root) => openTinyImageNet(root, "tiny-imagenet"),
  },
  {
    name: "cub-200",
    title: "Caltech-UCSD Birds-200-2011",
    images: [5994, 5794],
    classes: 200,
    page: "https://www.vision.caltech.edu/datasets/cub_200_2011/",
    terms: "see its page",
    layout: [
      "images/<class>/*.jpg                (the folder CUB_200_2011)",
      "images.txt  image_class_labels.txt  train_test_split.txt  classes.txt",
    ],
    required: ["images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt", "images"],
    isRecognized: has("images.txt", "image_class_labels.txt", "train_test_split.txt"),
    open: (root) => openCub(root, "cub-200"),
  },
  {
    name: "stanford-dogs",
    title: "Stanford Dogs",
    images: [12_000, 8580],
    classes: 120,
    page: "http://vision.stanford.edu/aditya86/ImageNetDogs/",
    terms: "images of ImageNet",
    layout: ["Images/<wnid>-<breed>/*.jpg", "lists/train_list.mat  lists/test_list.mat   (of lists.tar)"],
    required: ["Images", "lists/train_list.mat", "lists/test_list.mat"],
    isRecognized: has("lists/train_list.mat", "lists/test_list.mat"),
    open: (root) => openDogs(root, "stanford-dogs"),
  },
  {
    name: "flowers-102",
    title: "Oxford Flowers-102",
    images: [1020, 6149, 1020],
    classes: 102,
    page: "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    terms: "see its page",
    layout: ["jpg/image_00001.jpg …", "imagelabels.mat  setid.mat"],
    required: ["jpg", "imagelabels.mat", "setid.mat"],
    isRecognized: has("imagelabels.mat", "setid.mat"),
    open: (root) => openFlowers(root, "flowers-102"),
  },
  {
    name: "food-101",
    title: "Food-101",
    images: [75_750, 25_250],
    classes: 101,
    page: "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    terms: "see its page",
    layout: ["images/<class>/*.jpg", "meta/train.txt  meta/test.txt       (or .json)"],
    required: ["images", "meta/train.txt|meta/train.json", "meta/test.txt|meta/test.json"],
    isRecognized: (root) =>
      has("images")(root) && (has("meta/train.txt")(root) || has("meta/train.json")(root)),
    open: (root) => openFood(root, "food-101"),
  },
  {
    name: "waterbirds",
    title: "Waterbirds (birds × backgrounds; groups)",
    images: [4795, 5794, 1199],
    classes: 2,
    page: "https://github.com/kohpangwei/group_DRO",
    terms: "images of CUB, Places",
    layout: [
      "metadata.csv        with img_filename, y, split, place",
      "<class>/*.jpg       as metadata.csv names them (waterbird_complete95_…)",
    ],
    required: ["metadata.csv"],
    isRecognized: isWaterbirds,
    open: (root) => openWaterbirds(root, "waterbirds"),
  },
  spawrious("easy"),
  spawrious("medium"),
  spawrious("hard"),
  cifar("cifar-10", 10, "cifar-10-batches-bin", [
    ...[1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
    "batches.meta.txt",
    "test_batch.bin",
  ]),
  cifar("cifar-100", 100, "cifar-100-binary", ["train.bin", "fine_label_names.txt", "test.bin"]),
  idx(
    "mnist",
    "MNIST, handwritten digits",
    "http://yann.lecun.com/exdb/mnist/",
    "see its page",
    Array.from({ length: 10 }, (_, c) => String(c)),
  ),
  idx(
    "fashion-mnist",
    "Fashion-MNIST (Debian: apt install dataset-fashion-mnist)",
    "https://github.com/zalandoresearch/fashion-mnist",
    "MIT",
    fashionClasses,
    "/usr/share/datasets/fashion-mnist",
  ),
];

/** Whether a folder holds the four files of an idx data set, whichever it is. */
export function isIdxFolder(root: string): boolean {
  return (["train", "test"] as const).every(
    (split) => idxFile(root, split, "images") !== undefined && idxFile(root, split, "labels") !== undefined,
  );
}

function has(...paths: string[]): (root: string) => boolean {
  return (root) => paths.every((path) => existsSync(join(root, path)));
}
