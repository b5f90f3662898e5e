import type { Command } from 'commander';

/** One place on the command line and what may come there. */
export interface CommandWords {
  /** 'tokens create'; empty for the start. */
  readonly path: string;
  readonly subcommands: readonly Word[];
  readonly options: readonly (Word & { readonly takesValue: boolean })[];
}

interface Word {
  readonly name: string;
  readonly says: string;
}

/** A command's words and those of all below it, from the tree commander made of it. */
export function wordsOf(command: Command, path: string = command.name()): CommandWords[] {
  const own: CommandWords = {
    path,
    subcommands: command.commands.map((sub) => ({ name: sub.name(), says: sub.description() })),
    options: command.options.flatMap(({ long, description, flags }) =>
      long ? [{ name: long, says: description, takesValue: /^--[a-z-]+[ =]/.test(flags) }] : [],
    ),
  };
  return [own, ...command.commands.flatMap((sub) => wordsOf(sub, `${path} ${sub.name()}`))];
}

/** The same from what a command's --help says: for one that another bundle knows. */
export function wordsFromHelp(name: string, help: string): CommandWords {
  const options = [...help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)( \S+)? {2,}(.*)$/gm)].map(
    ([, long = '', value, says = '']) => ({ name: long, says, takesValue: value !== undefined }),
  );
  return { path: name, subcommands: [], options };
}

/** 'up' and its fellows from the front door's own help: two spaces, a name, what it is. */
export function commandsFromHelp(help: string): Word[] {
  return [...help.matchAll(/^ {2}([a-z-]+) {2,}(\S.*)$/gm)].map(([, name = '', says = '']) => ({
    name,
    says,
  }));
}
