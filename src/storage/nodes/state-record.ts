/**
 * A small record of a node's own state, that survives a crash while it is written: two slots in turn, each with a sequence number and a
 * checksum. Reading takes the newer of those that are whole.
 *
 *     slot    offset 0   magic, 8 bytes
 *             8          version, 32 bits
 *             12         length of the payload, 32 bits
 *             16         sequence number, 64 bits
 *             24         CRC-32 of the bytes before and of the payload, 32 bits
 *             32         payload
 *
 * Numbers are little-endian. The second slot begins where the longest payload ends, at a multiple of 4096.
 */
import { crc32 } from '../../base/crc32.ts'
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'

const HEADER = 32
const VERSION = 1

export interface RecordOptions {
  /** Eight characters. */
  readonly magic: string
  /** What messages call it: `state of the mirror`. */
  readonly what: string
  /** Bytes of the longest payload. */
  readonly capacity: number
}

export class StateRecord {
  private readonly file: StorageFile
  private readonly options: RecordOptions
  private readonly slotSize: number
  private sequence = 0
  private last: Promise<void> = Promise.resolve()
  private next: Promise<void> | null = null

  private constructor(file: StorageFile, options: RecordOptions) {
    this.file = file
    this.options = options
    this.slotSize = Math.ceil((HEADER + options.capacity) / 4096) * 4096
  }

  /** A record in a new file; nothing is in it until it is saved. */
  static create(file: StorageFile, options: RecordOptions): StateRecord { return new StateRecord(file, options) }

  /** Bytes at the file's start that the record takes, for what is stored behind it. */
  get size(): number { return this.slotSize * 2 }

  /** Rejects with DISK_UNKNOWN_FORMAT or DISK_CORRUPT. */
  static async open(file: StorageFile, options: RecordOptions): Promise<{ readonly record: StateRecord, readonly payload: Uint8Array }> {
    const record = new StateRecord(file, options)
    const slots = [await record.readSlot(0), await record.readSlot(1)].filter(slot => slot !== null)
    const newest = slots.sort((a, b) => b.sequence - a.sequence)[0]
    if (newest === undefined) {
      throw storageError('DISK_CORRUPT', `${file.path} has no whole ${options.what}: it is another file, or is damaged`)
    }
    record.sequence = newest.sequence
    return { record, payload: newest.payload }
  }

  /**
   * Writes what `build` returns when its turn comes, and flushes the file. Calls that come meanwhile share one writing.
   */
  save(build: () => Uint8Array): Promise<void> {
    this.next ??= this.last.then(() => {
      this.next = null
      const written = this.write(build())
      this.last = written.catch(() => {})
      return written
    })
    return this.next
  }

  /** One that fails may have left half a slot: it is written again next time, and the other one is still whole. */
  private async write(payload: Uint8Array): Promise<void> {
    const slot = new Uint8Array(HEADER + payload.length)
    const view = new DataView(slot.buffer)
    for (let at = 0; at < 8; at++) slot[at] = this.options.magic.charCodeAt(at)
    view.setUint32(8, VERSION, true)
    view.setUint32(12, payload.length, true)
    view.setBigUint64(16, BigInt(this.sequence + 1), true)
    slot.set(payload, HEADER)
    view.setUint32(24, checksum(slot), true)
    await this.file.write((this.sequence + 1) % 2 * this.slotSize, [slot])
    await this.file.flush()
    this.sequence++
  }

  private async readSlot(index: number): Promise<{ readonly sequence: number, readonly payload: Uint8Array } | null> {
    const bytes = new Uint8Array(this.slotSize)
    await this.file.read(index * this.slotSize, [bytes])
    const view = new DataView(bytes.buffer)
    if (String.fromCharCode(...bytes.subarray(0, 8)) !== this.options.magic) return null
    const length = view.getUint32(12, true)
    if (length > this.options.capacity || view.getUint32(24, true) !== checksum(bytes.subarray(0, HEADER + length))) return null
    const version = view.getUint32(8, true)
    if (version !== VERSION) {
      throw storageError('DISK_UNSUPPORTED', `${this.file.path}: the ${this.options.what} has version ${version}, not ${VERSION}`)
    }
    const sequence = view.getBigUint64(16, true)
    return sequence > BigInt(Number.MAX_SAFE_INTEGER) ? null : { sequence: Number(sequence), payload: bytes.slice(HEADER, HEADER + length) }
  }
}

function checksum(slot: Uint8Array): number { return crc32(slot.subarray(HEADER), crc32(slot.subarray(0, 24))) }
