/** Arguments for Chromium: its own Vulkan on the CPU, so that WebGPU needs no GPU. */
export const softwareGpu: readonly string[] = [
  "--enable-unsafe-webgpu",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--use-webgpu-adapter=swiftshader",
];
