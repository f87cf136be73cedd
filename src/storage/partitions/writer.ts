/** Puts a GUID partition table (gpt.ts) onto a disk. The same plan, sizes and GUIDs give the same bytes. */
import type { BlockNode } from '../block-node.ts'
import { crc32 } from '../../base/crc32.ts'
import { storageError } from '../errors.ts'
import { encodeEntries, encodeHeader, ENTRIES, ENTRY_SIZE, NAME_LENGTH } from './gpt.ts'
import { encodeProtectiveMbr } from './mbr.ts'
import type { Partition } from './partition.ts'

export interface PartitionPlan {
  /** See PartitionType. */
  readonly type: string
  readonly guid: string
  /** At most 36 characters. */
  readonly name?: string
  /** Bytes, rounded up to whole blocks. Of the last only it may be left out: it has the rest. */
  readonly size?: number
  /** See UEFI 2.10 §5.3.3. */
  readonly attributes?: bigint
}

export interface GptOptions {
  /** Of the disk. */
  readonly guid: string
  /** In the order in which they stand. */
  readonly partitions: readonly PartitionPlan[]
  /** Bytes of the disk's blocks, as the guest will see them: 512 (default) or 4096. */
  readonly blockSize?: number
}

/** Partitions begin at multiples of it, as those of all current tools do. */
const ALIGNMENT = 1 << 20

export type PartitionTarget = Pick<BlockNode, 'size' | 'write'>

/**
 * Writes the table, both copies of it, and says where the partitions are. Nothing else of the disk is written.
 * @throws TenonError DISK_DESCRIPTION_INVALID (a plan that is not possible), FILESYSTEM_TOO_SMALL (the disk is too small for it), and what
 *   the target throws
 */
export async function writeGpt(target: PartitionTarget, { guid, partitions: plans, blockSize = 512 }: GptOptions): Promise<Partition[]> {
  const blocks = Math.floor(target.size / blockSize)
  const tableBlocks = Math.ceil(ENTRIES * ENTRY_SIZE / blockSize)
  const [firstUsable, lastUsable] = [2 + tableBlocks, blocks - 2 - tableBlocks]
  const partitions = place(plans, blockSize, (lastUsable + 1) * blockSize)
  const entries = encodeEntries(partitions, blockSize)
  const common = { firstUsable, lastUsable, guid, entries: ENTRIES, entrySize: ENTRY_SIZE, entriesChecksum: crc32(entries) }
  const backup = { ...common, block: blocks - 1, otherBlock: 1, entriesBlock: lastUsable + 1 }
  await target.write(backup.entriesBlock * blockSize, [entries])
  await target.write(backup.block * blockSize, [encodeHeader(backup, blockSize)])
  await target.write(2 * blockSize, [entries])
  await target.write(blockSize, [encodeHeader({ ...common, block: 1, otherBlock: blocks - 1, entriesBlock: 2 }, blockSize)])
  await target.write(0, [encodeProtectiveMbr(blocks)])
  return partitions
}

/** @param end of what partitions may take, in bytes */
function place(plans: readonly PartitionPlan[], blockSize: number, end: number): Partition[] {
  if (plans.length > ENTRIES) {
    throw storageError('DISK_DESCRIPTION_INVALID', `a disk has at most ${ENTRIES} partitions, not ${plans.length}`)
  }
  let offset = ALIGNMENT
  return plans.map((plan, index) => {
    const { type, guid, name = '', attributes = 0n } = plan
    const number = index + 1
    if (name.length > NAME_LENGTH) throw invalid(number, `has a name of more than ${NAME_LENGTH} characters: ${JSON.stringify(name)}`)
    const size = sizeOf(plan, number, number === plans.length, blockSize, end - offset)
    const partition = { number, offset, size, type, guid, name, attributes }
    offset = Math.ceil((offset + size) / ALIGNMENT) * ALIGNMENT
    return partition
  })
}

function sizeOf({ size }: PartitionPlan, number: number, isLast: boolean, blockSize: number, room: number): number {
  if (size === undefined && !isLast) throw invalid(number, 'needs a size: only the last can have the rest of the disk')
  const isSize = size === undefined || (Number.isSafeInteger(size) && size > 0)
  if (!isSize) throw invalid(number, `cannot have ${size} bytes`)
  const all = Math.max(blockSize, Math.floor(room / blockSize) * blockSize)
  const wanted = size === undefined ? all : Math.ceil(size / blockSize) * blockSize
  if (wanted <= room) return wanted
  const left = Math.max(0, room)
  throw storageError('FILESYSTEM_TOO_SMALL', `partition ${number} needs ${wanted} bytes, and the disk has ${left} left: make it larger`)
}

function invalid(number: number, what: string): Error {
  return storageError('DISK_DESCRIPTION_INVALID', `partition ${number} ${what}`)
}
