/** What a guest left behind: its records, decoded, and how it ended. */
import type { Address } from './assembler.ts'
import type { Guest } from './monitor.ts'
import { RECORD_FIELDS, RECORD_SIZE } from './record.ts'

/** `exit`: the guest ended itself. `shutdown`: a triple fault. `halted`: it waits for ever. `hung`: it did not end in time. */
export type Ending = 'exit' | 'shutdown' | 'reset' | 'halted' | 'hung'

export interface Outcome {
  readonly ending: Ending
  readonly records: readonly GuestRecord[]
}

/** A record by field; addresses are unsigned, `error` is -1n where there is none. */
export type GuestRecord = Readonly<Record<string, bigint>>

export function decodeRecords(bytes: Uint8Array): GuestRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: Math.floor(bytes.length / RECORD_SIZE) }, (_, n) => decodeRecord(view, n * RECORD_SIZE))
}

function decodeRecord(view: DataView, from: number): GuestRecord {
  const raw = Object.fromEntries(RECORD_FIELDS.map((name, n) => [name, view.getBigUint64(from + n * 8, true)]))
  const part = (name: string, shift: number, bits: number): bigint => BigInt.asUintN(bits, raw[name] >> BigInt(shift))
  const { rip, flags, rsp, cr2, rax, rbx, rcx, rdx, rsi, rdi, rbp, dr6 } = raw
  return {
    probe: part('probe', 0, 32), vector: part('probe', 32, 32), error: part('error', 0, 32) === 0xffffffffn ? -1n : raw.error,
    rip, cs: part('selectors', 0, 16), ss: part('selectors', 32, 16), flags, rsp, cr2, rax, rbx, rcx, rdx, rsi, rdi, rbp, dr6,
    frame: part('handler', 0, 32), handlerSs: part('handler', 32, 16),
    ds: part('segments', 0, 16), es: part('segments', 16, 16), fs: part('segments', 32, 16), gs: part('segments', 48, 16),
  }
}

const ARITHMETIC_FLAGS = 0x8d5

/** What differs from the guest's expectations, a line each. */
export function judge(guest: Guest, outcome: Outcome): string[] {
  const lines = guest.ending === outcome.ending ? [] : [`ended with ${outcome.ending} instead of ${guest.ending}`]
  guest.expected.forEach(({ name, expect }, n) => {
    const record = outcome.records[n]
    if (record === undefined) lines.push(`${name}: no record`)
    else if (record.probe !== BigInt(n)) lines.push(`${name}: the record is of probe ${record.probe}`)
    else lines.push(...differences(guest, name, expect as Record<string, unknown>, record))
  })
  if (outcome.records.length > guest.expected.length) lines.push(
    `${outcome.records.length - guest.expected.length} records too many`,
  )
  return lines
}

function differences(guest: Guest, name: string, expect: Record<string, unknown>, record: GuestRecord): string[] {
  const mask = BigInt((expect.flagsMask as number | undefined) ?? ~ARITHMETIC_FLAGS & 0x3fffff)
  return Object.entries(expect).flatMap(([field, wanted]) => {
    if (field === 'flagsMask' || wanted === undefined) return []
    const value = resolve(guest, wanted)
    const got = record[field]
    const same = field === 'flags' ? ((got ^ value) & mask) === 0n : got === value
    return same ? [] : [
      `${name}: ${field} ${hex(got)}, should be ${hex(value)}${field === 'vector' ? ` (${describe(record)})` : ''}`,
    ]
  })
}

function describe(record: GuestRecord): string {
  return ['error', 'cs', 'rip', 'flags', 'ss', 'rsp', 'cr2'].map((field) => `${field} ${hex(record[field])}`).join(', ')
}

const hex = (value: bigint): string => value < 0n ? 'none' : `0x${value.toString(16)}`

function resolve(guest: Guest, wanted: unknown): bigint {
  if (typeof wanted === 'object' && wanted !== null && 'label' in wanted) return BigInt(guest.a.resolve(wanted as Address))
  const value = BigInt(wanted as number | bigint)
  return value === -1n ? value : BigInt.asUintN(64, value)
}

/** Fields in which two runs of a guest differ, a line each; `ignored` says which fields of which probe do not count. */
export function compareRuns(guest: Guest, mine: Outcome, other: Outcome, ignored: (probe: string) => readonly string[]): string[] {
  if (mine.ending !== other.ending) return [`ended with ${mine.ending}, there with ${other.ending}`]
  if (mine.ending === 'shutdown') return []
  const lines = mine.records.length === other.records.length ? [] : [
    `${mine.records.length} records, there ${other.records.length}`,
  ]
  guest.expected.forEach(({ name }, n) => {
    const [a, b] = [mine.records[n], other.records[n]]
    if (a === undefined || b === undefined) return
    const skipped = ignored(name)
    const fields = Object.keys(a).filter(
      (field) => !skipped.includes(field) && significant(field, a[field]) !== significant(field, b[field]),
    )
    if (fields.length > 0 && !skipped.includes('all')) {
      lines.push(`${name}: ${fields.map((field) => `${field} ${hex(a[field])}, there ${hex(b[field])}`).join('; ')}`)
    }
  })
  return lines
}

/** Arithmetic flags are other tests' affair, and QEMU never sets RF in the flags that it pushes. */
const significant = (field: string, value: bigint): bigint =>
  field === 'flags' ? value & ~BigInt(ARITHMETIC_FLAGS | 0x10000) : value
