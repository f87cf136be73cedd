/**
 * Files and folders of a guest to this computer, by its agent.
 *
 * A large file is read piece by piece, written beside its place and then renamed. Small ones and links come together in archives that
 * `tar` in the guest makes. A hostile guest can choose names and contents of what is below the target, and nothing else: paths are
 * checked (guest-listing.ts), folders are never reached through symbolic links, and links are made last, when nothing more is written.
 */
import { lstat, mkdir, open, rename, rm, stat, symlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { hostError } from '../errors.ts'
import { readTar } from '../images/formats/tar.ts'
import type { AgentCaller } from './commands.ts'
import { CopyCount, copyError, PERMISSIONS, withHostFile } from './copy.ts'
import type { CopyEntry, CopyOptions, CopyResult } from './copy.ts'
import { withGuestFile } from './guest-file.ts'
import { listGuestFolder } from './guest-listing.ts'
import { checkGuestPath, guestShell } from './guest-shell.ts'
import { printable } from './printable.ts'
import { runCaptured } from './run-program.ts'

/** Files up to this size come in archives. */
const SMALL = 256 * 1024
/** Bytes of an archive: well below what the agent keeps of a program's output. */
const ARCHIVE = 2 * 1024 ** 2
const ENTRY_OVERHEAD = 1536
/** Bytes of the names of an archive's files, which go in one command. */
const NAMES = 256 * 1024
const OWNER_MAY = 0o700

const LOOK = 'if [ -d "$1" ]; then echo folder 0 0; elif [ -f "$1" ]; then stat -L -c "file %a %s" -- "$1"; elif [ -e "$1" ]; then echo other 0 0; else echo nothing 0 0; fi'

/**
 * Copies a file or a folder. As with `cp -r`: into `target` if that is a folder, else to that name; `source/.` is what is in the folder.
 * @throws TenonError COPY_FAILED, AGENT_PROTOCOL (the guest lies), and as `AgentCaller.call`.
 */
export async function copyOut(caller: AgentCaller, source: string, target: string, options: CopyOptions = {}): Promise<CopyResult> {
  checkGuestPath(source)
  const { kind, permissions, size } = await look(caller, source)
  const count = new CopyCount(options, size)
  const place = await placeOf(source, target, kind === 'folder')
  if (kind === 'file') await receiveFile(caller, source, place, permissions, count)
  else await receiveFolder(caller, source, place, count, options.signal)
  return count.result
}

async function look(caller: AgentCaller, source: string): Promise<{ readonly kind: string, readonly permissions: number, readonly size: number }> {
  const [, kind, mode, size] = /^(folder|file|other|nothing) ([0-7]{1,4}) (\d{1,15})\n$/.exec(await guestShell(caller, LOOK, source)) ?? []
  if (kind === undefined) throw hostError('AGENT_PROTOCOL', `the guest does not say what ${source} is`)
  if (kind === 'nothing') throw copyError(`there is no ${source} in the guest`)
  if (kind === 'other') throw copyError(`${source} in the guest is neither a file nor a folder`)
  return { kind, permissions: parseInt(mode, 8) & PERMISSIONS, size: Number(size) }
}

async function placeOf(source: string, target: string, isFolder: boolean): Promise<string> {
  const there = await stat(target).catch(() => undefined)
  const isContent = isFolder && /\/\.\/*$/.test(source)
  const name = posix.basename(source)
  if (there?.isDirectory() !== true) {
    if (there !== undefined && isFolder) throw copyError(`${source} in the guest is a folder, and ${target} is not`)
    return target
  }
  if (isContent || name === '') return target
  if (name === '..' || name === '.') throw copyError(`${source} is no name of a file: write the path without dots`)
  const inside = join(target, name)
  // It may be from an earlier copy of what the same guest sent.
  if (isFolder && await isLink(inside)) throw copyError(`${inside} is a symbolic link: remove it, or name another place`)
  return inside
}

function isLink(path: string): Promise<boolean> { return lstat(path).then(status => status.isSymbolicLink(), () => false) }

/** One file of the guest, whole or not at all. */
async function receiveFile(caller: AgentCaller, source: string, target: string, permissions: number, count: CopyCount): Promise<void> {
  await placeFile(target, permissions, file => withGuestFile(caller, source, 'r', async guestFile => {
    for (let bytes = await guestFile.read(); bytes.length > 0; bytes = await guestFile.read()) {
      await withHostFile(target, () => file.write(bytes))
      count.moved(source, bytes.length)
    }
  }))
  count.finished()
}

/** Writes a file beside its place, and renames it when it is whole: what was there is replaced, and never followed. */
async function placeFile(target: string, permissions: number, write: (file: FileHandle) => Promise<unknown>): Promise<void> {
  const aside = join(dirname(target), `.tenon-copy-${Math.random().toString(36).slice(2)}`)
  const file = await withHostFile(target, () => open(aside, 'wx', permissions))
  try {
    await write(file)
    await file.close()
    await withHostFile(target, () => rename(aside, target))
  } catch (error) {
    await file.close()
    await rm(aside, { force: true })
    throw error
  }
}

async function receiveFolder(caller: AgentCaller, source: string, target: string, count: CopyCount, signal: AbortSignal | undefined): Promise<void> {
  const entries = await listGuestFolder(caller, posix.join(source, '.'), what => void count.skipped.push(what), signal)
  count.totalBytes = entries.reduce((sum, { size }) => sum + size, 0)
  await withHostFile(target, () => mkdir(target).catch(ignoreExisting))
  const folder = new ReceivedFolder(caller, source, target, count)
  for (const entry of entries) await folder.add(entry)
  await folder.finish()
}

function ignoreExisting(error: NodeJS.ErrnoException): void { if (error.code !== 'EEXIST') throw error }

/** A folder on its way. */
class ReceivedFolder {
  readonly #caller: AgentCaller
  readonly #source: string
  readonly #target: string
  readonly #count: CopyCount
  readonly #links: { readonly path: string, readonly to: string }[] = []
  #archive: CopyEntry[] = []
  #size = 0
  #names = 0

  constructor(caller: AgentCaller, source: string, target: string, count: CopyCount) {
    this.#caller = caller
    this.#source = source
    this.#target = target
    this.#count = count
  }

  async add(entry: CopyEntry): Promise<void> {
    if (entry.kind === 'directory') return this.#makeFolder(entry)
    if (entry.size > SMALL) return this.#large(entry)
    const names = Buffer.byteLength(entry.path) + 3
    if (this.#size + entry.size + ENTRY_OVERHEAD > ARCHIVE || this.#names + names > NAMES) await this.#flush()
    this.#archive.push(entry)
    this.#size += entry.size + ENTRY_OVERHEAD
    this.#names += names
  }

  async finish(): Promise<void> {
    await this.#flush()
    for (const { path, to } of this.#links) await this.#makeLink(join(this.#target, path), to)
  }

  async #makeFolder({ path, permissions }: CopyEntry): Promise<void> {
    const full = join(this.#target, path)
    await withHostFile(full, () => mkdir(full, permissions | OWNER_MAY).catch(ignoreExisting))
    if (!(await withHostFile(full, () => lstat(full))).isDirectory()) throw copyError(`${full} is there and is no folder: remove it, or name another place`)
  }

  #large({ path, permissions }: CopyEntry): Promise<void> {
    return receiveFile(this.#caller, posix.join(this.#source, path), join(this.#target, path), permissions, this.#count)
  }

  async #flush(): Promise<void> {
    const entries = this.#archive
    this.#archive = []
    this.#size = this.#names = 0
    if (entries.length > 0) await this.#receiveArchive(entries)
  }

  /** Files may have grown since they were listed, so that they do not fit: then they come in two archives. */
  async #receiveArchive(entries: readonly CopyEntry[]): Promise<void> {
    const input = Buffer.from(entries.map(({ path }) => `./${path}\0`).join(''))
    const argv = ['tar', '-c', '-f', '-', '--no-recursion', '--hard-dereference', '-C', this.#source, '--null', '-T', '-']
    const { status, stdout, stderr, isTruncated } = await runCaptured(this.#caller, argv, { input })
    const half = entries.length >> 1
    if (isTruncated && half > 0) {
      await this.#receiveArchive(entries.slice(0, half))
      return this.#receiveArchive(entries.slice(half))
    }
    if (isTruncated) return this.#large(entries[0])
    const missing = await this.#unpack(stdout, entries)
    if (missing.length === entries.length && status !== 0) throw copyError(`tar in the guest failed: ${printable(stderr.toString()) || `status ${status}`}`)
    this.#count.skipped.push(...missing.map(path => `${path}: it vanished, or cannot be read`))
  }

  /** Takes what was asked for, and nothing else. Returns what did not come. */
  async #unpack(archive: Uint8Array, entries: readonly CopyEntry[]): Promise<string[]> {
    const asked = new Map(entries.map(entry => [entry.path, entry]))
    try {
      for await (const { path, type, linkTarget, data } of readTar(once(archive), 'from the guest', name => asked.has(name))) {
        const entry = asked.get(path)!
        if (type !== entry.kind) continue
        asked.delete(path)
        if (type === 'symlink') this.#links.push({ path, to: linkTarget })
        else await placeFile(join(this.#target, path), entry.permissions, file => file.writeFile(data))
        this.#count.moved(path, data.length)
        this.#count.finished()
      }
    } catch (error) {
      if ((error as { code?: string }).code !== 'ARCHIVE_FORMAT_INVALID') throw error
      throw hostError('AGENT_PROTOCOL', 'what tar in the guest made is no archive', error)
    }
    return [...asked.keys()]
  }

  /** A link of before is replaced; anything else stays, and is an error. */
  async #makeLink(path: string, to: string): Promise<void> {
    if (await isLink(path)) await withHostFile(path, () => rm(path))
    await withHostFile(path, () => symlink(to, path))
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> { yield bytes }
