import { element } from './markup.ts';

/** What an answer that is not ok says of itself, for the person who can act. */
export async function problemOf(answer: Response): Promise<string> {
  try {
    const { detail, title } = (await answer.json()) as { detail?: unknown; title?: unknown };
    return String(detail ?? title ?? `the hub answered ${answer.status}`);
  } catch {
    return `the hub answered ${answer.status}`;
  }
}

export function showRefusal(title: string, ...lines: readonly string[]): void {
  const note = document.querySelector<HTMLElement>('#refused');
  if (!note) return;
  note.replaceChildren(element('b', {}, title), ...lines.map((line) => element('span', {}, line)));
  note.hidden = false;
}

export function hideRefusal(): void {
  const note = document.querySelector<HTMLElement>('#refused');
  if (note) note.hidden = true;
}
