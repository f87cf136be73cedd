/**
 * What is in a folder of the guest, as its `find` says: entries `KIND PERMISSIONS SIZE PATH`, each ended by a byte of 0. The guest may lie:
 * a path that does not stay in its folder, or a file in what is no folder, is refused here, before anything is made of it.
 */
import { Writable } from 'node:stream'
import { hostError } from '../errors.ts'
import type { AgentCaller } from './commands.ts'
import { PERMISSIONS } from './copy.ts'
import type { CopyEntry } from './copy.ts'
import { exec } from './exec.ts'

const FORMAT = '%y %m %s %P\\0'
/** More is no folder that is copied this way. */
const LARGEST_LISTING = 64 * 1024 ** 2
const LONGEST_PATH = 4096
const LONGEST_NAME = 255
const KINDS: Readonly<Record<string, CopyEntry['kind']>> = { f: 'file', d: 'directory', l: 'symlink' }

/** @throws TenonError AGENT_PROTOCOL, COPY_FAILED, and as `AgentCaller.call`. */
export async function listGuestFolder(caller: AgentCaller, folder: string, skip: (what: string) => void, signal?: AbortSignal): Promise<CopyEntry[]> {
  const limit = new AbortController()
  const output = new Collector(LARGEST_LISTING, () => limit.abort(invalid('is longer than 64 MiB')))
  const problems = new Collector(LONGEST_PATH, () => {})
  const { status } = await exec(caller, { argv: ['find', folder, '-mindepth', '1', '-printf', FORMAT], folder: '/' }, {
    stdout: output, stderr: problems, signal: signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]),
  })
  const entries = parseListing(output.bytes, skip)
  // Something vanished meanwhile, or cannot be read.
  if (status !== 0) skip(`in the guest, find says: ${problems.bytes.toString().trim().slice(0, LONGEST_NAME)}`)
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
    if (!folders.has(entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/'))))) throw invalid(`has ${JSON.stringify(entry.path)} outside of any folder`)
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

/** Keeps what is written, up to a limit. */
class Collector extends Writable {
  readonly #limit: number
  readonly #onFull: () => void
  #chunks: Buffer[] = []
  #size = 0

  constructor(limit: number, onFull: () => void) {
    super()
    this.#limit = limit
    this.#onFull = onFull
  }

  get bytes(): Buffer { return Buffer.concat(this.#chunks) }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#size += chunk.length
    if (this.#size <= this.#limit) this.#chunks.push(chunk)
    else this.#onFull()
    done()
  }
}
