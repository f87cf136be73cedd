import type { TreeEntry } from '../tree/entries.ts'
import { hostError } from '../../errors.ts'

/**
 * Writes a tree as a tar archive (POSIX.1-2001 pax interchange format): ustar headers, with a record of extensions before an entry
 * whose path or target is too long for one. Owners' names are left empty, so that numbers count.
 */
const BLOCK = 512
const TYPES: Readonly<Record<TreeEntry['kind'], string>> = {
  file: '0', hardlink: '1', symlink: '2', 'character-device': '3', 'block-device': '4', directory: '5', fifo: '6',
}
const MAXIMUM_SIZE = 0o77777777777

export async function* writeTar(entries: Iterable<TreeEntry>): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    yield* headersOf(entry)
    if (entry.kind !== 'file') continue
    for await (const chunk of entry.content.chunks()) yield chunk.slice()
    const rest = entry.content.size % BLOCK
    if (rest > 0) yield new Uint8Array(BLOCK - rest)
  }
  yield new Uint8Array(2 * BLOCK)
}

function* headersOf(entry: TreeEntry): Generator<Uint8Array> {
  const path = Buffer.from(`./${entry.path}${entry.kind === 'directory' && entry.path !== '' ? '/' : ''}`)
  const target = Buffer.from(entry.kind === 'symlink' ? entry.target : entry.kind === 'hardlink' ? `./${entry.target}` : '')
  const extensions = Buffer.concat([...path.length > 100 ? [record('path', path)] : [], ...target.length > 100 ? [record('linkpath', target)] : []])
  if (extensions.length > 0) {
    yield makeHeader({ path: Buffer.from('./PaxHeader'), target: Buffer.alloc(0), type: 'x', size: extensions.length, permissions: 0o644, uid: 0, gid: 0, modified: 0 })
    yield Buffer.concat([extensions, Buffer.alloc((BLOCK - extensions.length % BLOCK) % BLOCK)])
  }
  const size = entry.kind === 'file' ? entry.content.size : 0
  if (size > MAXIMUM_SIZE) throw hostError('IMAGE_TOO_LARGE', `${entry.path} is larger than the 8 GiB that a file in a tar archive may have`)
  const { permissions, uid, gid, modified } = entry
  yield makeHeader({ path, target, type: TYPES[entry.kind], size, permissions, uid, gid, modified, ...'device' in entry && { device: entry.device } })
}

/** `LENGTH KEY=VALUE\n`, whose length counts itself. */
function record(key: string, value: Uint8Array): Uint8Array {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

interface Header {
  readonly path: Uint8Array
  readonly target: Uint8Array
  readonly type: string
  readonly size: number
  readonly permissions: number
  readonly uid: number
  readonly gid: number
  readonly modified: number
  readonly device?: { readonly major: number, readonly minor: number }
}

function makeHeader({ path, target, type, size, permissions, uid, gid, modified, device = { major: 0, minor: 0 } }: Header): Uint8Array {
  const header = Buffer.alloc(BLOCK)
  const octal = (value: number, at: number, length: number): void => void header.write(value.toString(8).padStart(length - 1, '0'), at)
  header.set(path.subarray(0, 100), 0)
  octal(permissions, 100, 8)
  octal(uid, 108, 8)
  octal(gid, 116, 8)
  octal(size, 124, 12)
  octal(modified, 136, 12)
  header.fill(' ', 148, 156)
  header.write(type, 156)
  header.set(target.subarray(0, 100), 157)
  header.write('ustar\x0000', 257)
  octal(device.major, 329, 8)
  octal(device.minor, 337, 8)
  header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148)
  return header
}
