/** Installs the development packages, and only when what is installed is not what package-lock.json says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, npm, run } from './run.mjs'

/**
 * Whether an installation has the packages of a lock file, by npm's own record of it (`node_modules/.package-lock.json`). Optional
 * packages, those of other platforms, may be absent.
 */
export function isInstalled(lock, installed) {
  return Object.entries(lock.packages).every(([path, wanted]) => {
    const present = installed.packages[path]
    if (path === '') return true
    return present === undefined ? wanted.optional === true || wanted.devOptional === true : present.version === wanted.version
  })
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(join(ROOT, path), 'utf8'))
  } catch {
    return { packages: {} }
  }
}

/** Makes sure that the packages are there. Returns whether they are; npm has said why not. */
export async function ensureInstalled() {
  if (isInstalled(readJson('package-lock.json'), readJson('node_modules/.package-lock.json'))) return true
  console.log('install: npm packages')
  const { status } = await run([...npm(), 'ci', '--no-audit', '--no-fund', '--loglevel=error'])
  if (status !== 0) console.error('install: failed. Is the npm registry within reach? `npm config get registry` names it')
  return status === 0
}
