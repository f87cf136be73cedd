import type { StateReader } from '../../machine/state-reader.ts'
import { TEMPERATURE } from './features.ts'

/**
 * Log pages. Source: NVM Express Base Specification 1.4, §5.14.1.
 *
 *   01h error information, 64 bytes an entry, the newest first   02h SMART / health   03h firmware slots   05h commands supported
 *
 * Left out on purpose: those that only features and commands would fill which this controller does not have.
 */
export const LogPage = { ERROR_INFORMATION: 0x01, SMART: 0x02, FIRMWARE_SLOTS: 0x03, COMMANDS_SUPPORTED: 0x05 } as const

export const ERROR_LOG_ENTRIES = 16
const ERROR_ENTRY = 64
const SMART_SIZE = 512
const COMMANDS_SIZE = 4096
/** A data unit is a thousand times 512 bytes. */
const DATA_UNIT = 512_000
const SPARE_PERCENT = 100
const SPARE_THRESHOLD = 10
const COMMAND_SUPPORTED = 1
const CHANGES_CONTENT = 2
const IO_COMMANDS_OFFSET = 1024
const NANOSECONDS_PER_HOUR = 3_600_000_000_000

export type ErrorEntry = {
  readonly submissionQueue: number
  readonly commandId: number
  readonly status: number
  readonly namespaceId: number
  readonly block: number
}

/** Counted since the controller was made. */
const COUNTERS = ['bytesRead', 'bytesWritten', 'reads', 'writes', 'mediaErrors', 'errors'] as const
type Counter = (typeof COUNTERS)[number]

export class ControllerLog {
  readonly counts: Record<Counter, number> = { bytesRead: 0, bytesWritten: 0, reads: 0, writes: 0, mediaErrors: 0, errors: 0 }
  private entries: ErrorEntry[] = []

  recordError(entry: ErrorEntry): void {
    this.counts.errors++
    this.entries = [entry, ...this.entries].slice(0, ERROR_LOG_ENTRIES)
  }

  recordTransfer(direction: 'read' | 'write', bytes: number): void {
    this.counts[direction === 'read' ? 'reads' : 'writes']++
    this.counts[direction === 'read' ? 'bytesRead' : 'bytesWritten'] += bytes
  }

  errorInformation(): Uint8Array {
    const bytes = new Uint8Array(ERROR_LOG_ENTRIES * ERROR_ENTRY)
    const view = new DataView(bytes.buffer)
    this.entries.forEach((entry, index) => {
      const at = index * ERROR_ENTRY
      setCount(view, at, this.counts.errors - index)
      view.setUint16(at + 8, entry.submissionQueue, true)
      view.setUint16(at + 10, entry.commandId, true)
      view.setUint16(at + 12, entry.status << 1, true)
      view.setUint16(at + 14, 0xffff, true) // no parameter is named
      setCount(view, at + 16, entry.block)
      view.setUint32(at + 24, entry.namespaceId, true)
    })
    return bytes
  }

  smart(criticalWarning: number, now: number): Uint8Array {
    const bytes = new Uint8Array(SMART_SIZE)
    const view = new DataView(bytes.buffer)
    bytes[0] = criticalWarning
    view.setUint16(1, TEMPERATURE, true)
    bytes.set([SPARE_PERCENT, SPARE_THRESHOLD], 3)
    setCount(view, 32, Math.ceil(this.counts.bytesRead / DATA_UNIT))
    setCount(view, 48, Math.ceil(this.counts.bytesWritten / DATA_UNIT))
    setCount(view, 64, this.counts.reads)
    setCount(view, 80, this.counts.writes)
    setCount(view, 128, now / NANOSECONDS_PER_HOUR)
    setCount(view, 160, this.counts.mediaErrors)
    setCount(view, 176, this.counts.errors)
    return bytes
  }

  save(): { counts: Record<Counter, number>, entries: ErrorEntry[] } { return { counts: { ...this.counts }, entries: [...this.entries] } }

  restore(state: StateReader): void {
    const counts = state.child('counts')
    for (const name of COUNTERS) this.counts[name] = counts.integer(name, 0, Number.MAX_SAFE_INTEGER)
    this.entries = state.childrenAtMost('entries', ERROR_LOG_ENTRIES).map((entry) => ({
      submissionQueue: entry.u16('submissionQueue'), commandId: entry.u16('commandId'), status: entry.integer('status', 0, 0x7fff),
      namespaceId: entry.u32('namespaceId'), block: entry.integer('block', 0, Number.MAX_SAFE_INTEGER),
    }))
  }

  reset(): void {
    for (const name of COUNTERS) this.counts[name] = 0
    this.entries = []
  }
}

export function firmwareSlots(firmware: string): Uint8Array {
  const bytes = new Uint8Array(SMART_SIZE)
  bytes[0] = 1 // slot 1 is active
  bytes.fill(0x20, 8, 16)
  for (let index = 0; index < firmware.length && index < 8; index++) bytes[8 + index] = firmware.charCodeAt(index)
  return bytes
}

export function commandsSupported(admin: Iterable<number>, io: Iterable<number>, changing: ReadonlySet<number>): Uint8Array {
  const bytes = new Uint8Array(COMMANDS_SIZE)
  for (const opcode of admin) bytes[4 * opcode] = COMMAND_SUPPORTED
  for (const opcode of io) bytes[IO_COMMANDS_OFFSET + 4 * opcode] = COMMAND_SUPPORTED | (changing.has(opcode) ? CHANGES_CONTENT : 0)
  return bytes
}

function setCount(view: DataView, offset: number, count: number): void { view.setBigUint64(offset, BigInt(Math.floor(count)), true) }
