import type { MessagePort } from 'node:worker_threads'
import type { DiskInfo, DiskOrder } from './disk-order.ts'
import type { SnapshotReport, SnapshotRequest } from './disk-snapshots.ts'

/** What a disk thread is started with. */
export interface DiskThreadOrder {
  readonly disks: readonly DiskOrder[]
  /** The named guest whose disks they are: others that want them are told. */
  readonly guest?: string
}

export interface AttachCommand {
  readonly kind: 'attach'
  /** Memory of the DiskChannel, and of the machine's MachineChannel for its bell. */
  readonly disksMemory: SharedArrayBuffer
  readonly machineMemory: SharedArrayBuffer
  /** The machine's thread sends one message: the memory of its pool. */
  readonly port: MessagePort
}

/** What a disk thread is told: machines are attached one after another, each after the one before was detached. */
export type DiskThreadCommand =
  | AttachCommand
  /** Done one after the other, and answered by number. */
  | { readonly kind: 'snapshots', readonly number: number, readonly request: SnapshotRequest }
  /** The machine has ended: what it asked for is carried out, then `detached` is said. */
  | { readonly kind: 'detach' }
  /** As `detach`; then all disks are closed, and the thread ends. */
  | { readonly kind: 'close' }

/** What the machine's thread is given of it. */
export interface MachineDisks {
  readonly infos: readonly DiskInfo[]
  readonly memory: SharedArrayBuffer
  readonly port: MessagePort
}

/** What a disk thread says. */
export type DiskThreadMessage =
  | { readonly kind: 'opened', readonly infos: readonly DiskInfo[] }
  /** The disks cannot be opened: a TenonError's code and message. Its last message. */
  | { readonly kind: 'refused', readonly code: string, readonly message: string }
  /** What a user should know, such as a mirror that goes on with one part less. */
  | { readonly kind: 'notice', readonly message: string }
  | { readonly kind: 'detached' }
  | { readonly kind: 'snapshots', readonly number: number, readonly report: SnapshotReport }
  /** What was asked for cannot be: a TenonError's code and message. */
  | { readonly kind: 'problem', readonly number: number, readonly code: string, readonly message: string }
  /** All is answered, flushed and closed; or, by disk, why not. Its last message. */
  | { readonly kind: 'closed', readonly problems: readonly string[] }
