/**
 * Entries of a refcount block: 2^order bits each. Below a byte, the first entry is in the least significant bits. (QEMU
 * docs/interop/qcow2.txt, section "Host cluster management", "Refcount block entry".)
 */

/** Bytes that hold whole blocks or pages of them: a power of two of entries, so that a cluster's number alone gives the place. */
export interface Entries {
  readonly bytes: Uint8Array
  readonly view: DataView
}

/** Counts from 2^53 on are read as 2^53 - 1. */
export function readCount({ bytes, view }: Entries, cluster: number, order: number): number {
  const index = entryIndex(bytes, cluster, order)
  switch (order) {
    case 3: return bytes[index]
    case 4: return view.getUint16(index * 2)
    case 5: return view.getUint32(index * 4)
    case 6: return Math.min(view.getUint32(index * 8) * 2 ** 32 + view.getUint32(index * 8 + 4), Number.MAX_SAFE_INTEGER)
    default: return (bytes[index >>> (3 - order)] >>> bitOf(index, order)) & maskOf(order)
  }
}

export function writeCount({ bytes, view }: Entries, cluster: number, order: number, count: number): void {
  const index = entryIndex(bytes, cluster, order)
  switch (order) {
    case 3:
      bytes[index] = count
      break
    case 4:
      view.setUint16(index * 2, count)
      break
    case 5:
      view.setUint32(index * 4, count)
      break
    case 6:
      view.setUint32(index * 8, Math.floor(count / 2 ** 32))
      view.setUint32(index * 8 + 4, count % 2 ** 32)
      break
    default: {
      const byte = index >>> (3 - order)
      const shift = bitOf(index, order)
      bytes[byte] = (bytes[byte] & ~(maskOf(order) << shift)) | (count << shift)
    }
  }
}

function entryIndex(bytes: Uint8Array, cluster: number, order: number): number { return cluster % (bytes.length * 8 / 2 ** order) }

function bitOf(index: number, order: number): number { return (index & ((8 >>> order) - 1)) << order }

function maskOf(order: number): number { return (1 << (1 << order)) - 1 }
