import type { StorageFile } from '../../storage/storage-file.ts'
import type { DiskWork } from './work.ts'

/**
 * A file whose writing can be followed and ended: for work on whole images that knows nothing of progress. `report` is told of the bytes
 * that were written so far; once the signal is aborted, writes and flushes reject with its reason.
 */
export function watchFile(file: StorageFile, { signal }: DiskWork, report: (written: number) => void): StorageFile {
  let written = 0
  const check = (): void => signal?.throwIfAborted()
  return {
    path: file.path,
    readOnly: file.readOnly,
    get size() { return file.size },
    read: (offset, into) => file.read(offset, into),
    async write(offset, from) {
      check()
      await file.write(offset, from)
      written += from.reduce((sum, { length }) => sum + length, 0)
      report(written)
    },
    async flush() {
      check()
      await file.flush()
    },
    truncate: size => file.truncate(size),
    punchHole: (offset, length) => file.punchHole(offset, length),
    extent: (offset, length) => file.extent(offset, length),
    close: () => file.close(),
  }
}
