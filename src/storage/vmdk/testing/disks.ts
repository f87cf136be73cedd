import { inflateSync } from 'node:zlib'
import type { BlockNode } from '../../block-node.ts'
import { storageError } from '../../errors.ts'
import type { FormatContext } from '../../format.ts'
import type { MemoryStore } from '../../testing/memory-file.ts'
import { formatDescriptor, type ExtentLine } from '../descriptor.ts'
import { openVmdk } from '../open.ts'

/** What opening needs, from the files of a store. */
export function contextOf(store: MemoryStore, readOnly = false): FormatContext {
  return {
    readOnly,
    environment: {
      openFile: async (path, options) => store.file(path, options.readOnly), resolvePath: async (_, reference) => reference,
      decompress: { deflate: refuse, zstd: refuse, zlib },
    },
    openBacking: (reference): Promise<BlockNode> => {
      if (!store.has(reference)) throw storageError('DISK_NOT_FOUND', `${reference} is not there`)
      return openVmdk(store.file(reference, true), contextOf(store, true))
    },
    openPart: async (reference, onlyReads) => {
      if (!store.has(reference)) throw storageError('DISK_NOT_FOUND', `${reference} is not there`)
      return store.file(reference, onlyReads)
    },
  }
}

function refuse(): never { throw new Error('VMDKs are compressed by zlib') }

function zlib(bytes: Uint8Array, length: number): Uint8Array {
  const inflated = inflateSync(bytes, { maxOutputLength: length })
  if (inflated.length !== length) throw new Error('another length')
  return new Uint8Array(inflated)
}

export function writeDescriptor(store: MemoryStore, name: string, createType: string, extents: readonly ExtentLine[]): void {
  const text = formatDescriptor({ createType, contentId: 0x1234, parent: null, extents, adapterType: 'ide' })
  store.setBytes(name, new TextEncoder().encode(text))
}
