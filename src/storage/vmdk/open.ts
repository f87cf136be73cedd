import { decodeUtf8 } from '../../base/utf8.ts'
import type { BlockNode } from '../block-node.ts'
import { byteLength, fillZeroes, sliceBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import type { DiskFormat, FormatContext } from '../format.ts'
import type { StorageFile } from '../storage-file.ts'
import { checkParentHint, type Descriptor, type ExtentLine, isDescriptor, parseDescriptor, withContentId } from './descriptor.ts'
import { FlatExtent, type VmdkExtent, ZeroExtent } from './extent.ts'
import { GrainTables } from './grain-tables.ts'
import {
  corrupt, HEADER_LENGTH, isMarker, isServerSparse, isSparseExtent, Marker, parseSparseHeader, SECTOR, type SparseHeader, unsupported,
} from './layout.ts'
import { VmdkNode } from './node.ts'
import { SparseExtent } from './sparse-extent.ts'

export const VMDK: DiskFormat = {
  name: 'vmdk',
  recognises: ({ head }) => isSparseExtent(head) || isServerSparse(head) || isDescriptor(head),
  open: openVmdk,
}

/** Longer texts are no descriptors. */
const DESCRIPTOR_LIMIT = 1 << 20

type Complete = SparseHeader & { readonly gdOffset: number }

/** Where a descriptor is, and how to write it again. */
interface DescriptorPlace {
  readonly bytes: Uint8Array
  rewrite(bytes: Uint8Array): Promise<void>
}

/**
 * Opens a VMDK by its descriptor, or by the sparse extent that has one in it. The node owns the file, the other extents and the parent,
 * once it is there. Rejects with DISK_UNKNOWN_FORMAT, DISK_CORRUPT, DISK_UNSUPPORTED, DISK_NOT_FOUND or DISK_BACKING_CHANGED.
 */
export async function openVmdk(file: StorageFile, context: FormatContext): Promise<VmdkNode> {
  const head = new Uint8Array(HEADER_LENGTH)
  await file.read(0, [head])
  if (isServerSparse(head)) throw unsupported(file.path, 'the sparse format of ESX servers')
  return isSparseExtent(head) ? openMonolithic(file, parseSparseHeader(head, file.path), context) : openByDescriptor(file, head, context)
}

/** A sparse extent with its descriptor in it. What that says of extents does not matter: the file may have got another name. */
async function openMonolithic(file: StorageFile, header: SparseHeader, context: FormatContext): Promise<VmdkNode> {
  if (header.descriptorOffset === 0 || header.descriptorSize === 0) {
    throw storageError('DISK_UNSUPPORTED', `${file.path} is a part of a VMDK only: open the file with the disk's descriptor`)
  }
  const place = await embeddedDescriptor(file, header)
  const descriptor = parseDescriptor(decodeUtf8(place.bytes), file.path)
  const backing = await openParent(file.path, descriptor, context)
  const readOnly = context.readOnly || file.readOnly
  const extent = await openSparse(file, header, 0, header.capacity * SECTOR, readOnly, backing, context)
  return new VmdkNode({
    path: file.path, extents: [extent], readOnly: extent.readOnly, backing, contentId: descriptor.contentId,
    changeContentId: contentId => place.rewrite(withContentId(place.bytes, contentId)), files: [file],
  })
}

async function openByDescriptor(file: StorageFile, head: Uint8Array, context: FormatContext): Promise<VmdkNode> {
  if (!isDescriptor(head)) throw storageError('DISK_UNKNOWN_FORMAT', `${file.path} is no VMDK: it begins neither with a header nor with a descriptor`)
  if (file.size > DESCRIPTOR_LIMIT) throw corrupt(file.path, `its descriptor has ${file.size} bytes`)
  const bytes = new Uint8Array(file.size)
  await file.read(0, [bytes])
  const descriptor = parseDescriptor(decodeUtf8(bytes), file.path)
  if (descriptor.extents.length === 0) throw corrupt(file.path, 'its descriptor names no extents')
  const readOnly = context.readOnly || file.readOnly || descriptor.extents.some(({ access }) => access === 'RDONLY')
  const backing = await openParent(file.path, descriptor, context)
  const files = await openFiles(descriptor.extents, readOnly, context)
  const extents = await openExtents(file.path, descriptor.extents, files, readOnly, backing, context)
  return new VmdkNode({
    path: file.path, extents, readOnly: readOnly || extents.some(extent => extent.readOnly && !(extent instanceof ZeroExtent)), backing,
    contentId: descriptor.contentId, changeContentId: contentId => rewriteFile(file, withContentId(bytes, contentId)), files: [file, ...files.values()],
  })
}

/** The extents' files by their names. Several extents may be in one. */
async function openFiles(lines: readonly ExtentLine[], readOnly: boolean, context: FormatContext): Promise<Map<string, StorageFile>> {
  const files = new Map<string, StorageFile>()
  for (const { kind, fileName } of lines) {
    if (kind !== 'ZERO' && !files.has(fileName)) files.set(fileName, await context.openPart(fileName, readOnly))
  }
  return files
}

async function openExtents(
  path: string, lines: readonly ExtentLine[], files: ReadonlyMap<string, StorageFile>, readOnly: boolean, backing: BlockNode | null, context: FormatContext,
): Promise<VmdkExtent[]> {
  const extents: VmdkExtent[] = []
  let start = 0
  for (const line of lines) {
    const extent = await openExtent(path, line, files.get(line.fileName), start, readOnly, backing, context)
    extents.push(extent)
    start += extent.size
    if (!Number.isSafeInteger(start)) throw corrupt(path, 'its extents are larger than disks can be')
  }
  return extents
}

async function openExtent(
  path: string, line: ExtentLine, file: StorageFile | undefined, start: number, readOnly: boolean, backing: BlockNode | null, context: FormatContext,
): Promise<VmdkExtent> {
  const size = line.sectors * SECTOR
  if (file === undefined) return new ZeroExtent(size)
  if (line.kind === 'FLAT') {
    if (line.offset * SECTOR + size > file.size) throw corrupt(path, `its extent ${line.fileName} is shorter than ${size} bytes: it was cut off`)
    return new FlatExtent(file, line.offset * SECTOR, size, readOnly)
  }
  const head = new Uint8Array(HEADER_LENGTH)
  await file.read(0, [head])
  const header = parseSparseHeader(head, file.path)
  if (header.capacity * SECTOR < size) throw corrupt(path, `its extent ${line.fileName} has fewer than ${line.sectors} sectors`)
  return openSparse(file, header, start, size, readOnly, backing, context)
}

async function openSparse(
  file: StorageFile, header: SparseHeader, start: number, size: number, readOnly: boolean, backing: BlockNode | null, context: FormatContext,
): Promise<SparseExtent> {
  const complete = header.gdOffset === null ? await readFooter(file) : header as Complete
  if (complete.capacity < header.capacity || complete.grainSize !== header.grainSize) throw corrupt(file.path, 'its footer is another file\'s')
  return new SparseExtent({
    file, header: complete, tables: await GrainTables.load(file, complete), size, readOnly,
    behind: backing === null ? null : (offset, into) => readBehind(backing, start + offset, into),
    decompress: context.environment.decompress?.zlib,
  })
}

/** A stream-optimized file that was written in one go ends with marker, footer and an end-of-stream marker: a sector each. */
async function readFooter(file: StorageFile): Promise<Complete> {
  const bytes = new Uint8Array(3 * SECTOR)
  if (file.size < bytes.length) throw corrupt(file.path, 'it has no footer: it was cut off')
  await file.read(file.size - bytes.length, [bytes])
  if (!isMarker(bytes, Marker.FOOTER)) throw corrupt(file.path, 'it has no footer: it was cut off')
  const header = parseSparseHeader(bytes.subarray(SECTOR, 2 * SECTOR), file.path)
  if (header.gdOffset === null) throw corrupt(file.path, 'its footer does not say where the grain directory is')
  return header as Complete
}

async function readBehind(backing: BlockNode, offset: number, into: Buffers): Promise<void> {
  const length = byteLength(into)
  const known = Math.max(0, Math.min(length, backing.size - offset))
  if (known > 0) await backing.read(offset, sliceBuffers(into, 0, known))
  fillZeroes(sliceBuffers(into, known, length - known))
}

async function embeddedDescriptor(file: StorageFile, header: SparseHeader): Promise<DescriptorPlace> {
  const [position, room] = [header.descriptorOffset * SECTOR, header.descriptorSize * SECTOR]
  if (position + room > file.size) throw corrupt(file.path, 'its descriptor lies outside of it')
  const bytes = new Uint8Array(room)
  await file.read(position, [bytes])
  const end = bytes.indexOf(0)
  return {
    bytes: end < 0 ? bytes : bytes.subarray(0, end),
    async rewrite(changed) {
      if (changed.length > room) throw storageError('DISK_FULL', `${file.path} has no room for its descriptor`)
      const padded = new Uint8Array(room)
      padded.set(changed)
      await file.write(position, [padded])
      await file.flush()
    },
  }
}

async function rewriteFile(file: StorageFile, bytes: Uint8Array): Promise<void> {
  await file.write(0, [bytes])
  if (bytes.length < file.size) await file.truncate(bytes.length)
  await file.flush()
}

/** The parent must be as it was when this disk was made from it. */
async function openParent(path: string, descriptor: Descriptor, context: FormatContext): Promise<BlockNode | null> {
  if (descriptor.parentContentId === null) return null
  if (context.backing !== undefined) return context.backing
  const parent = await context.openBacking(checkParentHint(descriptor.parentFileNameHint, path), 'vmdk')
  if (parent instanceof VmdkNode && parent.contentId === descriptor.parentContentId) return parent
  await parent.close()
  throw storageError('DISK_BACKING_CHANGED', `${path}: its parent was written to, or replaced, since this disk was made from it`)
}
