import { storageError } from '../errors.ts'
import type { RegularFile } from './tree.ts'

/**
 * Gives a file's content to `write`, piece by piece as it comes.
 *
 * @param path for messages
 * @throws TenonError FILE_UNFIT: there is more or less of it than the file's size, so that it would not be where it was placed; and what
 *   `write` and the content throw
 */
export async function copyContent(
  { size, content }: RegularFile, path: string, write: (at: number, bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  let done = 0
  for await (const bytes of content()) {
    if (done + bytes.length > size) throw changed(path, size, 'more')
    if (bytes.length > 0) await write(done, bytes)
    done += bytes.length
  }
  if (done < size) throw changed(path, size, `${done}`)
}

function changed(path: string, expected: number, found: string): Error {
  return storageError('FILE_UNFIT', `${path} should have ${expected} bytes, and has ${found}: it changed meanwhile`)
}
