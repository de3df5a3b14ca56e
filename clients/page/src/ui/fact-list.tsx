export type Facts = readonly (readonly [name: string, value: string])[];

/** Names and values; how they look is the class's. */
export function FactList({ facts, class: name }: { facts: Facts; class?: string }) {
  return (
    <dl class={name}>
      {facts.map(([title, value]) => (
        <div key={title}>
          <dt>{title}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
