import type { CommandWords } from './command-words.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A script for the shell that completes commands, subcommands and flags; after a flag with a value, files. */
export function completionScript(shell: Shell, words: readonly CommandWords[]): string {
  if (shell === 'fish') return fishScript(words);
  return shell === 'bash' ? bashScript(words) : zshScript(words);
}

function bashScript(words: readonly CommandWords[]): string {
  return `# parallax completion bash: source it, or keep it as /etc/bash_completion.d/parallax
_parallax() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case " \${at:+$at }$word " in
${words
  .filter(({ path }) => path !== '')
  .map(({ path }) => `      " ${path} ") at="${path}" ;;`)
  .join('\n')}
    esac
  done
  case "$at:$prev" in
${valueFlags(words)
  .map(
    ([path, flags]) =>
      `    ${flags.map((flag) => `"${path}:${flag}"`).join('|')}) COMPREPLY=($(compgen -f -- "$cur")); return ;;`,
  )
  .join('\n')}
  esac
  case "$at" in
${words.map((each) => `    "${each.path}") COMPREPLY=($(compgen -W "${wordsAt(each).join(' ')}" -- "$cur")) ;;`).join('\n')}
  esac
}
complete -o default -F _parallax parallax
`;
}

/** `path` is zsh's own name for $PATH as a list. */
function zshScript(words: readonly CommandWords[]): string {
  const described = ({ subcommands, options }: CommandWords) =>
    [...subcommands, ...options]
      .map(({ name, says }) => quoted(`${name.replaceAll(':', '\\:')}:${says}`))
      .join(' ');
  return `#compdef parallax
# parallax completion zsh: keep it as _parallax in a folder of $fpath
_parallax() {
  local at="" word i
  for ((i = 2; i < CURRENT; i++)); do
    word=$words[i]
    case " \${at:+$at }$word " in
${words
  .filter(({ path }) => path !== '')
  .map(({ path }) => `      " ${path} ") at="${path}" ;;`)
  .join('\n')}
    esac
  done
  case "$at:$words[CURRENT-1]" in
${valueFlags(words)
  .map(([path, flags]) => `    ${flags.map((flag) => `"${path}:${flag}"`).join('|')}) _files; return ;;`)
  .join('\n')}
  esac
  local -a known
  case "$at" in
${words.map((each) => `    "${each.path}") known=(${described(each)}) ;;`).join('\n')}
  esac
  _describe -t commands parallax known || _files
}
compdef _parallax parallax
`;
}

function fishScript(words: readonly CommandWords[]): string {
  const lines = words.flatMap(({ path, subcommands, options }) => {
    const on =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join('; and ');
    const alone = subcommands.map(({ name }) => name).join(' ');
    const free = path !== '' && alone ? `; and not __fish_seen_subcommand_from ${alone}` : '';
    return [
      ...subcommands.map(
        ({ name, says }) =>
          `complete -c parallax -n ${quoted(`${on}${free}`)} -f -a ${quoted(name)} -d ${quoted(says)}`,
      ),
      ...options.map(
        ({ name, says, takesValue }) =>
          `complete -c parallax -n ${quoted(on)} -l ${name.slice(2)} ${takesValue ? '-r ' : ''}-d ${quoted(says)}`,
      ),
    ];
  });
  return `# parallax completion fish: keep it as ~/.config/fish/completions/parallax.fish\n${lines.join('\n')}\n`;
}

function wordsAt({ subcommands, options }: CommandWords): string[] {
  return [...subcommands, ...options].map(({ name }) => name);
}

function valueFlags(words: readonly CommandWords[]): [path: string, flags: string[]][] {
  return words
    .map(({ path, options }): [string, string[]] => [
      path,
      options.filter(({ takesValue }) => takesValue).map(({ name }) => name),
    ])
    .filter(([, flags]) => flags.length > 0);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
