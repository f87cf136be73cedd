/**
 * Runs other programs, and finds npm and the development tools by their JavaScript files: no shell is involved, so that the scripts
 * behave alike on Linux, macOS and Windows.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's folder. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Runs a program and resolves with its exit status (1 where a signal ended it, 127 where it cannot be started).
 *
 * @param {readonly string[]} command the program and its arguments
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, quiet?: boolean, timeoutMs?: number }} [options] `quiet` keeps the
 *   output back and gives it in the result
 * @returns {Promise<{ status: number, output: string }>}
 */
export function run([program, ...args], { cwd = ROOT, env = process.env, quiet = false, timeoutMs } = {}) {
  return new Promise(resolve => {
    const child = spawn(program, args, { cwd, env, timeout: timeoutMs, stdio: ['ignore', quiet ? 'pipe' : 'inherit', quiet ? 'pipe' : 'inherit'] })
    const pieces = []
    child.stdout?.on('data', piece => pieces.push(piece))
    child.stderr?.on('data', piece => pieces.push(piece))
    child.on('error', error => resolve({ status: 127, output: error.message }))
    child.on('close', status => resolve({ status: status ?? 1, output: Buffer.concat(pieces).toString() }))
  })
}

/** The command line that runs a Node program of an installed package, such as `node node_modules/typescript/bin/tsc`. */
export function tool(packageName, command = packageName) {
  const require = createRequire(join(ROOT, 'package.json'))
  const folder = join(ROOT, 'node_modules', packageName)
  const { bin } = require(join(folder, 'package.json'))
  return [process.execPath, join(folder, typeof bin === 'string' ? bin : bin[command])]
}

/** The command line that runs npm: the npm that runs us, else the one beside this Node, else the one on the path. */
export function npm() {
  const beside = dirname(process.execPath)
  const candidates = [
    process.env.npm_execpath,
    join(beside, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(beside, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ]
  const script = candidates.find(path => path?.endsWith('npm-cli.js') && existsSync(path))
  return script === undefined ? ['npm'] : [process.execPath, script]
}
