import type { DiskOrder } from '../host/disks/disk-order.ts'
import type { NetworkChoice } from '../host/network/guest-network.ts'
import type { CpuModel } from '../host/machine/cpu-models.ts'
import type { EngineName } from '../host/machine/engines.ts'
import type { SeedRequest } from './run-seed.ts'
import type { GuestShare } from '../host/shares/guest-share.ts'
import type { VsockOrder } from '../host/vsock/vsock-order.ts'

/** What `tenon run` is asked for. */
export interface RunRequest {
  /** Makes it a named guest, which lives in the background and keeps its disk. */
  readonly name?: string
  /** Whether a named guest is only started. */
  readonly detach: boolean
  readonly image: string
  /** Absent for an interactive shell. */
  readonly command?: readonly string[]
  readonly memoryBytes: number
  readonly cpu: CpuModel
  readonly engine: EngineName
  /** Disks of the host. */
  readonly disks: readonly DiskOrder[]
  /** Folders of the host. */
  readonly shares: readonly GuestShare[]
  /** Streams between programs of the guest and the host. */
  readonly vsock?: VsockOrder
  /** Its network cards, and what is done with them. */
  readonly network: NetworkChoice
  /** Have the interpreter check the translator. */
  readonly lockstep: boolean
  /** Figures at the end, on stderr. */
  readonly stats: boolean
  readonly kernel?: string
  readonly initrd?: string
  readonly append?: string
  readonly tty: boolean
  readonly environment: Readonly<Record<string, string>>
  readonly mirror?: string
  readonly bootTimeoutMs: number
  readonly verbose: boolean
  /** What cloud-init is told at the first start. */
  readonly seed?: SeedRequest
}
