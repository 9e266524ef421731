import { useEffect, useRef } from "preact/hooks";

/** An image of pixels, RGBA, size × size. */
export function Pixels(props: {
  readonly rgba: Uint8ClampedArray<ArrayBuffer>;
  readonly size: number;
  readonly label: string;
}) {
  const { rgba, size, label } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    canvas.current?.getContext("2d")?.putImageData(new ImageData(rgba, size, size), 0, 0);
  }, [rgba, size]);
  return <canvas ref={canvas} width={size} height={size} role="img" aria-label={label} />;
}

/** Images with the names of their classes under them. */
export function Grid(props: {
  readonly images: readonly Uint8ClampedArray<ArrayBuffer>[];
  readonly size: number;
  readonly captions: readonly string[];
  readonly labelOf: (i: number) => string;
}) {
  const { images, size, captions, labelOf } = props;
  return (
    <ul class="synthetic">
      {images.map((rgba, i) => (
        <li key={i}>
          <Pixels rgba={rgba} size={size} label={labelOf(i)} />
          <span aria-hidden="true">{captions[i]}</span>
        </li>
      ))}
    </ul>
  );
}
