import type { BlockNode } from '../block-node.ts'
import type { DiskFormat, FormatContext, StorageEnvironment } from '../format.ts'
import type { StorageFile } from '../storage-file.ts'
import type { Decompressors } from './compressed.ts'
import { isQcow2, readHeader } from './header.ts'
import { Qcow2Node } from './node.ts'
import { zstdFrame } from './zstd-frame.ts'

/** qcow2, as `openDisk` knows it: the backing file that the header names is opened too. */
export const QCOW2: DiskFormat = {
  name: 'qcow2',
  recognises: ({ head }) => isQcow2(head),
  open,
}

async function open(file: StorageFile, context: FormatContext): Promise<BlockNode> {
  const header = await readHeader(file)
  const { backingFile, backingFormat } = header
  const backing = context.backing ?? (backingFile === null ? null : await context.openBacking(backingFile, backingFormat))
  const decompressors = decompressorsOf(context.environment)
  return Qcow2Node.open(file, { readOnly: context.readOnly, backing, decompressors }, header)
}

/** The environment's decompressors, as qcow2 needs them. */
export function decompressorsOf({ decompress }: Pick<StorageEnvironment, 'decompress'>): Decompressors {
  if (decompress === undefined) return {}
  return { zlib: decompress.deflate, zstd: (data, length) => decompress.zstd(zstdFrame(data) ?? data, length) }
}
