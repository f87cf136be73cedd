/**
 * Master boot records: the protective one of a GUID partition table (UEFI 2.10 §5.2.3), and reading those of older disks, with the chain
 * of extended ones (as Linux does, block/partitions/msdos.c). Little-endian; sectors are the disk's blocks.
 *
 *   440 signature of the disk u32, 446 four entries, 510 0x55, 0xaa
 *   entry   0 status (0x80: boot from here), 4 type, 8 first sector u32, 12 sectors u32
 *
 * Left out on purpose: cylinders, heads and sectors, which nothing reads any more; writing MBRs that are more than protective.
 */
import { storageError } from '../errors.ts'
import { checkOverlaps } from './gpt.ts'
import type { Partition } from './partition.ts'

export const MBR_SIZE = 512
const FIRST_ENTRY = 446
const ENTRY_SIZE = 16
const PRIMARY = 4
const PROTECTIVE = 0xee
const EXTENDED = [0x05, 0x0f, 0x85]
const FIRST_LOGICAL = 5
const MOST_LOGICAL = 128
const LARGEST_SECTORS = 0xffffffff

/** @param sectors of the whole disk */
export function encodeProtectiveMbr(sectors: number): Uint8Array {
  const bytes = new Uint8Array(MBR_SIZE)
  const view = new DataView(bytes.buffer)
  bytes.set([0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff], FIRST_ENTRY)
  view.setUint32(FIRST_ENTRY + 8, 1, true)
  view.setUint32(FIRST_ENTRY + 12, Math.min(sectors - 1, LARGEST_SECTORS), true)
  bytes.set([0x55, 0xaa], 510)
  return bytes
}

interface Entry {
  readonly type: number
  readonly first: number
  readonly sectors: number
}

/** The four entries, or undefined if the sector is none of these: it may be a file system's. */
export function decodeMbr(bytes: Uint8Array): Entry[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, MBR_SIZE)
  const offsets = Array.from({ length: PRIMARY }, (_, index) => FIRST_ENTRY + index * ENTRY_SIZE)
  const isSigned = bytes[510] === 0x55 && bytes[511] === 0xaa
  if (!isSigned || !offsets.every(offset => (bytes[offset] & 0x7f) === 0)) return undefined
  return offsets.map((offset) => {
    const [first, sectors] = [8, 12].map(field => view.getUint32(offset + field, true))
    return { type: bytes[offset + 4], first, sectors }
  })
}

export const isProtective = (entries: readonly Entry[]): boolean => entries.some(({ type }) => type === PROTECTIVE)
const isUsed = ({ type, sectors }: Entry): boolean => type !== 0 && sectors > 0
const isExtended = ({ type }: Entry): boolean => EXTENDED.includes(type)

/**
 * @param bytes the first sector
 * @param readSector reads another one
 * @throws TenonError DISK_CORRUPT, and what `readSector` throws
 */
export async function readMbr(
  bytes: Uint8Array, entries: readonly Entry[], { size, blockSize }: { readonly size: number, readonly blockSize: number },
  readSector: (sector: number) => Promise<Uint8Array>,
): Promise<Partition[]> {
  const signature = new DataView(bytes.buffer, bytes.byteOffset).getUint32(440, true)
  const used = entries.map((entry, index) => ({ entry, number: index + 1 })).filter(({ entry }) => isUsed(entry))
  const logical = await readLogical(used.find(({ entry }) => isExtended(entry))?.entry, readSector)
  const numbered = logical.map((entry, index) => ({ entry, number: FIRST_LOGICAL + index }))
  const all = [...used.filter(({ entry }) => !isExtended(entry)), ...numbered]
  const partitions = all.map(({ entry: { type, first, sectors }, number }) => ({
    number, offset: first * blockSize, size: sectors * blockSize, type: hexadecimal(type, 2), name: '', attributes: 0n,
    guid: `${hexadecimal(signature, 8)}-${hexadecimal(number, 2)}`,
  }))
  const outside = partitions.find(({ offset, size: length }) => offset === 0 || offset + length > size)
  if (outside !== undefined) {
    throw storageError('DISK_CORRUPT', `partition ${outside.number} is not inside the disk: its table is damaged, or the disk was cut off`)
  }
  checkOverlaps(partitions)
  return partitions
}

/** The partitions in an extended one: a chain of records, each with one partition and the place of the next record. */
async function readLogical(extended: Entry | undefined, readSector: (sector: number) => Promise<Uint8Array>): Promise<Entry[]> {
  const found: Entry[] = []
  if (extended === undefined) return found
  let next: number | undefined = extended.first
  for (let records = 0; next !== undefined; records++) {
    if (records === MOST_LOGICAL) throw endless()
    const at: number = next
    const [partition, link] = decodeMbr(await readSector(at)) ?? []
    if (partition === undefined) return found
    if (isUsed(partition) && !isExtended(partition)) found.push({ ...partition, first: at + partition.first })
    next = isUsed(link) && isExtended(link) ? extended.first + link.first : undefined
  }
  return found
}

function endless(): Error {
  return storageError('DISK_CORRUPT', 'the chain of extended partitions has no end: the disk\'s partition table is damaged')
}

const hexadecimal = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')
