import { readFile } from 'node:fs/promises'
import { hostError } from './errors.ts'

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'its permissions forbid it', ERR_FS_FILE_TOO_LARGE: 'it is over 2 GiB',
}

/** Reads a file that the user named, `what` to them. Throws TenonError FILE_UNREADABLE, also if it is empty. */
export async function readInputFile(path: string, what: string): Promise<Uint8Array> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw hostError('FILE_UNREADABLE', `${what} ${path} cannot be read: ${REASONS[error.code ?? ''] ?? error.code ?? error.message}`, error)
  })
  if (bytes.length === 0) throw hostError('FILE_UNREADABLE', `${what} ${path} is empty`)
  return bytes
}
