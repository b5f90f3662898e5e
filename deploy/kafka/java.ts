import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const pom = join(import.meta.dirname, 'pom.xml');
const leastJava = 17;

export interface KafkaJars {
  readonly java: string;
  readonly classPath: string;
  /** Where they come from, for people. */
  readonly from: string;
}

/** Java and Kafka's jars: KAFKA_HOME's, else Maven Central's, kept in a cache that all checkouts share. */
export async function findKafka(
  env: NodeJS.ProcessEnv,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<KafkaJars> {
  const java = await findJava(env, signal);
  if (env.KAFKA_HOME) {
    const libs = join(env.KAFKA_HOME, 'libs');
    const files = await readdir(libs).catch(() => []);
    if (!files.some((file) => file.startsWith('kafka-server'))) {
      throw new Error(`KAFKA_HOME=${env.KAFKA_HOME} is no Apache Kafka 4: ${libs} has no kafka-server jar`);
    }
    return { java, classPath: join(libs, '*'), from: env.KAFKA_HOME };
  }
  const jars = await resolveJars(env, log, signal);
  return { java, classPath: join(jars, '*'), from: jars };
}

async function findJava(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  const java = env.JAVA_HOME ? join(env.JAVA_HOME, 'bin', 'java') : 'java';
  const said = await run(java, ['-version'], { signal, timeout: 30_000 }).catch((error: unknown) => {
    const why = env.JAVA_HOME ? `JAVA_HOME has none that runs (${java})` : 'there is none on the PATH';
    throw new Error(`Kafka needs Java ${leastJava} or newer, and ${why}: install a JRE, or set JAVA_HOME`, {
      cause: error,
    });
  });
  const major = Number(/version "(?:1\.)?(\d+)/.exec(said.stderr)?.[1]);
  if (major < leastJava) {
    throw new Error(
      `Kafka needs Java ${leastJava} or newer, ${java} is ${major}: set JAVA_HOME to a newer one`,
    );
  }
  return java;
}

async function resolveJars(
  env: NodeJS.ProcessEnv,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const version = /<artifactId>kafka_2\.13<\/artifactId>\s*<version>([^<]+)</.exec(
    await readFile(pom, 'utf8'),
  )?.[1];
  const cache = join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'parallax');
  const target = join(cache, `kafka-${version}`);
  const present = await readdir(target).catch(() => []);
  if (present.length > 0) return target;
  log(`fetching Apache Kafka ${version} (43 MB) from Maven Central into ${target}`);
  await mkdir(dirname(target), { recursive: true });
  const draft = await mkdtemp(`${target}.`);
  try {
    await copyDependencies(draft, signal);
    // Another start may have been faster: its jars are as good.
    await rename(draft, target).catch(() => rm(draft, { recursive: true }));
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
  return target;
}

async function copyDependencies(target: string, signal: AbortSignal): Promise<void> {
  const args = ['-q', '-B', '-ntp', '-Dstyle.color=never', '-f', pom, 'dependency:copy-dependencies'];
  args.push(`-DoutputDirectory=${target}`, '-DincludeScope=runtime');
  try {
    await run('mvn', args, { signal, timeout: 600_000, maxBuffer: 16 * 1024 * 1024 });
  } catch (error) {
    const { code, stdout = '', message } = error as Error & { code?: unknown; stdout?: string };
    if (code === 'ENOENT') {
      throw new Error(
        "Kafka's jars are fetched by Maven, and there is no mvn on the PATH: install it, or set KAFKA_HOME to an unpacked Apache Kafka 4",
        { cause: error },
      );
    }
    const said = /\[ERROR\] (.+)/.exec(stdout)?.[1] ?? message.split('\n')[0];
    throw new Error(`Maven could not fetch Kafka's jars: ${said}`, { cause: error });
  }
}
