/** The hub's own renderer escaped all of it; the policy's name is the only one that the pages allow. */
interface Policy {
  createHTML(text: string): string;
}
interface TrustedTypes {
  createPolicy(name: string, rules: Policy): Policy;
}

const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
const policy = trustedTypes?.createPolicy('parallax', { createHTML: (text) => text });

/** What the hub drew. */
export function fragmentOf(html: string): DocumentFragment {
  const template = document.createElement('template');
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content;
}

/** Puts what the hub drew in the place of an element, unless it is the same already. */
export function replaceWith(element: Element | null | undefined, html: string): void {
  const fresh = fragmentOf(html).firstElementChild;
  if (element && fresh && !element.isEqualNode(fresh)) element.replaceWith(fresh);
}

/** A whole page, to take parts from; its scripts do not run. */
export function documentOf(html: string): Document {
  return new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, 'text/html');
}

/** `<b>text</b>` without markup. */
export function element(
  tag: string,
  properties: Readonly<Record<string, string>>,
  ...children: readonly (Node | string)[]
): HTMLElement {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const svgSpace = 'http://www.w3.org/2000/svg';

export function pair(state: string): SVGElement {
  const svg = document.createElementNS(svgSpace, 'svg');
  svg.setAttribute('class', `pair ${state}`);
  svg.setAttribute('viewBox', '0 0 12 16');
  svg.setAttribute('aria-hidden', 'true');
  const axis = document.createElementNS(svgSpace, 'path');
  axis.setAttribute('class', 'axis');
  axis.setAttribute('d', 'M0 8h12');
  const marks = document.createElementNS(svgSpace, 'use');
  marks.setAttribute('href', `#p-${state}`);
  svg.append(axis, marks);
  return svg;
}
