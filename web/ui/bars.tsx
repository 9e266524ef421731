import type { Classified } from "../engine/protocol.ts";
import { texts } from "../texts.ts";

const own = texts.classify;

/** Classes shown with bars, at most. */
const mostBars = 8;

/** What an image was classified as: a bar for each of the likeliest classes, and one for none of them. */
export function Bars(props: Classified & { readonly number: number; readonly names: readonly string[] }) {
  const { names, probabilities, unknown, none, number } = props;
  const ranked = probabilities
    .map((probability, i) => ({ probability, name: names[i]! }))
    .sort((a, b) => b.probability - a.probability);
  const [best] = ranked;
  return (
    <>
      <p role="status" class="result" data-number={number}>
        {unknown ? own.unknown(best!.name) : own.result(best!.name, best!.probability)}
      </p>
      <ul class="bars">
        {ranked.slice(0, mostBars).map(({ name, probability }) => (
          <li key={name}>
            <span>{name}</span>
            <meter min={0} max={1} value={probability} aria-label={name} />
            <span class="number">{Math.round(100 * probability)} %</span>
          </li>
        ))}
        {none !== undefined && (
          <li class="none" data-none={none.toFixed(3)}>
            <span>{own.none}</span>
            <meter min={0} max={1} value={none} aria-label={own.none} />
            <span class="number">{unknown ? own.likely : own.unlikely}</span>
          </li>
        )}
      </ul>
    </>
  );
}
