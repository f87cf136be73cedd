import type { BlockBackend } from '../../../machine/block.ts'
import { DISK_LIMITS } from '../disk-limits.ts'
import type { DiskRange } from '../disk-transfer.ts'
import { Command } from './command-block.ts'
import type { CommandBlock } from './command-block.ts'
import { modePages, standardInquiry, vitalProductData } from './inquiry.ts'
import { Senses, senseData } from './sense.ts'
import type { Sense } from './sense.ts'

/**
 * A disk as a SCSI logical unit: what each command means. Sources: SBC-3 chapter 5, SPC-4 chapter 6.
 *
 * Nothing is done here; a command's outcome is what the device function is to do.
 *
 * Left out on purpose: MODE SELECT (nothing can be changed), VERIFY, COMPARE AND WRITE, reservations, unit attentions.
 */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed', readonly sense: Sense }
  /** Bytes for the initiator, as long as the allocation length allows. */
  | { readonly kind: 'data', readonly bytes: Uint8Array }
  | TransferOutcome
  | { readonly kind: 'flush' }
  | { readonly kind: 'ranges', readonly operation: 'discard' | 'write-zeroes', readonly ranges: readonly DiskRange[] }
  | PatternOutcome

export interface TransferOutcome {
  readonly kind: 'transfer'
  readonly operation: 'read' | 'write'
  readonly offset: number
  readonly length: number
  readonly forceUnitAccess: boolean
}

/** The same block all over. */
export interface PatternOutcome {
  readonly kind: 'pattern'
  readonly offset: number
  readonly length: number
  readonly block: Uint8Array
}

/** The initiator's data. */
export interface DataOut {
  readonly length: number
  read(offset: number, into: Uint8Array): number
}

/** Bytes of some blocks, or why they cannot be used. */
interface Place { readonly offset: number, readonly length: number, readonly sense?: Sense }

const DONE: Outcome = { kind: 'done' }
const FORCE_UNIT_ACCESS = 0x08
const UNMAP_HEADER = 8
const UNMAP_DESCRIPTOR = 16

export class LogicalUnit {
  readonly disk: BlockBackend

  constructor(disk: BlockBackend) { this.disk = disk }

  execute(command: CommandBlock, data: DataOut): Outcome {
    switch (command.operationCode) {
      case Command.TEST_UNIT_READY: case Command.START_STOP_UNIT: return DONE
      case Command.REQUEST_SENSE: return dataOf(senseData(Senses.NONE), command.u8(4))
      case Command.INQUIRY: return this.inquire(command)
      case Command.MODE_SENSE_6: case Command.MODE_SENSE_10: return this.senseMode(command)
      case Command.READ_CAPACITY_10: return this.readCapacity10()
      case Command.SERVICE_ACTION_IN_16: return this.readCapacity16(command)
      case Command.READ_6: case Command.READ_10: case Command.READ_12: case Command.READ_16: return this.transfer(command, 'read')
      case Command.WRITE_6: case Command.WRITE_10: case Command.WRITE_12: case Command.WRITE_16: return this.transfer(command, 'write')
      case Command.SYNCHRONIZE_CACHE_10: case Command.SYNCHRONIZE_CACHE_16: return { kind: 'flush' }
      case Command.UNMAP: return this.unmap(command, data)
      case Command.WRITE_SAME_10: case Command.WRITE_SAME_16: return this.writeSame(command, data)
      default: return failed(Senses.INVALID_OPERATION_CODE)
    }
  }

  private inquire(command: CommandBlock): Outcome {
    const vital = (command.u8(1) & 1) !== 0
    if (!vital && command.u8(2) !== 0) return failed(Senses.INVALID_FIELD_IN_CDB)
    const bytes = vital ? vitalProductData(command.u8(2), this.disk) : standardInquiry(true)
    return bytes === undefined ? failed(Senses.INVALID_FIELD_IN_CDB) : dataOf(bytes, command.u16(3))
  }

  /** A header, then pages; without block descriptors. SPC-4 §7.5.5. */
  private senseMode(command: CommandBlock): Outcome {
    const short = command.operationCode === Command.MODE_SENSE_6
    const subpage = command.u8(3)
    const pages = subpage === 0 || subpage === 0xff ? modePages(command.u8(2) & 0x3f, command.u8(2) >> 6 === 1) : undefined
    if (pages === undefined) return failed(Senses.INVALID_FIELD_IN_CDB)
    const parameters = (this.disk.readOnly ? 0x80 : 0) | 0x10 // write protection; DPO and FUA are known
    const length = pages.length + (short ? 3 : 6)
    const header = short ? [length, 0, parameters, 0] : [length >> 8, length & 0xff, 0, parameters, 0, 0, 0, 0]
    return dataOf(Uint8Array.of(...header, ...pages), short ? command.u8(4) : command.u16(7))
  }

  private readCapacity10(): Outcome {
    const view = new DataView(new ArrayBuffer(8))
    view.setUint32(0, Math.min(this.lastBlock, 0xffffffff))
    view.setUint32(4, this.disk.blockSize)
    return { kind: 'data', bytes: new Uint8Array(view.buffer) }
  }

