import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';

export const root = join(import.meta.dirname, '../..');

export interface SourceFile {
  /** Relative to the top, with '/'. */
  readonly path: string;
  /** Without comments. */
  readonly text: string;
  /** Relative paths for our own files, names for packages: 'pg', 'node:fs/promises'. Types count. */
  readonly imports: readonly string[];
}

const specifier = /(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g;

/** Every source file below the named folders, with what it imports. */
export async function readSources(...folders: readonly string[]): Promise<readonly SourceFile[]> {
  const sources: SourceFile[] = [];
  for (const folder of folders) {
    const names = await readdir(join(root, folder), { recursive: true });
    for (const name of names.filter((each) => /\.tsx?$/.test(each)).sort()) {
      const path = join(folder, name).replaceAll('\\', '/');
      sources.push(sourceFile(path, await readFile(join(root, path), 'utf8')));
    }
  }
  return sources;
}

export function sourceFile(path: string, content: string): SourceFile {
  const text = content.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[\s;])\/\/.*$/gm, '$1');
  const imports = [...text.matchAll(specifier)].map(([, , name = '']) =>
    name.startsWith('.') ? relative(root, resolve(root, dirname(path), name)).replaceAll('\\', '/') : name,
  );
  return { path, text, imports: [...new Set(imports)] };
}

/** Circles of imports, each as the files on the way round. */
export function importCircles(sources: readonly SourceFile[]): readonly string[][] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const done = new Set<string>();
  const circles: string[][] = [];
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) {
      circles.push([...way.slice(way.indexOf(path)), path]);
      return;
    }
    if (done.has(path)) return;
    for (const next of byPath.get(path)?.imports ?? []) if (byPath.has(next)) visit(next, [...way, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return circles;
}
