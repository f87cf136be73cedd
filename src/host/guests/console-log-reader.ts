import { open, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { explained } from '../cache/file-errors.ts'
import { GUEST_FILES } from './home.ts'

const PIECE = 64 * 1024
const LOOK_MS = 250

/** What a ConsoleFile has kept: the file before, and the file. A guest that said nothing yet has none. */
export async function* readLog(path: string): AsyncGenerator<Uint8Array> {
  for (const each of [`${path}.1`, path]) {
    const file = await openIfThere(each)
    if (file === undefined) continue
    yield* piecesOf(file)
    await file.close()
  }
}

/** All that is there, and then what comes, over rotations, until the signal: it then returns. */
export async function* followLog(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const before = await openIfThere(`${path}.1`)
  if (before !== undefined) {
    yield* piecesOf(before)
    await before.close()
  }
  while (!signal.aborted) {
    const file = await openIfThere(path)
    if (file !== undefined) yield* untilReplaced(file, path, signal)
    await setTimeout(LOOK_MS, undefined, { signal }).catch(() => {})
  }
}

/** To the end of a file that is no longer the log: a new one has its name. */
async function* untilReplaced(file: FileHandle, path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { ino } = await file.stat()
  for (let isLast = false; !signal.aborted;) {
    yield* piecesOf(file)
    if (isLast) break
    isLast = await stat(path).then(now => now.ino !== ino, () => true)
    if (!isLast) await setTimeout(LOOK_MS, undefined, { signal }).catch(() => {})
  }
  await file.close()
}

async function* piecesOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(PIECE), 0, PIECE)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}

function openIfThere(path: string): Promise<FileHandle | undefined> {
  return explained(path, () => open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  }), GUEST_FILES)
}
