/** A machine to boot, whatever runs it: what all targets of a comparison have in common. */
export interface MachinePlan {
  readonly kernel: string
  readonly initrd?: string
  /** PC firmware, for the targets that need it. */
  readonly firmware?: { readonly bios: string, readonly videoBios: string }
  /** For the kernel. */
  readonly commandLine: string
  readonly memoryBytes: number
  /** NVMe, in this order. */
  readonly disks?: readonly PlannedDisk[]
  /** A virtio network card, behind which are the host and what is outside. */
  readonly card?: PlannedCard
  /** A second machine, started first. A further card of each, its only one, leads to the other. */
  readonly peer?: PlannedPeer
}

export interface PlannedPeer extends Omit<MachinePlan, 'firmware' | 'card' | 'peer'> {
  /** The path of a Unix socket, for targets that have each machine in a program of its own. */
  readonly socket: string
}

export interface PlannedDisk {
  readonly path: string
  readonly format: 'raw' | 'qcow2'
  /** `overlay`: what the guest writes is kept beside the file, and gone in the end. */
  readonly access: 'read-only' | 'overlay' | 'write'
}

export interface PlannedCard {
  /** Ports of the host's loopback address that lead to ports of the guest. */
  readonly publish: readonly { readonly host: number, readonly guest: number }[]
  /** Ports of that address which the guest reaches at its gateway's. */
  readonly hostPorts: readonly number[]
}

export type Architecture = 'amd64' | 'i386'

/** The plans of a comparison. The targets of one architecture boot the same. */
export type MachinePlans = ReadonlyMap<Architecture, MachinePlan>
