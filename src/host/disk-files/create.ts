/** Makes empty disks, and the nodes that fill new ones. */
import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { dirname, isAbsolute, relative, resolve } from 'node:path'
import type { BlockNode } from '../../storage/block-node.ts'
import { storageError } from '../../storage/errors.ts'
import { RawNode } from '../../storage/nodes/raw.ts'
import { openDisk } from '../../storage/open.ts'
import { createQcow2 } from '../../storage/qcow2/create.ts'
import { Qcow2Node } from '../../storage/qcow2/node.ts'
import type { StorageFile } from '../../storage/storage-file.ts'
import { createDifferencingVhd, createVhd } from '../../storage/vhd/create.ts'
import { VhdDynamicNode } from '../../storage/vhd/dynamic.ts'
import { VhdFixedNode } from '../../storage/vhd/fixed.ts'
import { openVhd } from '../../storage/vhd/open.ts'
import { createVmdk } from '../../storage/vmdk/create.ts'
import { VmdkNode } from '../../storage/vmdk/node.ts'
import { openVmdk } from '../../storage/vmdk/open.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { type FormatName, graphOf, qemuName } from './formats.ts'
import { makeFile, type NewFileOptions } from './new-file.ts'
import { watchFile } from './watched-file.ts'
import { reporter, type DiskWork } from './work.ts'

export interface CreateDiskOptions extends NewFileOptions, DiskWork {
  readonly format: FormatName
  /** Bytes, a multiple of 512. With a backing file: its size if left out. */
  readonly size?: number
  /** The disk that the new one shows until it is written to. A relative path is kept relative, from the new disk's folder on. */
  readonly backing?: string
  readonly backingFormat?: FormatName
  /** Takes all of its room on the host now. */
  readonly thick?: boolean
  /** Bytes of a qcow2's cluster. */
  readonly clusterSize?: number
}

/** A disk that another will stand on, looked at and closed again. */
interface Backing {
  readonly node: BlockNode
  readonly path: string
  /** As it is to stand in the new file. */
  readonly reference: string
  /** Seconds since 1970. */
  readonly modified: number
}

/** Makes an empty disk, and returns its size. Rejects as `makeFile`, and as the formats do for what they cannot have. */
export async function createDisk(path: string, options: CreateDiskOptions): Promise<number> {
  const backing = options.backing === undefined ? null : await openBacking(path, options.backing, options.backingFormat)
  try {
    const size = options.size ?? backing?.node.size
    if (size === undefined) throw storageError('DISK_OUT_OF_RANGE', `${path}: how large shall it be? Give a size, or a backing file`)
    await makeFile(path, options, async (file) => {
      const report = reporter(options, path)
      const watched = watchFile(file, options, options.thick === true ? written => report(Math.min(written, size), size) : () => {})
      await createFormat(watched, options, size, backing)
    })
    return size
  } finally {
    await backing?.node.close()
  }
}

async function openBacking(path: string, name: string, format?: FormatName): Promise<Backing> {
  const node = await openDisk(graphOf(name, format), hostEnvironment(), { readOnly: true, place: 'the backing file' })
  if (node.kind === 'nbd') {
    await node.close()
    throw storageError('DISK_UNSUPPORTED', `${name} cannot be a backing file: it is no file; convert it to one`)
  }
  const reference = isAbsolute(name) ? name : relative(dirname(resolve(path)), resolve(name))
  return { node, path: name, reference, modified: Math.floor((await stat(name)).mtimeMs / 1000) }
}

function createFormat(file: StorageFile, options: CreateDiskOptions, size: number, backing: Backing | null): Promise<void> {
  const refuse = (what: string): Error => storageError('DISK_UNSUPPORTED', `${what}: choose another format`)
  if (options.clusterSize !== undefined && options.format !== 'qcow2') throw refuse('only a qcow2 has clusters whose size can be chosen')
  switch (options.format) {
    case 'raw':
      if (backing !== null) throw refuse('a raw disk has no backing file')
      return createRaw(file, size, options.thick === true)
    case 'qcow2': return createQcow2(file, {
      size, clusterSize: options.clusterSize, preallocation: options.thick === true ? 'full' : 'off',
      ...backing === null ? {} : { backingFile: backing.reference, backingFormat: qemuName(backing.node.kind) },
    })
    case 'vhd': return backing === null ? createWholeVhd(file, size, options.thick === true) : createVhdOver(file, size, options, backing)
    case 'vmdk':
      if (options.thick === true) throw refuse('a VMDK made here is thin')
      return createVmdk(file, { size, contentId: newContentId(), ...backing === null ? {} : { parent: vmdkParent(file, backing, size) } })
  }
}

