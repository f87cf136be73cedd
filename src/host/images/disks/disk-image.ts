import type { PackageRecord } from '../archive/package-index.ts'

/** An image that is a disk: what a guest of it boots from. */
export interface DiskImage {
  readonly name: string
  readonly kernel: Uint8Array
  /** Where the kernel cannot find its disk without one. */
  readonly initrd?: Uint8Array
  /** The raw disk. Guests get a copy, or an overlay: it is the base of all of them. */
  readonly diskPath: string
  /** What the image wants on the kernel's command line, beside a console. */
  readonly commandLine: string
  /** What it is made of, where that is known. */
  readonly packages: readonly PackageRecord[]
}
