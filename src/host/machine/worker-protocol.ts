import type { MessagePort } from 'node:worker_threads'
import type { BalloonStatistics } from '../../machine/balloon.ts'
import type { GuestPanic } from '../../devices/panic/pvpanic.ts'
import type { CpuModel } from './cpu-models.ts'
import type { MachineCardOrder } from '../network/network-order.ts'
import type { MachineDisks } from '../disks/disk-protocol.ts'
import type { MachineShares } from '../shares/share-protocol.ts'
import type { MachineVsock } from '../vsock/vsock-order.ts'
import type { ControlProblem } from './control-protocol.ts'
import type { MachineExit } from './machine-exit.ts'

/** What a machine's thread is started with. The kernel and the initrd are given away: nothing of them stays on the main thread. */
export interface WorkerOrder {
  /** The channel's memory. */
  readonly channel: SharedArrayBuffer
  readonly memoryBytes: number
  readonly cpu: CpuModel
  readonly commandLine: string
  /** Whether COM1 to COM4 have owners. */
  readonly owned: readonly boolean[]
  /** Whether there is a virtio console, and the names of ports. */
  readonly console: boolean
  readonly ports: readonly string[]
  /** Leads to the thread that translates hot code; without it everything is interpreted. */
  readonly compiler: MessagePort | undefined
  /** Two machines, one that translates on this thread and one that interprets, in place of one. */
  readonly lockstep: boolean
  readonly disks: MachineDisks | undefined
  readonly shares: MachineShares | undefined
  readonly afterPanic: 'end' | 'go-on'
  /** ControlOrders come in here. Undefined with lockstep. */
  readonly control: MessagePort | undefined
  /** Path of the snapshot to go on from, in place of booting. */
  readonly snapshot: string | undefined
  readonly cards: readonly MachineCardOrder[]
  readonly vsock: MachineVsock | undefined
  /** Taken out by the thread once they are in the guest's memory. */
  files?: { readonly kernel: Uint8Array, readonly initrd: Uint8Array | undefined }
}

/** What a machine's thread says. */
export type WorkerMessage =
  /** The guest runs. */
  | { readonly kind: 'started' }
  /** It could not be built: a TenonError's code and message. */
  | { readonly kind: 'refused', readonly code: string, readonly message: string }
  /** The answer to a request for the guest's statistics. */
  | { readonly kind: 'memory', readonly statistics: BalloonStatistics | undefined }
  /** There is news in the channel's rings. */
  | { readonly kind: 'notice' }
  /** The guest's kernel has panicked. */
  | { readonly kind: 'panic', readonly panic: GuestPanic }
  /** An order was carried out, or not. */
  | { readonly kind: 'answer', readonly number: number, readonly problem: ControlProblem | undefined }
  /** The last message: the rings have all of the guest's output. */
  | { readonly kind: 'exit', readonly exit: MachineExit }
