/**
 * A whole machine as plain data, and back. `Machine.save` and `Machine.restore` are the way in; how a snapshot becomes a file is in
 * file.ts.
 *
 * A snapshot says what the machine *is*: every part's state under its name, schema and version, and the memory that is not zero.
 * What follows from the configuration (wiring, back ends, ROM) or can be made again (translations, decoded code) is not in it.
 */
import type { FrameMap } from '../../machine/frame-map.ts'
import type { PlainData, SnapshotPart, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { modelFeatures } from '../../cpu/system/cpu-model.ts'
import type { CpuModel } from '../../cpu/system/cpu-model.ts'
import type { MachineLayout } from '../layout.ts'
import { snapshotError } from './errors.ts'
import { checkExtent, checkMemory, memoryExtents, restoreExtent, restoreMemory } from './memory.ts'
import type { MemoryExtent } from './memory.ts'

export const SNAPSHOT_FORMAT = 'tenon-machine'
/** Changes when this structure or what a layout means does; a part's own state has a version of its own. */
export const SNAPSHOT_VERSION = 3

/** What a machine must have in common with the one that was saved. */
export type SnapshotConfig = {
  /** Bytes of RAM. */
  readonly memory: number
  readonly vcpus: number
  readonly cpu: CpuModel
  /** What that model has, in order: `max` has more with time. */
  readonly features: readonly string[]
  /** Where everything stands, as in MachineLayout. */
  readonly layout: PlainData
  /** Disks behind its controllers, by their place. What is on them is not in a snapshot. */
  readonly disks: readonly DiskShape[]
}

/** What a guest knows of a disk, and would not expect to change. */
export type DiskShape = {
  /** Such as `nvme 0`. */
  readonly place: string
  /** Bytes. */
  readonly size: number
  readonly blockSize: number
  readonly readOnly: boolean
}

/** One part and its name in the machine: `com1` and `com2` have the same schema. */
export type NamedPart = SnapshotPart & { readonly name: string }

/** A snapshot; all of it plain data. */
export interface MachineSnapshot {
  readonly format: typeof SNAPSHOT_FORMAT
  readonly version: number
  readonly config: SnapshotConfig
  /** In the order in which they are restored. */
  readonly parts: readonly NamedPart[]
  readonly memory: readonly MemoryExtent[]
}

/** A snapshot whose memory is copied, or read, piece by piece. */
export interface StreamedSnapshot extends Omit<MachineSnapshot, 'memory'> {
  readonly memory: Iterable<MemoryExtent>
}

/** What snapshots need to know of a machine. */
export interface SnapshotSubject {
  readonly cpu: CpuModel
  readonly layout: MachineLayout
  readonly frames: FrameMap
  readonly disks: readonly DiskShape[]
  /** Parts by name, in the order in which they must be restored: what others ask while they are restored comes first. */
  readonly parts: Readonly<Record<string, Stateful>>
}

/** The machine must stand still: between two slices, with its clock paused. */
export function saveMachine(subject: SnapshotSubject): MachineSnapshot {
  const streamed = streamMachine(subject)
  return { ...streamed, memory: [...streamed.memory] }
}

/** As `saveMachine`; the machine must stand still until the last of its memory was taken. */
export function streamMachine(subject: SnapshotSubject): StreamedSnapshot {
  return {
    format: SNAPSHOT_FORMAT, version: SNAPSHOT_VERSION, config: configOf(subject),
    parts: Object.entries(subject.parts).map(([name, part]) => ({ name, schema: part.schema, version: part.version, state: part.save() })),
    memory: memoryExtents(subject.frames),
  }
}

/**
 * Prepares to restore: checks all that can be checked without changing the machine.
 * @returns what does it. If that throws, the machine is in no defined state.
 * @throws TenonError SNAPSHOT_INVALID, SNAPSHOT_VERSION or SNAPSHOT_MISMATCH.
 */
export function prepareRestore(subject: SnapshotSubject, snapshot: unknown): () => void {
  const restoreParts = prepareParts(subject, snapshot)
  const { memory } = asRecord(snapshot)
  checkMemory(subject.frames, memory)
  return () => {
    restoreMemory(subject.frames, memory)
    restoreParts()
  }
}

/**
 * Restores a machine from a snapshot that comes in pieces: `begin` with all but the memory, `take` each run of it, `finish`. What a run
 * of memory does not say about itself is checked before it is written, but the ones before it are there by then.
 */
export class StreamedRestore {
  private readonly subject: SnapshotSubject
  private readonly beforeChange: () => void
  private restoreParts: (() => void) | undefined
  private next = 0

  /** `beforeChange` is called before the machine changes, perhaps more than once. */
  constructor(subject: SnapshotSubject, beforeChange: () => void) {
    this.subject = subject
    this.beforeChange = beforeChange
  }

  /** @throws TenonError SNAPSHOT_INVALID, SNAPSHOT_VERSION or SNAPSHOT_MISMATCH. */
  begin(described: unknown): void { this.restoreParts = prepareParts(this.subject, described) }

  /** @throws TenonError SNAPSHOT_INVALID, POOL_EXHAUSTED. */
  take(extent: MemoryExtent): void {
    this.next = checkExtent(this.subject.frames, extent, this.next)
    this.beforeChange()
    restoreExtent(this.subject.frames, extent)
  }

  /** @throws TenonError SNAPSHOT_INVALID. */
  finish(): void {
    this.beforeChange()
    this.restoreParts!()
  }
}

/** Checks everything but the memory, and returns what restores the parts once that is there. */
function prepareParts(subject: SnapshotSubject, snapshot: unknown): () => void {
  const { parts } = subject
  const { config, parts: saved } = checkHead(snapshot)
  checkConfig(config, configOf(subject))
  const states = matchParts(parts, saved)
  return () => {
    for (const [name, part] of Object.entries(parts)) part.restore(states.get(name) as PlainData)
    for (const part of Object.values(parts)) part.resume?.()
  }
}

function configOf({ cpu, layout, disks }: SnapshotSubject): SnapshotConfig {
  const { ram: { lowSize, highSize }, vcpus } = layout
  const features = [...modelFeatures(cpu)].sort()
  const places = JSON.parse(JSON.stringify(layout)) as PlainData
  return { memory: lowSize + highSize, vcpus, cpu, features, layout: places, disks: disks.map((disk) => ({ ...disk })) }
}

function checkHead(snapshot: unknown): { config: unknown, parts: unknown } {
  const { format, version, config, parts } = asRecord(snapshot)
  if (format !== SNAPSHOT_FORMAT) {
    throw snapshotError('SNAPSHOT_INVALID', 'this is no snapshot of a machine: give one that Machine.save or a snapshot file made')
  }
  if (version !== SNAPSHOT_VERSION) {
    throw snapshotError('SNAPSHOT_VERSION',
      `the snapshot has format version ${shown(version)} and this Tenon reads version ${SNAPSHOT_VERSION}: restore it with the `
      + 'Tenon that saved it')
  }
  return { config, parts }
}

function checkConfig(config: unknown, own: SnapshotConfig): void {
  const reader = new StateReader('config', config)
  const memory = reader.integer('memory', 0, 2 ** 52)
  const vcpus = reader.integer('vcpus', 1, 0xffff)
  if (memory !== own.memory || vcpus !== own.vcpus) {
    throw snapshotError('SNAPSHOT_MISMATCH',
      `the snapshot is of a machine with ${memory} bytes of memory and ${vcpus} vCPUs, and this one has ${own.memory} and `
      + `${own.vcpus}: build a machine of the same size to restore it`)
  }
  checkCpu(asRecord(config), own)
  checkDisks(asRecord(config).disks, own.disks)
  if (JSON.stringify(asRecord(config).layout) !== JSON.stringify(own.layout)) {
    throw snapshotError('SNAPSHOT_MISMATCH',
      'the snapshot is of a machine whose devices have other addresses or interrupts: restore it with the Tenon that saved it')
  }
}

function checkCpu({ cpu, features }: Record<string, unknown>, own: SnapshotConfig): void {
  if (cpu !== own.cpu) {
    throw snapshotError('SNAPSHOT_MISMATCH',
      `the snapshot is of a machine with CPU model ${shown(cpu)} and this one has '${own.cpu}': build a machine with that model`)
  }
  if (JSON.stringify(features) === JSON.stringify(own.features)) return
  throw snapshotError('SNAPSHOT_MISMATCH',
    `the snapshot is of a machine whose CPU model '${own.cpu}' has other features: restore it with the Tenon that saved it`)
}

function checkDisks(saved: unknown, own: readonly DiskShape[]): void {
  if (!Array.isArray(saved)) throw new StateReader('config', {}).invalid('disks', 'is not a list')
  const shapes = saved.map(shapeOf)
  const other = own.find((disk, index) => shapes[index] !== shapeOf(disk))
  if (other === undefined && shapes.length === own.length) return
  throw snapshotError('SNAPSHOT_MISMATCH', other === undefined
    ? `the snapshot is of a machine with ${shapes.length} disks and this one has ${own.length}: give it the same disks`
    : `the snapshot is of a machine whose disk '${other.place}' had another size, another block size or other permissions, or was not `
      + 'there: give it the same disks, as they were when it was saved')
}

function shapeOf(disk: unknown): string {
  const { place, size, blockSize, readOnly } = asRecord(disk)
  return JSON.stringify([place, size, blockSize, readOnly])
}

/** States by name: one for each part of the machine, of a schema and version that it reads. */
function matchParts(own: Readonly<Record<string, Stateful>>, saved: unknown): Map<string, PlainData> {
  if (!Array.isArray(saved)) throw new StateReader('snapshot', {}).invalid('parts', 'is not a list')
  const states = new Map<string, PlainData>()
  for (const part of saved as unknown[]) {
    const { name, schema, version, state } = asRecord(part)
    if (typeof name !== 'string' || !Object.hasOwn(own, name) || states.has(name)) {
      throw snapshotError('SNAPSHOT_MISMATCH',
        `the snapshot has a part ${shown(name)} that this machine has not, or twice: build a machine with the same devices`)
    }
    checkPart(name, own[name], schema, version)
    states.set(name, state as PlainData)
  }
  const missing = Object.keys(own).filter((name) => !states.has(name))
  if (missing.length === 0) return states
  throw snapshotError('SNAPSHOT_MISMATCH', `the snapshot lacks part '${missing.join(`', '`)}': build a machine without it`)
}

function checkPart(name: string, own: Stateful, schema: unknown, version: unknown): void {
  if (schema !== own.schema) {
    throw snapshotError('SNAPSHOT_MISMATCH',
      `snapshot part '${name}' is a ${shown(schema)} and this machine has a '${own.schema}' there: build a machine with the same `
      + 'devices')
  }
  if (version === own.version) return
  throw snapshotError('SNAPSHOT_VERSION',
    `snapshot part '${name}' has version ${shown(version)} of '${schema}' and this Tenon reads version ${own.version}: restore it `
    + 'with the Tenon that saved it')
}

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : {}

/** A value of unknown kind, for a message. */
function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, 40)}'` : typeof value === 'number' ? `${value}` : 'of no valid kind'
}
