/** The shares of a machine, as plain data that crosses threads. */
import type { PlainData } from '../../machine/lifecycle.ts'

export interface ShareOrder {
  /** A folder of the host. */
  readonly path: string
  /** What the guest mounts it by, with `mount -t virtiofs TAG FOLDER`: 1 to 36 bytes. */
  readonly tag: string
  /** The guest may change nothing. */
  readonly readOnly?: boolean
  /** Whose all files are, as the guest sees it: 0 to 2^32 - 2. Default: 0, root. */
  readonly user?: number
  readonly group?: number
  /** What `ShareThread.save` gave for this share: the guest has it mounted, and goes on. */
  readonly state?: PlainData
}

/** An opened share, as the machine's thread must know it. */
export interface ShareInfo {
  readonly tag: string
}

/** Shares of one machine at most. */
export const MAXIMUM_SHARES = 8
export const LONGEST_TAG = 36
