/** Families that are built from safetensors, by names of bench/peers/full_size.py. */
export const fullSizeFamilies: readonly string[] = [
  ...["clip-vit-b-16", "clip-vit-b-32", "dinov2-base", "dinov2-small", "dinov3-vits16", "dinov3-vitb16"],
  ...["eva02-base", "eva02-small", "mocov3-vit-b", "mae-vit-b", "siglip2-base", "deit-small"],
];
