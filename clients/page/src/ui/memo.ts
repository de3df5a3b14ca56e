import { Component, type ComponentType, type FunctionComponent, h } from "preact";

/** Draw a component again only when one of its properties has changed. (`preact/compat` would be 4 kB for this.) */
export function memo<P extends object>(draw: FunctionComponent<P>): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const now = this.props as Record<string, unknown>;
      const names = Object.keys(next);
      return names.length !== Object.keys(now).length || names.some((name) => now[name] !== (next as Record<string, unknown>)[name]);
    }

    override render() {
      return h(draw, this.props as P);
    }
  };
}
