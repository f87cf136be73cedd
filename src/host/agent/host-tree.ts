import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { withHostFile, PERMISSIONS } from './copy.ts'
import type { CopyEntry } from './copy.ts'

export interface HostEntry extends CopyEntry {
  /** Seconds since 1970. */
  readonly modified: number
}

/** All that is below a folder of this computer, symbolic links as such. What is neither file, folder nor link is told to `skip`. */
export async function listHostTree(folder: string, skip: (what: string) => void, prefix = ''): Promise<HostEntry[]> {
  const entries: HostEntry[] = []
  const names = await withHostFile(folder, () => readdir(folder))
  for (const name of names.sort()) {
    const [full, path] = [join(folder, name), `${prefix}${name}`]
    const { mode, size, mtimeMs, ...status } = await withHostFile(full, async () => {
      const found = await lstat(full)
      return { ...found, kind: found.isDirectory() ? 'directory' : found.isFile() ? 'file' : found.isSymbolicLink() ? 'symlink' : undefined } as const
    })
    if (status.kind === undefined) {
      skip(`${full}: it is no file, folder or link`)
      continue
    }
    entries.push({ path, kind: status.kind, size: status.kind === 'file' ? size : 0, permissions: mode & PERMISSIONS, modified: Math.max(0, Math.floor(mtimeMs / 1000)) })
    if (status.kind === 'directory') for (const entry of await listHostTree(full, skip, `${path}/`)) entries.push(entry)
  }
  return entries
}
