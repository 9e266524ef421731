/** Every text of the page. */

const percent = (share: number): string => `${Math.round(100 * share)} %`;
const many = (count: number, what: string): string =>
  `${count.toLocaleString("en-US")} ${what}${count === 1 ? "" : what.endsWith("s") ? "es" : "s"}`;

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** Bytes of a file that have come. */
export interface Progress {
  readonly loaded: number;
  readonly total: number;
}

const loadingPart = (what: string, progress: Progress | undefined): string =>
  progress === undefined || progress.total === 0
    ? ""
    : `Loading the ${what}: ${(progress.loaded / 1e6).toFixed(1)} of ${(progress.total / 1e6).toFixed(1)} MB`;

export const texts = {
  title: "Dataset distillation",
  lead: "Turn many labeled photos into a few synthetic ones that teach a classifier almost as well. Everything happens on this device: no photo leaves it.",
  projectName: "Project name",
  untitled: "Untitled project",
  projects: "Project",
  newProject: "New project",
  leftOut: (count: number) =>
    `${many(count, "image")} of this project ${count === 1 ? "is" : "are"} not shown: the features kept of ${count === 1 ? "it" : "them"} are of another encoder.`,
  exportProject: "Save project to a file",
  deleteProject: "Delete project",
  deleteConfirm: "Delete all classes, images and results of this project? This cannot be undone.",
  loading: {
    runtime: "Starting the runtime …",
    parts: (runtime: Progress | undefined, encoder: Progress | undefined) =>
      [loadingPart("runtime", runtime), loadingPart("encoder", encoder)].filter(Boolean).join(", "),
    ready: (threads: number) => `Ready: ${many(threads, "thread")}.`,
    failed: (reason: string) => `The page could not start: ${reason}`,
    insecure: (origin: string) =>
      `${origin} is not a secure address, and browsers let only secure pages compute and keep files. Open this page by https, or on the computer that serves it as http://localhost.`,
  },
  notKept: "This browser gives no place to keep the project: it is gone when the tab closes.",
  gather: {
    title: "1. Gather images",
    hint: "Drop a folder with one sub-folder per class anywhere on this page, or fill classes one by one. Two classes are enough to begin with.",
    openFolder: "Open a folder of classes",
    addClass: "Add a class",
    ready: "Try a ready set: emoji in six classes",
    className: "Name of the class",
    newClass: (number: number) => `Class ${number}`,
    upload: "Add images",
    uploadTo: (name: string) => `Add images to ${name}`,
    camera: "Camera",
    cameraTo: (name: string) => `Camera for ${name}`,
    removeClass: (name: string) => `Remove the class ${name}`,
    removeClassConfirm: (name: string, count: number) => `Remove “${name}” with ${many(count, "image")}?`,
    removeImage: (name: string) => `Remove ${name}`,
    count: (count: number) => (count === 0 ? "no images yet" : many(count, "image")),
    dropHere: (name: string) => `Drop images for ${name} here`,
    showAll: (count: number) => `Show all ${count}`,
    pasted: "Pasted images go to the class that was used last.",
    reading: (left: number) => `Reading images: ${left} left`,
    read: (count: number) => `${many(count, "image")} in the project.`,
    unreadable: (count: number) => `${many(count, "file")} could not be read`,
    unreadableHint:
      "Browsers read JPEG, PNG, WebP, GIF and AVIF. HEIC photos of iPhones are read by Safari only: elsewhere, convert them to JPEG first.",
    dismiss: "Dismiss",
  },
  camera: {
    title: (name: string) => `Camera: ${name}`,
    choose: "Camera",
    hold: "Hold to record",
    holdHint: "Or hold the space bar. Five pictures per second.",
    close: "Close",
    denied: (reason: string) =>
      `The camera cannot be used: ${reason}. Allow it in the browser's settings for this page, or add image files.`,
    none: "this page is not open by https, or the browser has no access to cameras",
    taken: (count: number) => many(count, "picture"),
    unnamed: (number: number) => `Camera ${number}`,
  },
  answer: {
    title: "2. See the answer",
    waiting: "As soon as two classes have images, a classifier is solved in closed form after every image.",
    accuracy: (share: number, images: number) =>
      `${percent(share)} of ${many(images, "image")} are classified correctly by a classifier that has not seen them.`,
    confusion: "Which class is taken for which",
    confusionHint:
      "Rows: the class you gave. Columns: the class predicted. Choose a number to see the images.",
    cell: (count: number, label: string, predicted: string) =>
      `${many(count, "image")} of ${label} classified as ${predicted}`,
    suspects: "Check these labels",
    suspectsHint: "Images whose class the others contradict, the surest first.",
    suspect: (label: string, suggested: string, probability: number) =>
      `In ${label}; looks like ${suggested} (${percent(probability)})`,
    move: (suggested: string) => `Move to ${suggested}`,
    keep: "Keep",
    close: "Close",
  },
  classify: {
    title: "Try a photo",
    choose: "Choose a photo",
    live: "Use the camera",
    stopLive: "Stop the camera",
    hint: "Drop a photo here, or use the camera.",
    none: "none of these",
    likely: "maybe",
    unlikely: "unlikely",
    result: (name: string, probability: number) => `${name}, ${percent(probability)}`,
    unknown: (name: string) => `Possibly none of these; closest: ${name}`,
    withImages: "Classified with all images",
    withSet: "Classified with the distilled images",
    by: "Classify with",
    byImages: "all images",
    bySet: "the distilled images",
  },
  distill: {
    title: "3. Distill",
    hint: "A few synthetic images are painted, step by step, so that a classifier trained on them alone classifies your images as well as possible.",
    perClass: "Images per class",
    time: "Time",
    minutes: (minutes: number) => `about ${many(minutes, "minute")}`,
    advanced: "More settings",
    steps: "Steps (instead of a time)",
    mirror: "Mirrored images mean the same (not so for letters, digits or maps)",
    mirrorChoice: (mirror: boolean | undefined) =>
      mirror === undefined ? "find out from the images" : mirror ? "yes" : "no",
    device: "Compute with",
    devices: {
      auto: "WebGPU if it is right and quicker",
      wasm: "WebAssembly",
      webgpu: "WebGPU if it is right",
    },
    start: "Distill",
    pause: "Pause",
    resume: "Resume",
    stop: "Stop and use the result",
    waiting: "Two classes with images are needed.",
    phase: {
      starting: "Preparing …",
      running: "Distilling",
      paused: "Paused",
      finishing: "Measuring and packing the result …",
      done: "Done",
    },
    step: (step: number, steps: number, left: number) =>
      `Step ${step} of ${steps}${step > 0 && left > 0 ? `, about ${duration(left)} left` : ""}`,
    loss: (value: number) => `Loss ${value.toFixed(3)}`,
    heldOut: (share: number, images: number) =>
      `${percent(share)} of ${many(images, "held-out image")} correct`,
    noHeldOut: "With five images in every class, a fifth of them is held out to measure the result.",
    curve: "Loss over the steps",
    image: (name: string, number: number) => `Synthetic image ${number} of ${name}`,
  },
  set: {
    title: "4. Take it away",
    result: (images: number, classes: number) =>
      `${many(images, "synthetic image")} of ${many(classes, "class")}`,
    top1: (share: number, images: number) =>
      `A classifier trained on them alone classifies ${percent(share)} of ${many(images, "held-out image")} correctly.`,
    zip: "Download the set (zip)",
    pngs: "Download the pictures (zip of PNGs)",
    classifier: "Download the classifier (zip of ONNX)",
    classifierHint:
      "The classifier is one ONNX file from pictures to classes, with a README that shows it in JavaScript and Python.",
    use: "The zip is the folder that the command line writes: unpack it, then",
    discard: "Remove the result",
    refusal: (reason: string) =>
      `This set was made with another encoder, so that photos cannot be classified with it here (${reason}).`,
    open: "Open a set or project (zip)",
    openHint:
      "Sets that clp-dd wrote, here or on the command line, can be opened to look at them and to classify with them.",
  },
  encoder: {
    title: "Encoder",
    about: (id: string, size: number, features: number, license: string | undefined) =>
      `${id}: ${features} features of ${size} × ${size} px images${license ? `, ${license}` : ""}. Drop an .onnx file on the page to use another one.`,
    confirm: (name: string) =>
      `Start a new project with ${name} as its encoder? This project stays as it is: its features are of another encoder.`,
  },
  hub: {
    open: "Use an encoder of the Hugging Face hub",
    openHint: "(opens a page that may connect to huggingface.co; this one connects to nobody)",
    name: "Name on the hub",
    fetch: "Fetch and start a new project",
    fetching: "Fetching …",
    hint: "owner/name, or a short name that clp-dd encoders lists. This page may connect to huggingface.co: it fetches models from there and sends no image.",
    leave: "Back to the page that connects to nobody",
  },
  failed: (message: string) => `Something went wrong: ${message}`,
  crashed:
    "The part that computes has crashed, perhaps for lack of memory. Reload the page: what was kept is taken up again.",
  reload: "Reload",
};