  /** SBC-3 §5.16: with the size of physical blocks, and LBPME. LBPRZ would promise zeros, which a discard does not. */
  private readCapacity16(command: CommandBlock): Outcome {
    if ((command.u8(1) & 0x1f) !== READ_CAPACITY_16) return failed(Senses.INVALID_FIELD_IN_CDB)
    const view = new DataView(new ArrayBuffer(32))
    view.setBigUint64(0, BigInt(this.lastBlock))
    view.setUint32(8, this.disk.blockSize)
    view.setUint8(13, Math.log2(DISK_LIMITS.GOOD_TRANSFER / this.disk.blockSize))
    view.setUint8(14, this.disk.readOnly ? 0 : 0x80)
    return dataOf(new Uint8Array(view.buffer), command.u32(10))
  }

  private transfer(command: CommandBlock, operation: 'read' | 'write'): Outcome {
    const long = command.operationCode >= 0x20
    const { offset, length, sense } = this.place(command.blocks(), operation === 'write')
    if (sense !== undefined) return failed(sense)
    if (length > DISK_LIMITS.TRANSFER || long && command.u8(1) >> 5 !== 0) return failed(Senses.INVALID_FIELD_IN_CDB)
    if (length === 0) return DONE
    return { kind: 'transfer', operation, offset, length, forceUnitAccess: long && (command.u8(1) & FORCE_UNIT_ACCESS) !== 0 }
  }

  /** SBC-3 §5.28. */
  private unmap(command: CommandBlock, data: DataOut): Outcome {
    const listed = Math.min(command.u16(7), data.length)
    if (listed === 0) return DONE
    const list = readUnmapList(data, listed)
    if (!Array.isArray(list)) return failed(list)
    const places = list.map((each) => this.place(each, true))
    const wrong = places.find(({ sense, length }) => sense !== undefined || length > DISK_LIMITS.DISCARD)
    if (wrong !== undefined) return failed(wrong.sense ?? Senses.INVALID_FIELD_IN_PARAMETER_LIST)
    const ranges = places.filter(({ length }) => length > 0).map(({ offset, length }) => ({ offset, length, mayUnmap: true }))
    return { kind: 'ranges', operation: 'discard', ranges }
  }

  /** SBC-3 §5.43: the block comes with the command, or is zeros (NDOB). */
  private writeSame(command: CommandBlock, data: DataOut): Outcome {
    const { blockSize } = this.disk
    const flags = command.u8(1)
    const { offset, length, sense } = this.place(command.blocks(), true)
    if (sense !== undefined) return failed(sense)
    const block = new Uint8Array(blockSize)
    const none = command.operationCode === Command.WRITE_SAME_16 && (flags & WriteSame.NDOB) !== 0
    const given = none ? blockSize : data.read(0, block)
    const impossible = (flags & WriteSame.UNKNOWN) !== 0 || given < blockSize
    if (impossible || length === 0 || length > DISK_LIMITS.TRANSFER) return failed(Senses.INVALID_FIELD_IN_CDB)
    if (block.some((byte) => byte !== 0)) return { kind: 'pattern', offset, length, block }
    return { kind: 'ranges', operation: 'write-zeroes', ranges: [{ offset, length, mayUnmap: (flags & WriteSame.UNMAP) !== 0 }] }
  }

  private get lastBlock(): number { return this.disk.size / this.disk.blockSize - 1 }

  private place({ block, count }: { readonly block: number, readonly count: number }, writes: boolean): Place {
    const { blockSize, size, readOnly } = this.disk
    const [offset, length] = [block * blockSize, count * blockSize]
    if (writes && readOnly) return { offset, length, sense: Senses.WRITE_PROTECTED }
    return offset + length > size || offset >= size ? { offset, length, sense: Senses.LBA_OUT_OF_RANGE } : { offset, length }
  }
}

const READ_CAPACITY_16 = 0x10

/** Flags of a WRITE SAME; those that nobody knows here are about protection and anchored blocks. */
const WriteSame = { NDOB: 0x01, UNMAP: 0x08, UNKNOWN: 0xf6 } as const

/** An UNMAP's parameter list: ranges of blocks, or what is wrong with it. SBC-3 §5.28.2. */
function readUnmapList(data: DataOut, listed: number): { readonly block: number, readonly count: number }[] | Sense {
  const view = new DataView(new ArrayBuffer(UNMAP_HEADER + DISK_LIMITS.DISCARD_SEGMENTS * UNMAP_DESCRIPTOR))
  const length = data.read(0, new Uint8Array(view.buffer, 0, Math.min(listed, view.byteLength)))
  if (length < UNMAP_HEADER) return Senses.PARAMETER_LIST_LENGTH_ERROR
  const count = view.getUint16(2) / UNMAP_DESCRIPTOR
  if (!Number.isInteger(count) || UNMAP_HEADER + count * UNMAP_DESCRIPTOR > length) return Senses.INVALID_FIELD_IN_PARAMETER_LIST
  return Array.from({ length: count }, (_, index) => {
    const at = UNMAP_HEADER + index * UNMAP_DESCRIPTOR
    return { block: view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4), count: view.getUint32(at + 8) }
  })
}

function failed(sense: Sense): Outcome { return { kind: 'failed', sense } }

export function dataOf(bytes: Uint8Array, allocationLength: number): Outcome {
  return { kind: 'data', bytes: bytes.subarray(0, allocationLength) }
}
