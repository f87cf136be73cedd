/**
 * What is in a folder of the guest, as its `find` says: entries `KIND PERMISSIONS SIZE PATH`, each ended by a byte of 0. The guest may lie:
 * a path that does not stay in its folder, or a file in what is no folder, is refused here, before anything is made of it.
 */
import { hostError } from '../errors.ts'
import type { AgentCaller } from './commands.ts'
import { copyError, PERMISSIONS } from './copy.ts'
import type { CopyEntry } from './copy.ts'
import { printable } from './printable.ts'
import { runCaptured } from './run-program.ts'

const FORMAT = '%y %m %s %P\\0'
const LISTING_MS = 120_000
const LONGEST_PATH = 4096
const LONGEST_NAME = 255
const KINDS: Readonly<Record<string, CopyEntry['kind']>> = { f: 'file', d: 'directory', l: 'symlink' }

/**
 * Lists a folder, up to the 16 MiB of text that an agent keeps: some 200,000 entries.
 * @throws TenonError AGENT_PROTOCOL, COPY_FAILED, and as `AgentCaller.call`.
 */
export async function listGuestFolder(caller: AgentCaller, folder: string, skip: (what: string) => void): Promise<CopyEntry[]> {
  const argv = ['find', folder, '-mindepth', '1', '-printf', FORMAT]
  const { status, stdout, stderr, isTruncated } = await runCaptured(caller, argv, { timeoutMs: LISTING_MS })
  if (isTruncated) throw copyError(`there is too much in ${folder} in the guest: copy the folders in it one by one`)
  const entries = parseListing(stdout, skip)
  const problem = `find in the guest says: ${printable(stderr.toString()) || `status ${status}`}`
  if (status !== 0 && entries.length === 0) throw copyError(problem)
  // Something vanished meanwhile, or cannot be read.
  if (status !== 0) skip(problem)
  return entries
}

/** @throws TenonError AGENT_PROTOCOL. */
export function parseListing(bytes: Uint8Array, skip: (what: string) => void): CopyEntry[] {
  const entries: CopyEntry[] = []
  const folders = new Set([''])
  const seen = new Set<string>()
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(0, at)
    if (end < 0) throw invalid('ends too early')
    const entry = parseEntry(bytes.subarray(at, end), skip)
    at = end + 1
    if (entry === undefined) continue
    const parent = entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/')))
    if (!folders.has(parent)) throw invalid(`has ${JSON.stringify(entry.path)} outside of any folder`)
    if (seen.has(entry.path)) throw invalid(`has ${JSON.stringify(entry.path)} twice`)
    seen.add(entry.path)
    if (entry.kind === 'directory') folders.add(entry.path)
    entries.push(entry)
  }
  return entries
}

function parseEntry(bytes: Uint8Array, skip: (what: string) => void): CopyEntry | undefined {
  const text = new TextDecoder().decode(bytes)
  const [, letter, mode, size, path] = /^([a-zA-Z?]) ([0-7]{1,5}) (\d{1,15}) ([^]+)$/.exec(text) ?? []
  if (path === undefined) throw invalid('has a line of another form')
  checkPath(path)
  const kind = KINDS[letter]
  if (kind === undefined) skip(`${JSON.stringify(path)}: it is no file, folder or link`)
  else if (text.includes('\ufffd')) skip(`${JSON.stringify(path)}: its name is no UTF-8`)
  else return { path, kind, size: kind === 'file' ? Number(size) : 0, permissions: parseInt(mode, 8) & PERMISSIONS }
  return undefined
}

function checkPath(path: string): void {
  const parts = path.split('/')
  const isWrong = path.length > LONGEST_PATH || parts.some(part => part === '' || part === '.' || part === '..' || Buffer.byteLength(part) > LONGEST_NAME)
  // On Windows these separate as well.
  if (isWrong || process.platform === 'win32' && /[\\:]/.test(path)) throw invalid(`has the path ${JSON.stringify(path.slice(0, LONGEST_NAME))}`)
}

function invalid(what: string): Error { return hostError('AGENT_PROTOCOL', `the list of a folder in the guest ${what}: nothing of it is copied`) }
