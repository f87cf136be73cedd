/**
 * Files and folders of this computer into a guest, by its agent.
 *
 * A large file is written piece by piece beside its place and then renamed. Small ones, folders and links go together in archives that
 * `tar` in the guest unpacks. Everything belongs to root there; symbolic links stay what they are.
 */
import { open, readFile, readlink, stat } from 'node:fs/promises'
import { basename, join, posix, resolve } from 'node:path'
import { contentOf } from '../images/tree/content.ts'
import type { TreeEntry } from '../images/tree/entries.ts'
import { writeTar } from '../images/formats/tar-writer.ts'
import type { AgentCaller } from './commands.ts'
import { CopyCount, copyError, PERMISSIONS, withHostFile } from './copy.ts'
import type { CopyOptions, CopyResult } from './copy.ts'
import { withGuestFile } from './guest-file.ts'
import { checkGuestPath, guestShell } from './guest-shell.ts'
import { listHostTree } from './host-tree.ts'
import type { HostEntry } from './host-tree.ts'
import { printable } from './printable.ts'
import { runCaptured } from './run-program.ts'

/** Files up to this size go in archives. */
const SMALL = 128 * 1024
/** Bytes of an archive, which goes in one command; an entry has a kilobyte beside its content. */
const ARCHIVE = 448 * 1024
const ENTRY_OVERHEAD = 1536
const PIECE = 256 * 1024

const PLACE = 'if [ -d "$1" ]; then echo folder; elif [ -e "$1" ] || [ -L "$1" ]; then echo file; elif [ -d "$(dirname -- "$1")" ]; then echo new; else echo nowhere; fi'
const FINISH = 'chmod -- "$3" "$1" && mv -fT -- "$1" "$2"'

/**
 * Copies a file or a folder. As with `cp -r`: into `target` if that is a folder, else to that name; `source/.` is what is in the folder.
 * @throws TenonError COPY_FAILED, and as `AgentCaller.call`.
 */
export async function copyIn(caller: AgentCaller, source: string, target: string, options: CopyOptions = {}): Promise<CopyResult> {
  checkGuestPath(target)
  const status = await withHostFile(source, () => stat(source))
  if (!status.isFile() && !status.isDirectory()) throw copyError(`${source} is neither a file nor a folder`)
  const place = await placeOf(caller, source, target, status.isDirectory())
  const count = new CopyCount(options, status.isFile() ? status.size : 0)
  if (status.isFile()) await sendFile(caller, source, place, status.mode & PERMISSIONS, count)
  else await sendFolder(caller, source, place, count)
  return count.result
}

async function placeOf(caller: AgentCaller, source: string, target: string, isFolder: boolean): Promise<string> {
  const there = (await guestShell(caller, PLACE, target)).trim()
  const name = basename(resolve(source))
  const isContent = isFolder && /(^|[/\\])\.$/.test(source)
  if (there === 'folder') return isContent || name === '' ? target : posix.join(target, name)
  if (there === 'nowhere' || there === 'new' && !isFolder && target.endsWith('/')) {
    throw copyError(`there is no folder ${there === 'new' ? target : posix.dirname(target)} in the guest`)
  }
  if (there === 'file' && isFolder) throw copyError(`${source} is a folder, and ${target} in the guest is not`)
  return target
}

/** One file, whole or not at all. */
async function sendFile(caller: AgentCaller, source: string, target: string, permissions: number, count: CopyCount): Promise<void> {
  const aside = posix.join(posix.dirname(target), `.tenon-copy-${Math.random().toString(36).slice(2)}`)
  try {
    await sendContent(caller, source, aside, count)
    await guestShell(caller, FINISH, aside, target, permissions.toString(8))
  } catch (error) {
    await runCaptured(caller, ['rm', '-f', aside]).catch(() => {})
    throw error
  }
  count.finished()
}

async function sendContent(caller: AgentCaller, source: string, target: string, count: CopyCount): Promise<void> {
  const file = await withHostFile(source, () => open(source))
  try {
    await withGuestFile(caller, target, 'w', async guestFile => {
      const buffer = Buffer.alloc(PIECE)
      for (;;) {
        const { bytesRead } = await withHostFile(source, () => file.read(buffer, 0, PIECE))
        if (bytesRead === 0) return
        await guestFile.write(buffer.subarray(0, bytesRead))
        count.moved(source, bytesRead)
      }
    })
  } finally {
    await file.close()
  }
}

async function sendFolder(caller: AgentCaller, source: string, target: string, count: CopyCount): Promise<void> {
  const entries = await listHostTree(source, what => void count.skipped.push(what))
  count.totalBytes = entries.reduce((sum, { size }) => sum + size, 0)
  await guestShell(caller, 'mkdir -p -- "$1"', target)
  let archive: HostEntry[] = []
  let size = 0
  const flush = async (): Promise<void> => {
    if (archive.length > 0) await sendArchive(caller, source, target, archive, count)
    archive = []
    size = 0
  }
  for (const entry of entries) {
    if (entry.size > SMALL) {
      // Its folder must be there.
      await flush()
      await sendFile(caller, join(source, entry.path), posix.join(target, entry.path), entry.permissions, count)
      continue
    }
    if (size + entry.size + ENTRY_OVERHEAD > ARCHIVE) await flush()
    archive.push(entry)
    size += entry.size + ENTRY_OVERHEAD
  }
  await flush()
}

async function sendArchive(caller: AgentCaller, source: string, target: string, entries: readonly HostEntry[], count: CopyCount): Promise<void> {
  const parts: TreeEntry[] = []
  for (const entry of entries) parts.push(await archived(source, entry))
  const chunks: Uint8Array[] = []
  for await (const chunk of writeTar(parts)) chunks.push(chunk)
  const { status, stderr } = await runCaptured(caller, ['tar', '-x', '-p', '-o', '-f', '-', '-C', target], { input: Buffer.concat(chunks) })
  if (status !== 0) throw copyError(`tar in the guest failed: ${printable(stderr.toString()) || `status ${status}`}`)
  for (const { path, kind, size } of entries) {
    count.moved(join(source, path), size)
    if (kind !== 'directory') count.finished()
  }
}

async function archived(source: string, { path, kind, permissions, modified }: HostEntry): Promise<TreeEntry> {
  const full = join(source, path)
  const common = { path, permissions, uid: 0, gid: 0, modified }
  if (kind === 'directory') return { ...common, kind }
  if (kind === 'symlink') return { ...common, kind, target: await withHostFile(full, () => readlink(full)) }
  const bytes = await withHostFile(full, () => readFile(full))
  if (bytes.length > ARCHIVE) throw copyError(`${full} grows while it is copied`)
  return { ...common, kind, content: contentOf(bytes) }
}
