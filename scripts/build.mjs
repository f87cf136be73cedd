/**
 * Builds `dist/` from `src/`: the compiled TypeScript, the data files, and the interpreter engine that its generator writes. Does
 * nothing when `dist/` was built from the same inputs; `--force` builds all the same.
 */
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listFiles } from './lib/files.mjs'
import { ensureInstalled } from './lib/install.mjs'
import { isMain } from './lib/main.mjs'
import { ROOT, run, tool } from './lib/run.mjs'

const DIST = join(ROOT, 'dist')
const STAMP = join(DIST, '.build-stamp')
/** Reads the compiled instruction descriptions, and writes the engine's WebAssembly to dist/engine.wasm. */
const ENGINE_GENERATOR = join(ROOT, 'scripts', 'build-engine.mjs')

/** Whether a file of `src/` is for tests only, and so stays out of `dist/`. */
export function isTestOnly(path) {
  return path.endsWith('.test.ts') || path.split('/').includes('testing')
}

/** Whether a file of `src/` is data that the compiled code reads: neither TypeScript nor a page about the room. */
export function isData(path) {
  return !/\.(ts|md)$/.test(path) && !isTestOnly(path)
}

/** A digest of everything that `dist/` follows from. */
function inputDigest(sources) {
  const hash = createHash('sha256').update(process.versions.node.split('.')[0])
  const inputs = [...sources.map(path => `src/${path}`), 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json', 'scripts/build.mjs', 'scripts/build-engine.mjs']
  for (const path of inputs) {
    const data = readFileSync(join(ROOT, path))
    hash.update(`\n${path} ${data.length}\n`).update(data)
  }
  return hash.digest('hex')
}

function isUpToDate(digest) {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digest
}

async function step(name, command) {
  const started = performance.now()
  const { status } = await run(command)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(status === 0 ? `build: ${name} (${seconds} s)` : `build: ${name} failed (exit status ${status})`)
  return status === 0
}

function copyData(sources) {
  const data = sources.filter(isData)
  for (const path of data) cpSync(join(ROOT, 'src', path), join(DIST, path))
  if (data.length > 0) console.log(`build: ${data.length} data files`)
}

/** Brings `dist/` up to date. Returns whether it is. */
export async function build({ force = false } = {}) {
  if (!await ensureInstalled()) return false
  const sources = listFiles(join(ROOT, 'src')).filter(path => !isTestOnly(path))
  const digest = inputDigest(sources)
  if (!force && isUpToDate(digest)) return true
  rmSync(DIST, { recursive: true, force: true, maxRetries: 3 })
  if (!await step('types and JavaScript', [...tool('typescript', 'tsc'), '-p', 'tsconfig.build.json'])) return false
  copyData(sources)
  if (!await step('interpreter engine', [process.execPath, ENGINE_GENERATOR])) return false
  const command = join(DIST, 'cli', 'main.js')
  if (existsSync(command)) chmodSync(command, 0o755)
  writeFileSync(STAMP, digest)
  return true
}

if (isMain(import.meta.url)) {
  process.exitCode = await build({ force: process.argv.includes('--force') }) ? 0 : 1
}
