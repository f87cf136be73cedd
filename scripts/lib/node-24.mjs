/** Node 24 by npm, in a folder of its own: the package `node` carries the program. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, npm, run } from './run.mjs'

const FOLDER = join(ROOT, '.cache', 'node-24')

/** The path of a Node 24, or undefined where none can be had. */
export async function fetchNode24() {
  const program = join(FOLDER, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  if (!existsSync(program)) await install()
  if (!existsSync(program)) return undefined
  const { status, output } = await run([program, '--version'], { quiet: true })
  return status === 0 && output.startsWith('v24.') ? program : undefined
}

async function install() {
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(join(FOLDER, 'package.json'), '{ "private": true }\n')
  await run([...npm(), 'install', 'node@24', '--no-audit', '--no-fund'], { cwd: FOLDER, quiet: true, timeoutMs: 5 * 60_000 })
}
