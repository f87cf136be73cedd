import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { TenonError } from '../../base/errors.ts'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))

/** Freestanding, at a fixed address. Without tree-loop-distribute-patterns, which would make calls of memset and memcpy of our loops. */
const OPTIONS = [
  '-O2', '-static', '-nostdlib', '-ffreestanding', '-fno-pie', '-no-pie', '-fno-stack-protector', '-fno-tree-loop-distribute-patterns',
  '-Wall', '-Wextra', '-Werror', '-Wl,--build-id=none',
]

/** The compiler's name and version; undefined if gcc is not installed, or makes no programs for Linux on x86-64. */
export async function loopCompiler(compiler = 'gcc'): Promise<string | undefined> {
  const machine = await output(compiler, ['-dumpmachine'])
  if (machine === undefined || !/^x86_64-.*linux/.test(machine)) return undefined
  return `gcc ${(await output(compiler, ['-dumpfullversion']))?.trim()}`
}

/** Compiles the loops to the file `program`. Throws TenonError BENCH_COMPILER_FAILED. */
export async function compileLoops(program: string, compiler = 'gcc'): Promise<void> {
  const sources = (await readdir(FOLDER)).filter(name => name.endsWith('.c')).toSorted().map(name => join(FOLDER, name))
  try {
    await promisify(execFile)(compiler, [...OPTIONS, '-o', program, ...sources])
  } catch (cause) {
    throw new TenonError('BENCH_COMPILER_FAILED', `${compiler} does not compile the loops: ${(cause as Error).message}`, { cause })
  }
}

async function output(program: string, args: readonly string[]): Promise<string | undefined> {
  return (await promisify(execFile)(program, args).catch(() => undefined))?.stdout
}
