import { element, fragmentOf } from './markup.ts';
import { hideRefusal, problemOf, showRefusal } from './problem.ts';

interface Refused {
  readonly errors?: readonly { readonly field: string | null; readonly message: string }[];
}

/** Runs the form here: each region's result stands on the page as it comes, drawn by the hub. */
export function checkNow(): void {
  const form = document.querySelector<HTMLFormElement>('#check');
  const button = form?.querySelector('button');
  if (!form || !button) return;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (button.getAttribute('aria-busy') === 'true') return;
    button.setAttribute('aria-busy', 'true');
    void run(form)
      .catch((error: unknown) => {
        say('');
        showRefusal('The hub went away', String(error instanceof Error ? error.message : error));
      })
      .finally(() => button.removeAttribute('aria-busy'));
  });
}

async function run(form: HTMLFormElement): Promise<void> {
  hideRefusal();
  clearErrors(form);
  say('Asking.');
  const fields = [...new FormData(form)].map(([name, value]) => [name, String(value)]);
  const answer = await fetch('/check', {
    method: 'POST',
    headers: { accept: 'text/event-stream' },
    body: new URLSearchParams(fields),
  });
  const type = answer.headers.get('content-type') ?? '';
  if (!answer.ok && /^application\/json/.test(type)) {
    say('');
    return showErrors(form, (await answer.json()) as Refused);
  }
  if (!answer.ok || !answer.body) {
    say('');
    return showRefusal('The hub does not run this', await problemOf(answer));
  }
  for await (const { event, data } of eventsOf(answer.body)) take(event, data);
}

interface Data {
  readonly says?: string;
  readonly region?: string;
  readonly regions?: readonly string[];
  readonly html?: string;
}

function take(event: string, { says, region, regions = [], html }: Data): void {
  const section = document.querySelector<HTMLElement>('#order');
  const list = document.querySelector<HTMLElement>('#order-results');
  if (!section || !list) return;
  if (event === 'ordered') {
    section.hidden = false;
    list.replaceChildren(
      ...regions.map((name) => element('p', { class: 'waits', 'data-region': name }, `${name}: asked`)),
    );
  }
  if (event === 'result' && html) {
    const waits = [...list.children].find(
      (child) => child instanceof HTMLElement && child.dataset.region === region,
    );
    if (waits) waits.replaceWith(fragmentOf(html));
    else list.append(fragmentOf(html));
  }
  if (event === 'done') {
    say('It waits 10 s at most.');
    for (const waits of list.querySelectorAll<HTMLElement>('.waits')) {
      waits.textContent = `${waits.dataset.region}: no answer within 10 s`;
    }
  }
  const sentence = document.querySelector('#order-says');
  if (says && sentence) sentence.textContent = says;
  if (event === 'ordered') say('Asked.');
}

/** Server-sent events of a POST, which EventSource cannot do. */
async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<{ event: string; data: Data }> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    text += value ?? '';
    const parts = text.split('\n\n');
    text = done ? '' : (parts.pop() ?? '');
    for (const part of parts) {
      const event = /^event: (.*)$/m.exec(part)?.[1];
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (event && data) yield { event, data: JSON.parse(data) as Data };
    }
    if (done) return;
  }
}

function say(text: string): void {
  const says = document.querySelector('#check-says');
  if (says) says.textContent = text;
}

function clearErrors(form: HTMLFormElement): void {
  for (const wrong of form.querySelectorAll<HTMLElement>('small.wrong')) {
    wrong.classList.remove('wrong');
    wrong.textContent = wrong.dataset.hint ?? '';
  }
  for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
}

function showErrors(form: HTMLFormElement, { errors = [] }: Refused): void {
  const general: string[] = [];
  let first: HTMLElement | null = null;
  for (const { field, message } of errors) {
    const hint = field && form.querySelector<HTMLElement>(`#${field}-hint`);
    if (!hint) {
      general.push(message);
      continue;
    }
    hint.classList.add('wrong');
    hint.textContent = message;
    const input = form.querySelector<HTMLElement>(`[name="${field}"]`);
    if (field !== 'regions') input?.setAttribute('aria-invalid', 'true');
    first ??= input;
  }
  if (general.length > 0) showRefusal('This is not run', ...general);
  first?.focus();
}