/** Zeros in pieces of 4 MiB take room without a hole, and let the work be followed. */
async function createRaw(file: StorageFile, size: number, thick: boolean): Promise<void> {
  const node = await RawNode.create(file, size)
  if (!thick) return
  const zeros = new Uint8Array(4 << 20)
  for (let at = 0; at < size; at += zeros.length) await node.write(at, [zeros.subarray(0, Math.min(zeros.length, size - at))])
  await file.flush()
}

async function createWholeVhd(file: StorageFile, size: number, thick: boolean): Promise<void> {
  await createVhd(file, { type: thick ? 'fixed' : 'dynamic', size, uniqueId: randomBytes(16), time: now() })
  if (!thick) return
  const zeros = new Uint8Array(4 << 20)
  for (let at = 0; at < size; at += zeros.length) await file.write(at, [zeros.subarray(0, Math.min(zeros.length, size - at))])
  await file.flush()
}

async function createVhdOver(file: StorageFile, size: number, { thick }: CreateDiskOptions, { node, path, reference, modified }: Backing): Promise<void> {
  if (thick === true) throw storageError('DISK_UNSUPPORTED', 'a disk with a backing file is thin: leave out one of the two')
  if (!(node instanceof VhdFixedNode || node instanceof VhdDynamicNode)) throw otherFormat(path, node, 'vhd')
  if (node.size !== size) throw otherSize(path, node, 'VHD')
  const place = isAbsolute(reference) ? { relativePath: relative(dirname(file.path), reference), absolutePath: reference } : { relativePath: reference }
  await createDifferencingVhd(file, { size, uniqueId: randomBytes(16), time: now(), parent: { ...place, uniqueId: node.uniqueId, time: modified } })
}

/** A parent has to be in the disk's folder or below: readers do not follow paths that lead out. */
function vmdkParent(file: StorageFile, { node, path }: Backing, size: number): { fileNameHint: string, contentId: number } {
  if (!(node instanceof VmdkNode)) throw otherFormat(path, node, 'vmdk')
  if (node.size !== size) throw otherSize(path, node, 'VMDK')
  const fileNameHint = relative(dirname(file.path), resolve(path))
  if (fileNameHint.startsWith('..')) throw storageError('DISK_UNSUPPORTED', `a VMDK's backing file lies in its folder, and ${path} does not: make the new disk beside it`)
  return { fileNameHint, contentId: node.contentId }
}

function otherFormat(path: string, { kind }: BlockNode, format: string): Error {
  return storageError('DISK_UNSUPPORTED', `${path} is a ${kind}, and a ${format} stands on its like only: make a qcow2, or convert ${path} first`)
}

function otherSize(path: string, { size }: BlockNode, what: string): Error {
  return storageError('DISK_UNSUPPORTED', `a ${what} has the size of its backing file: ${path} has ${size} bytes, so leave the size out`)
}

/** Makes an empty disk of a file and opens it, to be filled by `copyNode`. `size` in bytes; it reads as zeros. The node owns the file. */
export async function createTarget(file: StorageFile, format: FormatName, size: number, options: { readonly thick?: boolean } = {}): Promise<BlockNode> {
  await createFormat(file, { format, thick: options.thick }, size, null)
  const context = {
    readOnly: false, environment: hostEnvironment(),
    openBacking: () => Promise.reject(storageError('DISK_CORRUPT', `${file.path} is new and has no backing file`)),
    openPart: () => Promise.reject(storageError('DISK_CORRUPT', `${file.path} is new and has no other files`)),
  }
  switch (format) {
    case 'raw': return new RawNode(file)
    case 'qcow2': return Qcow2Node.open(file)
    case 'vhd': return openVhd(file, context)
    case 'vmdk': return openVmdk(file, context)
  }
}

/** Not one of the two numbers that mean something else. */
export function newContentId(): number { return randomBytes(4).readUInt32LE() & 0x7fffffff }

function now(): number { return Math.floor(Date.now() / 1000) }
